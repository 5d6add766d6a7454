/** Artifacts in the store, when many change one name at once. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { findArtifact, listArtifacts, listArtifactVersions } from "../../scheduler/store/artifacts.ts";
import { deleteArtifact, moveAlias, publishArtifact } from "../../scheduler/store/artifacts_change.ts";
import { announceBlob, takeDueBlobs } from "../../scheduler/store/blobs.ts";
import { testDatabase } from "../setup/postgres.ts";

const NOW = new Date("2026-05-01T12:00:00Z");
const RACERS = Array.from({ length: 20 }, (_, i) => i);
const workspace = "default";
const name = "model";
const digestOf = (n: number) => n.toString(16).padStart(64, "0");

async function setup() {
  const db = await testDatabase();
  const { sql } = db;
  let uploads = 0;
  /** Publishes bytes that have just been uploaded, or, without an upload, those that the workspace has. */
  const publish = async (digest: string, { into = name, uploaded = true } = {}) => {
    const blob = uploaded ? `artifacts/default/${uploads++}` : null;
    if (blob !== null) await announceBlob(sql, { key: blob, dueAt: NOW });
    return await sql.begin(async (tx) => {
      const published = await publishArtifact(tx, NOW, {
        workspace,
        name: into,
        digest,
        size: 7,
        blob,
        by: null,
      });
      if (typeof published === "string") throw new Error(published);
      return published;
    });
  };
  const point = (alias: string, version: number, from?: number | null) =>
    sql.begin((tx) => moveAlias(tx, NOW, { workspace, name, alias, version, from }));
  const remove = (version: number) =>
    sql.begin((tx) => deleteArtifact(tx, NOW, { workspace, name, version }));
  /** Whether bytes are kept in the store. */
  const kept = async (digest: string) => {
    const rows = await sql`
      select from artifact_blob a join blob on blob.key = a.blob and blob.state = 'kept' where a.digest = ${digest}`;
    return rows.length === 1;
  };
  const versions = async () =>
    (await listArtifactVersions(sql, { workspace, name, before: undefined, limit: 100 })).map((one) =>
      one.version
    );
  return { db, sql, publish, point, remove, kept, versions };
}

describe("publishArtifact()", () => {
  it("gives twenty racers the versions 1 to 20, without a gap", async () => {
    const { db, publish, versions } = await setup();
    await using _ = db;
    const published = await Promise.all(RACERS.map((n) => publish(digestOf(n))));
    const sorted = published.map(({ version }) => version.version).sort((a, b) => a - b);
    assert.deepEqual(sorted, RACERS.map((n) => n + 1));
    assert.deepEqual(await versions(), sorted.toReversed());
  });

  it("makes one version of the same bytes from twenty racers", async () => {
    const { db, publish, versions } = await setup();
    await using _ = db;
    const published = await Promise.all(RACERS.map(() => publish(digestOf(7))));
    assert.equal(published.filter(({ created }) => created).length, 1);
    assert.deepEqual(new Set(published.map(({ version }) => version.version)), new Set([1]));
    assert.deepEqual(await versions(), [1]);
  });

  it("makes a new version of bytes that only an older one has", async () => {
    const { db, publish, versions } = await setup();
    await using _ = db;
    for (const n of [1, 2, 1]) await publish(digestOf(n));
    assert.deepEqual(await versions(), [3, 2, 1]);
  });

  it("keeps bytes that one name's deletion and another's publication meet at, or says that they are gone", async () => {
    const { db, sql, publish, remove, kept } = await setup();
    await using _ = db;
    for (const n of RACERS.slice(0, 10)) {
      const digest = digestOf(n);
      const { version } = (await publish(digest)).version;
      const again = publish(digest, { into: `copy_${n}`, uploaded: n % 2 === 0 });
      const [other] = await Promise.allSettled([again, remove(version)]);
      const copy = await findArtifact(sql, workspace, { name: `copy_${n}`, at: null });
      assert.equal(copy !== undefined, other.status === "fulfilled");
      assert.equal(await kept(digest), copy !== undefined);
      if (n % 2 === 0) assert.ok(copy !== undefined, "its own bytes are there");
    }
  });

  it("keeps one of the blobs in which the same bytes were uploaded at once, and lets the others go", async () => {
    const { db, sql, publish } = await setup();
    await using _ = db;
    await Promise.all(RACERS.map((n) => publish(digestOf(7), { into: `copy_${n}` })));
    const states = await sql<{ state: string; count: number }[]>`
      select state, count(*)::int as count from blob where due_at is null or due_at <= ${NOW} group by state order by state`;
    assert.deepEqual(states.map(({ state, count }) => [state, count]), [["announced", 19], ["kept", 1]]);
  });

  it("refuses bytes that are not there, or are on their way out", async () => {
    const { db, sql, publish } = await setup();
    await using _ = db;
    await assert.rejects(publish(digestOf(1), { uploaded: false }), /no bytes/);
    await announceBlob(sql, { key: "artifacts/default/old", dueAt: NOW });
    await takeDueBlobs(sql, NOW, 10);
    const late = { workspace, name, digest: digestOf(2), size: 7, blob: "artifacts/default/old", by: null };
    assert.equal(await sql.begin((tx) => publishArtifact(tx, NOW, late)), "no bytes");
  });
});

