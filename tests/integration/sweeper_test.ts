/** What nothing refers to goes, and nothing else: with a real database, and both stores of blobs. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Sweeper } from "../../api/sweeper.ts";
import { blobOfArtifact, findArtifact } from "../../scheduler/store/artifacts.ts";
import { deleteArtifact, publishArtifact } from "../../scheduler/store/artifacts_change.ts";
import {
  announceBlob,
  discardBlob,
  keepBlob,
  releaseBlob,
  takeDueBlobs,
} from "../../scheduler/store/blobs.ts";
import { realClock, silentLog } from "../../sdk/ports.ts";
import { type BlobWorld, fileWorld, s3World } from "../setup/blob_worlds.ts";
import { withoutS3 } from "../setup/machine.ts";
import { testDatabase } from "../setup/postgres.ts";

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const at = (hours: number) => new Date(NOW + hours * HOUR_MS);
const bytes = (text: string) => new TextEncoder().encode(text);

async function setup(store: () => Promise<BlobWorld>) {
  const db = await testDatabase();
  const world = await store();
  const { blobs } = world;
  const clock = { ...realClock, time: NOW, now: () => clock.time };
  const sweeper = () => new Sweeper({ sql: db.sql, clock, log: silentLog, blobs, retentionMs: 0 });
  /** Bytes that were announced, and are there. */
  const uploaded = async (key: string, dueAt = at(1)) => {
    await announceBlob(db.sql, { key, dueAt });
    await blobs.put(key, bytes(key));
  };
  return {
    ...world,
    sql: db.sql,
    clock,
    sweeper,
    uploaded,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]();
      await db[Symbol.asyncDispose]();
    },
  };
}

function suite(name: string, store: () => Promise<BlobWorld>, skip: boolean): void {
  describe(`Sweeper with ${name}`, { skip }, () => {
    it("removes what was announced and never kept, in its time, and parts that were never put together", async () => {
      await using world = await setup(store);
      const { sql, blobs, uploaded, sweeper, clock } = world;
      await uploaded("a/early");
      await uploaded("a/late", at(30));
      await uploaded("a/kept");
      await uploaded("a/discarded", at(30));
      await keepBlob(sql, "a/kept");
      await discardBlob(sql, at(0), "a/discarded");
      const upload = await blobs.beginParts("a/parts");
      await announceBlob(sql, { key: "a/parts", upload, dueAt: at(1) });
      assert.equal(await sweeper().round(), false);
      assert.equal(await blobs.head("a/discarded"), null);
      assert.equal((await world.left()).length, 4);
      clock.time = at(1).getTime();
      await sweeper().round();
      assert.deepEqual(await world.left(), ["a/kept", "a/late"]);
      assert.equal((await sql`select from blob`).length, 2);
    });

    it("leaves what was released to those who have begun to read it", async () => {
      await using world = await setup(store);
      const { sql, blobs, uploaded, sweeper, clock } = world;
      await uploaded("a/k");
      await keepBlob(sql, "a/k");
      await releaseBlob(sql, at(0), "a/k");
      clock.time = at(1).getTime();
      await sweeper().round();
      assert.notEqual(await blobs.head("a/k"), null);
      clock.time = at(3).getTime();
      await sweeper().round();
      assert.equal(await blobs.head("a/k"), null);
    });

    it("goes on with what a sweeper has left that died, and lets nobody keep it meanwhile", async () => {
      await using world = await setup(store);
      const { sql, blobs, uploaded, sweeper, clock } = world;
      await uploaded("a/k");
      clock.time = at(1).getTime();
      assert.equal((await takeDueBlobs(sql, at(1), 10)).length, 1);
      assert.equal(await keepBlob(sql, "a/k"), false);
      await sweeper().round();
      assert.notEqual(await blobs.head("a/k"), null, "it may still be at it");
      clock.time = at(2).getTime();
      await sweeper().round();
      assert.deepEqual([await blobs.head("a/k"), (await sql`select from blob`).length], [null, 0]);
    });

    it("never removes bytes that are published again while they go", async () => {
      await using world = await setup(store);
      const { sql, blobs, clock } = world;
      const [workspace, rounds] = ["default", 6];
      const names = ["m", "mo", "mod", "mode"];
      const digests = ["a", "b", "c"].map((letter) => letter.repeat(64));
      let uploads = 0;
      /** Publishes bytes that the workspace has, if it has them, else uploads them: what a client does. */
      const publish = async (name: string, digest: string) => {
        const there = await blobOfArtifact(sql, { workspace, digest }) !== undefined;
        const blob = there ? null : `artifacts/default/${uploads++}`;
        if (blob !== null) {
          await announceBlob(sql, { key: blob, dueAt: at(1e4) });
          await blobs.put(blob, bytes(digest));
          await discardBlob(sql, new Date(clock.time), blob); // its time is over just now
        }
        const publication = { workspace, name, digest, size: 64, blob, by: null };
        return await sql.begin(async (tx) => {
          const published = await publishArtifact(tx, new Date(clock.time), publication);
          if (typeof published === "string") throw new Error(published); // which undoes it
          return published;
        }).catch((error) => {
          if (error.message === "no bytes") return null;
          throw error;
        });
      };
      const remove = (name: string, version: number) =>
        sql.begin((tx) => deleteArtifact(tx, new Date(clock.time), { workspace, name, version }));
      let [made, refused] = [0, 0];
      const publisher = async (name: string) => {
        for (let i = 0; i < rounds || made <= names.length; i++) { // sweepers may well be faster
          clock.time += HOUR_MS;
          const published = await publish(name, digests[(i + name.length) % digests.length]!);
          if (published === null) refused++;
          else {
            made++;
            if (i % 3 > 0) await remove(name, published.version.version);
          }
        }
        while (await publish(name, digests[name.length % digests.length]!) === null) refused++;
      };
      let over = false;
      const sweeping = Array.from({ length: 2 }, async () => {
        const sweeper = new Sweeper({ sql, clock, log: silentLog, blobs, retentionMs: 0 });
        while (!over) await sweeper.round();
      });
      await Promise.all(names.map(publisher)).finally(() => over = true);
      await Promise.all(sweeping);
      assert.ok(made > names.length, `${made} were published, ${refused} were not`);
      for (const name of names) {
        const newest = await findArtifact(sql, workspace, { name, at: null });
        const blob = await blobOfArtifact(sql, { workspace, digest: newest!.digest });
        assert.equal(await new Response(await blobs.get(blob!)).text(), newest!.digest);
      }
      clock.time += 100 * HOUR_MS;
      await new Sweeper({ sql, clock, log: silentLog, blobs, retentionMs: 0 }).round();
      const known = (await sql<{ blob: string }[]>`select blob from artifact_blob`).map(({ blob }) => blob);
      assert.deepEqual(await world.left(), known.sort());
    });
  });
}

suite("FileBlobs", fileWorld, false);
suite("S3Blobs", s3World, withoutS3);
