/** The small pure parts under the client: streams of lines, portions of inputs, amounts of memory. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { InputReader } from "../../sdk/inputs.ts";
import { EventReader, LineReader, parseLines } from "../../sdk/lines.ts";
import { parseMemory } from "../../sdk/memory.ts";
import type { Wire } from "../../sdk/transport.ts";
import { passing } from "../setup/echo_api.ts";
import { ManualClock } from "../setup/manual_clock.ts";

/** A wire on which nothing travels. */
const wireAt = (clock: ManualClock): Wire => ({
  transport: { target: "nowhere", fetch: () => Promise.reject(new Error("out of reach")) },
  clock,
  random: { next: () => 0, bytes: (n) => new Uint8Array(n) },
  patienceMs: 0,
});

/** All lines of a text that comes cut at every `step` bytes. */
function readCut(text: string, step: number): string[] {
  const bytes = new TextEncoder().encode(text);
  const reader = new LineReader();
  const read: string[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    const lines = reader.push(bytes.subarray(at, at + step));
    if (lines !== undefined) read.push(...lines.split("\n"));
  }
  return read;
}

describe("LineReader", () => {
  it("gives whole lines however the bytes are cut, and keeps what is not ended", () => {
    const text = '[1,"é"]\n\n[2,"😀"]\nrest';
    for (let step = 1; step <= 30; step++) {
      assert.deepEqual(readCut(text, step), ['[1,"é"]', "", '[2,"😀"]'], `step ${step}`);
    }
  });

  it("tells no line from an empty line", () => {
    const reader = new LineReader();
    assert.equal(reader.push(new TextEncoder().encode("half")), undefined);
    assert.equal(new LineReader().push(new TextEncoder().encode("\n")), "");
  });
});

describe("parseLines()", () => {
  it("parses each line, also those that hold escaped newlines", () => {
    assert.deepEqual(parseLines('[1,"a\\nb"]\n[]\n{"c":null}'), [[1, "a\nb"], [], { c: null }]);
  });
});

describe("EventReader", () => {
  const story = 'id: 1\ndata: {"a":1}\n\n: keep-alive\n\nevent: end\nid: 2\ndata: one\ndata:two\r\n\r\n';
  const events = [
    { id: "1", event: "message", data: '{"a":1}' },
    { id: "2", event: "end", data: "one\ntwo" },
  ];

  it("reads events, several data lines, comments and carriage returns", () => {
    const reader = new EventReader();
    assert.deepEqual(reader.push(story.replace(/\n$/, "")), events);
  });

  it("reads the same however the bytes are cut", () => {
    for (let step = 1; step < 20; step++) {
      const reader = new EventReader();
      assert.deepEqual(readCut(story, step).flatMap((line) => reader.push(line)), events, `step ${step}`);
    }
  });
});

describe("InputReader", () => {
  it("takes no more than asked, then nothing", async () => {
    const reader = new InputReader([1, undefined, { a: 1 }], wireAt(new ManualClock()));
    assert.deepEqual([await reader.take(2), await reader.take(2), await reader.take(2)], [["1", "null"], [
      '{"a":1}',
    ], []]);
  });

  it("takes fewer when they are large", async () => {
    const large = "x".repeat(1_500_000);
    const reader = new InputReader([large, large, large, large], wireAt(new ManualClock()));
    assert.deepEqual([(await reader.take(10)).length, (await reader.take(10)).length], [3, 1]);
  });

  it("keeps the step of a slow source for the next portion", async () => {
    const clock = new ManualClock();
    const second = Promise.withResolvers<number>();
    const reader = new InputReader(
      (async function* () {
        yield 1;
        yield await second.promise;
      })(),
      wireAt(clock),
    );
    assert.deepEqual(await passing(clock, reader.take(10)), ["1"]);
    const portion = reader.take(10);
    second.resolve(2);
    assert.deepEqual(await passing(clock, portion), ["2"]);
    assert.deepEqual(await reader.take(10), []);
  });

  it("tells its source when no more is wanted", async () => {
    let closed = false;
    const source = (function* () {
      try {
        for (;;) yield 1;
      } finally {
        closed = true;
      }
    })();
    const reader = new InputReader(source, wireAt(new ManualClock()));
    await reader.take(1);
    reader.close();
    assert.deepEqual([closed, await reader.take(1)], [true, []]);
  });
});

describe("parseMemory()", () => {
  it("reads MiB and texts, rounded up to whole MiB", () => {
    assert.deepEqual([512, "512MiB", "2GiB", "1.5 GiB", "1TiB", "0.3MiB"].map(parseMemory), [
      512,
      512,
      2048,
      1536,
      1048576,
      1,
    ]);
  });

  it("refuses what has another unit or none", () => {
    for (const text of ["2GB", "512", "", "-1GiB", "1 KiB"]) {
      assert.throws(() => parseMemory(text), /Cannot read memory/);
    }
  });
});
