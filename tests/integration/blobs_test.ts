import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Blobs } from "../../api/blobs/blobs.ts";
import { FileBlobs } from "../../api/blobs/files.ts";
import { type Clock, realClock } from "../../sdk/ports.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function setup() {
  const folder = await Deno.makeTempDir({ prefix: "berth-blobs-" });
  const open = (clock: Clock = realClock) => FileBlobs.open({ folder, clock });
  return {
    folder,
    open,
    blobs: await open(),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

const read = async (blobs: Blobs, key: string): Promise<string | null> => {
  const stream = await blobs.get(key);
  return stream === null ? null : await new Response(stream).text();
};

const listed = async (blobs: Blobs, prefix: string) => (await Array.fromAsync(blobs.list(prefix))).sort();

async function filesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) names.push(...(await filesIn(join(folder, name))).map((inner) => `${name}/${inner}`));
    else names.push(name);
  }
  return names;
}

describe("FileBlobs", () => {
  it("FileBlobs gives back what was put, bytes or a stream, and knows its size", async () => {
    await using world = await setup();
    const { blobs } = world;
    assert.deepEqual(await blobs.put("bundles/one", bytes("hello")), { size: 5, created: true });
    assert.deepEqual(await blobs.put("bundles/empty", bytes("")), { size: 0, created: true });
    const big = new Uint8Array(3_000_000).map((_, i) => i * 31);
    assert.equal((await blobs.put("big", new Blob([big]).stream())).size, big.length);
    assert.equal(await read(blobs, "bundles/one"), "hello");
    assert.equal(await read(blobs, "bundles/empty"), "");
    assert.deepEqual(await new Response(await blobs.get("big")).bytes(), big);
    assert.deepEqual(await blobs.head("bundles/one"), { size: 5 });
  });

  it("FileBlobs gives nothing for what isn't there, a folder included", async () => {
    await using world = await setup();
    const { blobs } = world;
    await blobs.put("a/b", bytes("x"));
    for (const key of ["none", "a/none", "a/b/none", "a"]) {
      assert.deepEqual([key, await blobs.get(key), await blobs.head(key)], [key, null, null]);
    }
    await blobs.delete("none");
    await blobs.delete("a/b/none");
  });

  it("FileBlobs.put replaces, and who reads the old one goes on reading it", async () => {
    await using world = await setup();
    const { blobs } = world;
    await blobs.put("k", bytes("old"));
    const old = await blobs.get("k");
    await blobs.put("k", bytes("new and longer"));
    assert.equal(await new Response(old).text(), "old");
    const current = await blobs.get("k");
    await blobs.delete("k");
    assert.equal(await new Response(current).text(), "new and longer");
    assert.equal(await blobs.get("k"), null);
  });

  it("FileBlobs.put leaves nothing behind when its stream fails", async () => {
    await using world = await setup();
    const { blobs, folder } = world;
    await blobs.put("k", bytes("old"));
    const failing = () => {
      let pulls = 0;
      return new ReadableStream({
        pull: (controller) =>
          pulls++ < 3 ? controller.enqueue(new Uint8Array(70_000)) : controller.error(new Error("cut off")),
      });
    };
    await assert.rejects(blobs.put("k", failing()), /cut off/);
    await assert.rejects(blobs.put("fresh/k", failing(), { ifAbsent: true }), /cut off/);
    assert.equal(await read(blobs, "k"), "old");
    assert.deepEqual(await filesIn(folder), ["k"]);
  });

  it("FileBlobs.put with ifAbsent lets one of twenty win, and the others know", async () => {
    await using world = await setup();
    const { folder, open } = world;
    const writers = await Promise.all(Array.from({ length: 20 }, () => open()));
    const stored = await Promise.all(
      writers.map((blobs, i) => blobs.put("race/k", bytes("x".repeat(1_000 + i)), { ifAbsent: true })),
    );
    const winners = stored.flatMap(({ created }, i) => created ? [i] : []);
    assert.equal(winners.length, 1);
    const size = 1_000 + winners[0]!;
    assert.equal((await read(world.blobs, "race/k"))!.length, size);
    assert.deepEqual(stored, stored.map((_, i) => ({ size, created: i === winners[0] })));
    assert.deepEqual(await filesIn(folder), ["race/k"]);
  });

  it("FileBlobs.put without it lets the last of twenty win, whole", async () => {
    await using world = await setup();
    const { blobs } = world;
    const texts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(200_000));
    await Promise.all(texts.map((text) => blobs.put("k", new Blob([text]).stream())));
    assert.ok(texts.includes((await read(blobs, "k"))!));
  });

  it("FileBlobs.list gives the keys of a prefix, from all folders, and none that is unfinished", async () => {
    await using world = await setup();
    const { blobs } = world;
    for (const key of ["a/1", "a/2/x", "ab", "b/1"]) await blobs.put(key, bytes("x"));
    const unfinished = Promise.withResolvers<void>();
    const putting = blobs.put(
      "a/3",
      new ReadableStream({ pull: (c) => unfinished.promise.then(() => c.close()) }),
    );
    assert.deepEqual(await listed(blobs, ""), ["a/1", "a/2/x", "ab", "b/1"]);
    assert.deepEqual(await listed(blobs, "a"), ["a/1", "a/2/x", "ab"]);
    assert.deepEqual(await listed(blobs, "a/"), ["a/1", "a/2/x"]);
    assert.deepEqual(await listed(blobs, "a/2"), ["a/2/x"]);
    assert.deepEqual(await listed(blobs, "none/"), []);
    unfinished.resolve();
    await putting;
  });

  it("FileBlobs refuses keys that are no names, and so all that lead elsewhere", async () => {
    await using world = await setup();
    const { blobs } = world;
    const keys = [
      "",
      "/etc/passwd",
      "../x",
      "a/../../x",
      "a//b",
      "a/",
      ".",
      "a/.",
      ".unfinished/x",
      "a/.x",
      "a\\b",
      "a\0b",
      "a b",
      "-rf",
      "é",
      "x".repeat(600),
    ];
    for (const key of keys) {
      const why = new RegExp("Cannot use .* as the key of a blob");
      await assert.rejects(blobs.put(key, bytes("x")), why, key);
      await assert.rejects(blobs.get(key), why, key);
      await assert.rejects(blobs.head(key), why, key);
      await assert.rejects(blobs.delete(key), why, key);
    }
    await assert.rejects(listed(blobs, "../"), /as the key of a blob/);
    assert.deepEqual(await filesIn(world.folder), []);
  });

  it("FileBlobs lets nobody else on the machine read", async () => {
    await using world = await setup();
    await world.blobs.put("a/b", bytes("x"));
    const mode = async (path: string) => (await Deno.stat(join(world.folder, path))).mode! & 0o777;
    assert.deepEqual([await mode("a/b"), await mode("a")], [0o600, 0o700]);
  });

  it("FileBlobs.open clears away what was abandoned, and not what is being written", async () => {
    await using world = await setup();
    const left = join(world.folder, ".unfinished", "left");
    await Deno.writeTextFile(left, "half");
    await world.open();
    assert.deepEqual(await filesIn(world.folder), [".unfinished/left"]);
    await world.open({ ...realClock, now: () => Date.now() + 25 * 3_600_000 });
    assert.deepEqual(await filesIn(world.folder), []);
  });
});