describe("moveAlias()", () => {
  it("with `from` lets one of twenty racers win, and tells the others where it points", async () => {
    const { db, sql, publish, point } = await setup();
    await using _ = db;
    for (const n of RACERS) await publish(digestOf(n));
    const first = await Promise.all(RACERS.map((n) => point("production", n + 1, null)));
    assert.equal(first.filter((one) => one!.moved).length, 1);
    const { version } = (await findArtifact(sql, workspace, { name, at: "production" }))!;
    assert.deepEqual(new Set(first.map((one) => one!.current)), new Set([version]));
    const second = await Promise.all(RACERS.map((n) => point("production", n + 1, version)));
    assert.ok(second.filter((one) => one!.moved).length >= 1);
    const last = (await findArtifact(sql, workspace, { name, at: "production" }))!.version;
    assert.ok(second.some((one, n) => one!.moved && n + 1 === last));
  });

  it("without it moves from anywhere, but not to a version that is not there", async () => {
    const { db, sql, publish, point } = await setup();
    await using _ = db;
    await publish(digestOf(1));
    await publish(digestOf(2));
    assert.deepEqual(await point("staging", 1), { moved: true, current: 1 });
    assert.deepEqual(await point("staging", 2), { moved: true, current: 2 });
    assert.equal(await point("staging", 3), null);
    assert.deepEqual((await findArtifact(sql, workspace, { name, at: 2 }))!.aliases, ["staging"]);
  });
});

describe("deleteArtifact()", () => {
  it("never gives a number twice, and lets go of bytes with the last version that has them", async () => {
    const { db, sql, publish, remove, kept, versions } = await setup();
    await using _ = db;
    for (const n of [1, 2, 1]) await publish(digestOf(n));
    await remove(3);
    assert.ok(await kept(digestOf(1)), "version 1 has them");
    await remove(1);
    assert.ok(!await kept(digestOf(1)));
    assert.equal((await publish(digestOf(3))).version.version, 4);
    assert.deepEqual(await versions(), [4, 2]);
    for (const version of [4, 2]) await remove(version);
    assert.deepEqual(await listArtifacts(sql, { workspace, limit: 10 }), []);
    assert.equal(await remove(2), undefined);
  });

  it("is refused while an alias points there, even when both come at once", async () => {
    const { db, sql, publish, point, remove } = await setup();
    await using _ = db;
    for (const n of RACERS.slice(0, 10)) {
      const { version } = (await publish(digestOf(n))).version;
      const [moved, removed] = await Promise.all([point("production", version), remove(version)]);
      const stays = await findArtifact(sql, workspace, { name, at: version });
      assert.equal(moved !== null, stays !== undefined);
      assert.equal("aliases" in removed!, stays !== undefined);
    }
  });
});
