import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import type { Blobs, GetOptions } from "../../api/blobs/blobs.ts";
import { S3Blobs } from "../../api/blobs/s3.ts";
import { PlatformError } from "../../sdk/errors.ts";
import { realClock } from "../../sdk/ports.ts";
import { type BlobWorld, fileWorld, s3World } from "../setup/blob_worlds.ts";
import { startGateway } from "../setup/components/ceph.ts";
import { withoutS3 } from "../setup/machine.ts";
import { testPlace, testS3, unfinishedUploads } from "../setup/s3.ts";
import { untilTrue } from "../setup/until.ts";

const HOUR_MS = 3_600_000;
/** More than a part of an upload holds. */
const PART = 9_000_000;

const bytes = (text: string) => new TextEncoder().encode(text);
const patterned = (size: number) => new Uint8Array(size).map((_, i) => i * 31);
const later = (hours: number) => ({ ...realClock, now: () => Date.now() + hours * HOUR_MS });

const read = async (blobs: Blobs, key: string, options?: GetOptions): Promise<string | null> => {
  const stream = await blobs.get(key, options);
  return stream === null ? null : await new Response(stream).text();
};

const listed = async (blobs: Blobs, prefix: string) => (await Array.fromAsync(blobs.list(prefix))).sort();

/** Brings `size` bytes, then does what `end` says. */
function streamOf(size: number, end: (controller: ReadableStreamDefaultController) => void | Promise<void>) {
  let left = size;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (left <= 0) return end(controller);
      controller.enqueue(new Uint8Array(Math.min(left, 700_000)));
      left -= 700_000;
    },
  });
}
const failingAfter = (size: number) => streamOf(size, (controller) => controller.error(new Error("cut off")));

const BAD_KEYS = [
  ...["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", "a/.", ".unfinished/x", "a/.x", ".url-key"],
  ...["a\\b", "a\0b", "a b", "-rf", "é", "x".repeat(600)],
];

