import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { BundleCache } from "../../runner/cache.ts";
import { bundleCache, bundleShelf } from "../setup/bundle_cache.ts";
import { sha256 } from "../setup/api.ts";

const OVER = Promise.resolve();

/** A bundle with a file of so many bytes. */
async function bundle(name: string, bytes = 1) {
  const text = JSON.stringify({ version: 1, files: { [`src/${name}`]: "x".repeat(bytes) } });
  return { digest: await sha256(text), bytes: new TextEncoder().encode(text) };
}

async function folder() {
  const path = await Deno.makeTempDir({ prefix: "berth-bundles-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

describe("BundleCache", () => {
  it("fetches a bundle once, also for the next runner", async () => {
    await using place = await folder();
    const { digest, bytes } = await bundle("a");
    let fetched = 0;
    const context = { over: OVER, bundle: () => Promise.resolve((fetched++, bytes)) };
    for (const cache of [bundleCache(place.path), bundleCache(place.path)]) {
      const [first, second] = await Promise.all([cache.get(digest, context), cache.get(digest, context)]);
      assert.deepEqual(first.entries, [{ path: "src", isFolder: true }, { path: "src/a", isFolder: false }]);
      assert.equal(await Deno.readTextFile(`${second.folder}/src/a`), "x");
    }
    assert.equal(fetched, 1);
  });

  it("fetches again for others when who fetched it was stopped", async () => {
    await using place = await folder();
    const cache = bundleCache(place.path);
    const { digest, bytes } = await bundle("a");
    const first = cache.get(digest, { over: OVER, bundle: () => Promise.reject(new Error("stopped")) });
    const second = cache.get(digest, { over: OVER, bundle: () => Promise.resolve(bytes) });
    await assert.rejects(first, /stopped/);
    assert.equal((await second).bytes, 1);
  });

  it("refuses bytes of another digest", async () => {
    await using place = await folder();
    const [a, b] = [await bundle("a"), await bundle("b")];
    const wrong = { over: OVER, bundle: () => Promise.resolve(b.bytes) };
    await assert.rejects(bundleCache(place.path).get(a.digest, wrong), /its bytes have the digest/);
  });

  it("gives up those that no start needs, when there are too many bytes of them", async () => {
    await using place = await folder();
    const shelf = bundleShelf(place.path, 2), cache = new BundleCache(shelf);
    const [first, second] = [await bundle("a", 1_500_000), await bundle("b", 1_500_000)];
    const starting = Promise.withResolvers<void>();
    const held = await cache.get(first.digest, {
      over: starting.promise,
      bundle: () => Promise.resolve(first.bytes),
    });
    await cache.get(second.digest, { over: OVER, bundle: () => Promise.resolve(second.bytes) });
    for (let last; last !== shelf.tidy;) await (last = shelf.tidy);
    const kept = () => [...Deno.readDirSync(place.path)].map(({ name }) => name);
    assert.deepEqual([kept(), held.bytes], [[first.digest], 1_500_000]);
  });
});