/** What every store must do. */
function suite(name: string, setup: () => Promise<BlobWorld>, skip: boolean): void {
  describe(name, { skip }, () => {
    it("gives back what was put, bytes or a stream, and knows its size", async () => {
      await using world = await setup();
      const { blobs } = world;
      assert.deepEqual(await blobs.put("bundles/one", bytes("hello")), { size: 5, created: true });
      assert.deepEqual(await blobs.put("bundles/empty", bytes("")), { size: 0, created: true });
      assert.deepEqual(await blobs.put("void", new Blob([]).stream()), { size: 0, created: true });
      const big = patterned(2 * PART);
      assert.equal((await blobs.put("big", new Blob([big]).stream())).size, big.length);
      assert.equal(await read(blobs, "bundles/one"), "hello");
      assert.equal(await read(blobs, "bundles/empty"), "");
      assert.equal(await read(blobs, "void"), "");
      assert.ok(Buffer.from(await new Response(await blobs.get("big")).bytes()).equals(big));
      assert.deepEqual(await blobs.head("bundles/one"), { size: 5 });
      assert.deepEqual(await world.left(), ["big", "bundles/empty", "bundles/one", "void"]);
    });

    it("gives nothing for what isn't there, a folder included", async () => {
      await using world = await setup();
      const { blobs } = world;
      await blobs.put("a/b", bytes("x"));
      for (const key of ["none", "a/none", "a/b/none", "a"]) {
        assert.deepEqual([key, await blobs.get(key), await blobs.head(key)], [key, null, null]);
        assert.equal(await blobs.get(key, { range: { from: 0 } }), null);
      }
      await blobs.delete("none");
      await blobs.delete("a/b/none");
    });

    it("gives the bytes of a range, as far as there are any", async () => {
      await using world = await setup();
      const { blobs } = world;
      await blobs.put("k", bytes("0123456789"));
      await blobs.put("empty", bytes(""));
      const part = (from: number, to?: number) => read(blobs, "k", { range: { from, ...to && { to } } });
      assert.equal(await part(0), "0123456789");
      assert.equal(await part(3), "3456789");
      assert.equal(await part(3, 4), "3");
      assert.equal(await part(8, 100), "89");
      assert.equal(await part(10), "");
      assert.equal(await part(1_000, 2_000), "");
      assert.equal(await read(blobs, "empty", { range: { from: 0 } }), "");
      const big = patterned(2 * PART);
      await blobs.put("big", new Blob([big]).stream());
      const [from, to] = [PART - 70_000, PART + 70_000];
      const middle = await new Response(await blobs.get("big", { range: { from, to } })).bytes();
      assert.ok(Buffer.from(middle).equals(big.subarray(from, to)));
      for (
        const range of [{ from: -1 }, { from: 1.5 }, { from: 2, to: 2 }, { from: 3, to: 1 }, { from: NaN }]
      ) {
        await assert.rejects(async () => await blobs.get("k", { range }), /Cannot read bytes/);
      }
    });

    it("puts in place of what was there, and who reads the old one goes on reading it", async () => {
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

    it("lets a reader stop in the middle", async () => {
      await using world = await setup();
      await world.blobs.put("k", new Blob([patterned(PART)]).stream());
      for (const options of [{}, { range: { from: 10 } }]) {
        const reader = (await world.blobs.get("k", options))!.getReader();
        assert.equal((await reader.read()).done, false);
        await reader.cancel();
      }
    });

    it("leaves nothing behind when a stream fails, at its begin or after several parts", async () => {
      await using world = await setup();
      const { blobs } = world;
      await blobs.put("k", bytes("old"));
      for (const size of [0, 200_000, 3 * PART]) {
        await assert.rejects(blobs.put("k", failingAfter(size)), /cut off/);
        await assert.rejects(blobs.put("fresh/k", failingAfter(size), { ifAbsent: true }), /cut off/);
      }
      const refused = new PlatformError("too_large", "Cannot accept the body");
      const refusing = streamOf(PART, (controller) => controller.error(refused));
      await assert.rejects(blobs.put("k", refusing), (error) => error === refused, "its own error");
      assert.equal(await read(blobs, "k"), "old");
      assert.deepEqual(await world.left(), ["k"]);
    });

    it("lets one of twenty win that create, and the others know", async () => {
      await using world = await setup();
      const writers = await Promise.all(Array.from({ length: 20 }, () => world.open()));
      const sizeOf = (i: number) => i % 4 === 0 ? PART + i : 1_000 + i;
      const stored = await Promise.all(writers.map((blobs, i) => {
        const body = new Uint8Array(sizeOf(i)).fill(i);
        return blobs.put("race/k", i % 2 === 0 ? new Blob([body]).stream() : body, { ifAbsent: true });
      }));
      const winners = stored.flatMap(({ created }, i) => created ? [i] : []);
      assert.equal(winners.length, 1);
      const winner = winners[0]!;
      const there = await new Response(await world.blobs.get("race/k")).bytes();
      assert.ok(Buffer.from(there).equals(new Uint8Array(sizeOf(winner)).fill(winner)));
      assert.deepEqual(stored, stored.map((_, i) => ({ size: sizeOf(winner), created: i === winner })));
      assert.deepEqual(await world.left(), ["race/k"]);
    });

    it("lets the last of twenty win that replace, whole", async () => {
      await using world = await setup();
      const { blobs } = world;
      const texts = Array.from({ length: 20 }, (_, i) => String.fromCharCode(97 + i).repeat(200_000));
      await Promise.all(texts.map((text) => blobs.put("k", new Blob([text]).stream())));
      assert.ok(texts.includes((await read(blobs, "k"))!));
    });

    it("lists the keys of a prefix, from all folders, and none that is unfinished", async () => {
      await using world = await setup();
      const { blobs } = world;
      for (const key of ["a/1", "a/2/x", "ab", "b/1"]) await blobs.put(key, bytes("x"));
      const unfinished = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      const putting = blobs.put(
        "a/3",
        streamOf(2 * PART, async (controller) => {
          begun.resolve();
          await unfinished.promise;
          controller.close();
        }),
      );
      await begun.promise;
      assert.deepEqual(await listed(blobs, ""), ["a/1", "a/2/x", "ab", "b/1"]);
      assert.deepEqual(await listed(blobs, "a"), ["a/1", "a/2/x", "ab"]);
      assert.deepEqual(await listed(blobs, "a/"), ["a/1", "a/2/x"]);
      assert.deepEqual(await listed(blobs, "a/2"), ["a/2/x"]);
      assert.deepEqual(await listed(blobs, "none/"), []);
      unfinished.resolve();
      await putting;
    });

    it("lists more keys than fit a page", async () => {
      await using world = await setup();
      const keys = Array.from({ length: 1_100 }, (_, i) => `many/${String(i).padStart(4, "0")}`);
      const rest = [...keys];
      const putting = Array.from({ length: 16 }, async () => {
        for (let key = rest.pop(); key !== undefined; key = rest.pop()) {
          await world.blobs.put(key, bytes("x"));
        }
      });
      await Promise.all(putting);
      assert.deepEqual(await listed(world.blobs, "many/"), keys);
    });

    it("refuses keys that are no names, and so all that lead elsewhere", async () => {
      await using world = await setup();
      const { blobs } = world;
      for (const key of BAD_KEYS) {
        const why = /Cannot use .* as the key of a blob/;
        await assert.rejects(blobs.put(key, bytes("x")), why, key);
        await assert.rejects(blobs.put(key, new Blob(["x"]).stream(), { ifAbsent: true }), why, key);
        await assert.rejects(blobs.get(key), why, key);
        await assert.rejects(blobs.head(key), why, key);
        await assert.rejects(blobs.delete(key), why, key);
        await assert.rejects(blobs.presign(key, { method: "GET", expiresInMs: 1_000 }), why, key);
      }
      await assert.rejects(listed(blobs, "../"), /as the key of a blob/);
      assert.deepEqual(await world.left(), []);
    });

    it("signs requests that read, in whole or in part", async () => {
      await using world = await setup();
      const { blobs, send } = world;
      await blobs.put("a/k", bytes("0123456789"));
      const signed = await blobs.presign("a/k", { method: "GET", expiresInMs: HOUR_MS });
      const whole = await send(signed);
      assert.deepEqual([whole.status, await whole.text()], [200, "0123456789"]);
      assert.equal(whole.headers.get("content-length"), "10");
      for (
        const [range, text, where] of [
          ["bytes=2-4", "234", "bytes 2-4/10"],
          ["bytes=7-", "789", "bytes 7-9/10"],
          ["bytes=-2", "89", "bytes 8-9/10"],
        ] as const
      ) {
        const part = await send(signed, { headers: { range } });
        assert.deepEqual([part.status, await part.text()], [206, text]);
        assert.equal(part.headers.get("content-range"), where);
      }
      const beyond = await send(signed, { headers: { range: "bytes=10-" } });
      assert.deepEqual([beyond.status, (await beyond.text()).includes("0123")], [416, false]);
      const absent = await send(await blobs.presign("a/none", { method: "GET", expiresInMs: HOUR_MS }));
      assert.equal(absent.status, 404);
      await absent.body?.cancel();
    });

    it("signs requests that create, of so many bytes and where there is nothing", async () => {
      await using world = await setup();
      const { blobs, send } = world;
      const status = async (key: string, size: number, body: Uint8Array<ArrayBuffer>) => {
        const signed = await blobs.presign(key, { method: "PUT", size, expiresInMs: HOUR_MS });
        const response = await send(signed, { method: "PUT", body });
        await response.body?.cancel();
        return response.status;
      };
      assert.ok([200, 201].includes(await status("k", 5, bytes("hello"))));
      assert.equal(await status("k", 5, bytes("later")), 412);
      assert.equal(await read(blobs, "k"), "hello");
      for (const text of ["four", "longer", ""]) {
        assert.ok(await status("other", 5, bytes(text)) >= 400, text);
      }
      assert.ok([200, 201].includes(await status("empty", 0, bytes(""))));
      const racing = await Promise.all(
        Array.from({ length: 20 }, (_, i) => status("race", 1, bytes(`${i % 10}`))),
      );
      assert.equal(racing.filter((status) => status < 300).length, 1);
      assert.deepEqual(await world.left(), ["empty", "k", "race"]);
    });

    it("puts parts together that came in any order, once all are there", async () => {
      await using world = await setup();
      const { blobs, send } = world;
      const whole = patterned(PART + 1_000);
      const upload = await blobs.beginParts("a/k");
      const sizes = [PART, 1_000];
      const put = async (i: number, body: Uint8Array<ArrayBuffer>) => {
        const part = { upload, number: i + 1, offset: i * PART };
        const access = { method: "PUT", size: sizes[i]!, part, expiresInMs: HOUR_MS } as const;
        const response = await send(await blobs.presign("a/k", access), { method: "PUT", body });
        await response.body?.cancel();
        return { status: response.status, etag: response.headers.get("etag") ?? "", size: sizes[i]! };
      };
      const complete = (...parts: { etag: string; size: number }[]) =>
        blobs.completeParts("a/k", upload, parts);
      const second = await put(1, whole.subarray(PART));
      await assert.rejects(complete(second, second), { code: "conflict" });
      assert.ok((await put(0, whole.subarray(1, PART))).status >= 400, "a byte too few");
      const first = await put(0, whole.subarray(0, PART));
      for (const wrong of [[second, first], [first, { ...second, etag: first.etag }]]) {
        await assert.rejects(complete(...wrong), { code: "conflict" });
      }
      assert.equal(await blobs.head("a/k"), null);
      await Promise.all([complete(first, second), complete(first, second)]);
      await complete(first, second);
      const there = await new Response(await blobs.get("a/k")).bytes();
      assert.ok(Buffer.from(there).equals(whole));
      await blobs.abandonParts("a/k", upload);
      assert.deepEqual(await world.left(), ["a/k"]);
    });

    it("leaves nothing of parts that were given up", async () => {
      await using world = await setup();
      const { blobs, send } = world;
      const upload = await blobs.beginParts("k");
      const part = { upload, number: 1, offset: 0 };
      const signed = await blobs.presign("k", { method: "PUT", size: 5, part, expiresInMs: HOUR_MS });
      const put = async () => {
        const response = await send(signed, { method: "PUT", body: bytes("hello") });
        await response.body?.cancel();
        return { status: response.status, etag: response.headers.get("etag") ?? "", size: 5 };
      };
      const stored = await put();
      assert.equal(stored.status, 200);
      for (let i = 0; i < 2; i++) await blobs.abandonParts("k", upload);
      // A server may take its own lock for that of another who completes them.
      await assert.rejects(blobs.completeParts("k", upload, [stored]), { code: /^(conflict|unavailable)$/ });
      assert.equal(await blobs.head("k"), null);
      assert.ok((await put()).status >= 400);
      assert.deepEqual(await world.left(), []);
    });

    it("refuses signed requests that have expired or were changed", async () => {
      await using world = await setup();
      const { blobs, send } = world;
      await blobs.put("a/k", bytes("mine"));
      await blobs.put("a/other", bytes("not yours"));
      const refused = async (
        signed: { url: string; headers: Record<string, string> },
        init?: RequestInit,
      ) => {
        const response = await send(signed, init);
        assert.equal(response.status, 403, signed.url);
        assert.doesNotMatch(await response.text(), /mine|yours/);
      };
      const earlier = await world.open(later(-2));
      await refused(await earlier.presign("a/k", { method: "GET", expiresInMs: HOUR_MS }));
      const put = { method: "PUT", body: bytes("late!") };
      await refused(await earlier.presign("new", { method: "PUT", size: 5, expiresInMs: HOUR_MS }), put);

      const { url, headers } = await blobs.presign("a/k", { method: "GET", expiresInMs: HOUR_MS });
      const signature = /(signature=)([0-9a-f]+)/i;
      await refused({ url: url.replace("a/k", "a/other"), headers });
      await refused({
        url: url.replace(/(expires=)(\d+)/i, (_, name, value) => `${name}${value}0`),
        headers,
      });
      await refused({
        url: url.replace(signature, (_, name, value) => name + value.replace(/^./, "z")),
        headers,
      });
      await refused({
        url: url.replace(signature, (_, name, value) => name + value.split("").reverse().join("")),
        headers,
      });
      await refused({ url: url.replace(/\?.*$/, ""), headers });
      await refused({ url, headers: { ...headers, "if-none-match": "*" } }, put);
      assert.deepEqual(await world.left(), ["a/k", "a/other"]);
    });
  });
}

suite("FileBlobs", fileWorld, false);
suite("S3Blobs", s3World, withoutS3);

describe("FileBlobs alone", () => {
  it("FileBlobs lets nobody else on the machine read", async () => {
    await using world = await fileWorld();
    await world.blobs.put("a/b", bytes("x"));
    const mode = async (path: string) => (await Deno.stat(join(world.folder, path))).mode! & 0o777;
    assert.deepEqual([await mode("a/b"), await mode("a"), await mode(".url-key")], [0o600, 0o700, 0o600]);
  });

  it("FileBlobs.open clears away what was abandoned, and not what is being written", async () => {
    await using world = await fileWorld();
    await Deno.writeTextFile(join(world.folder, ".unfinished", "left"), "half");
    await world.open();
    assert.deepEqual(await world.left(), [".unfinished/left"]);
    await world.open(later(25));
    assert.deepEqual(await world.left(), []);
  });
});

describe("S3Blobs alone", { skip: withoutS3 }, () => {
  it("S3Blobs.open says which setting is wrong", async () => {
    const place = await testPlace();
    const clock = realClock;
    const message = (error: unknown) => (error as Error).message;
    for (
      const [wrong, why] of [
        [{ secretAccessKey: "wrong" }, "S3_SECRET_ACCESS_KEY is not the secret of this key"],
        [{ accessKeyId: "wrong" }, "it does not know the key of S3_ACCESS_KEY_ID"],
        [{ bucket: "not-there" }, 'there is no bucket "not-there", as S3_BUCKET says'],
        [{ endpoint: "http://127.0.0.1:1" }, "it cannot be reached (connect ECONNREFUSED 127.0.0.1:1)"],
      ] as const
    ) {
      await assert.rejects(S3Blobs.open({ ...place, ...wrong }, { clock }), (error) => {
        assert.match(message(error), /^Cannot open the store on S3 at http:/);
        assert.ok(message(error).includes(why), message(error));
        return true;
      });
    }
  });

  it("S3Blobs keeps to its prefix", async () => {
    const place = await testPlace();
    const [one, two] = await Promise.all(
      ["one/", "one/two/"].map((inner) =>
        S3Blobs.open({ ...place, prefix: place.prefix + inner }, { clock: realClock })
      ),
    ) as [S3Blobs, S3Blobs];
    await one.put("k", bytes("of one"));
    await two.put("k", bytes("of two"));
    assert.deepEqual([await read(one, "k"), await read(two, "k")], ["of one", "of two"]);
    assert.deepEqual(await listed(two, ""), ["k"]);
    for (const blobs of [one, two]) blobs.close();
  });

  it("S3Blobs.put fails when the server dies in the middle, leaves nothing, and goes on when it is back", async () => {
    const { conf } = await testS3();
    const gateway = await startGateway(conf);
    const place = { ...await testPlace(), endpoint: gateway.endpoint };
    const blobs = await S3Blobs.open(place, { clock: realClock });
    const killing = streamOf(2 * PART, async (controller) => {
      await untilTrue("parts are on their way", async () => (await unfinishedUploads(place)).length > 0);
      await gateway.kill();
      controller.enqueue(new Uint8Array(PART));
      controller.close();
    });
    await assert.rejects(blobs.put("k", killing), { code: "unavailable", message: /it cannot be reached/ });

    const again = await startGateway(conf, Number(new URL(gateway.endpoint).port));
    assert.equal(await blobs.get("k"), null);
    assert.deepEqual(await unfinishedUploads(place), ["k"], "nobody could be told to give up the parts");
    (await S3Blobs.open(place, { clock: realClock })).close();
    assert.deepEqual(await unfinishedUploads(place), ["k"], "it may still be on its way");
    (await S3Blobs.open(place, { clock: later(25) })).close();
    assert.deepEqual(await unfinishedUploads(place), []);
    await blobs.put("k", new Blob([patterned(PART)]).stream());
    assert.equal((await blobs.head("k"))?.size, PART);
    blobs.close();
    await again.kill();
  });
});
