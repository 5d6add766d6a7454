import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { deeperThan, DEPTH_MAX, FrameDecoder } from "../../runner/framing.ts";
import { LIMITS } from "../../sdk/protocol.ts";

/** What a decoder told: frames, bodies as text, violations. */
function decoder() {
  const told: unknown[] = [];
  let body = "";
  const decoder = new FrameDecoder({
    frame: (value) => void told.push(value),
    body: (piece, last) => {
      body += new TextDecoder().decode(piece);
      if (last) told.push(`body:${body}`);
      if (last) body = "";
    },
    violation: (reason) => void told.push(`violation:${reason}`),
  });
  return { decoder, told };
}

const bytes = (text: string) => new TextEncoder().encode(text);

/** Whole numbers below `n`, the same each time for a seed. */
function chance(seed: number) {
  return (n: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % n;
}

describe("FrameDecoder", () => {
  it("tells the same frames and bodies however the stream is cut", () => {
    const stream = bytes(
      '{"t":"a","v":"é✓"}\n{"t":"b","bytes":7}\nx\ny{"\n\u{1}{"t":"c"}\n{"bytes":0}\n{"t":"d","bytes":2}\n\n\n[1]\n',
    );
    const whole = [
      { t: "a", v: "é✓" },
      { t: "b", bytes: 7 },
      'body:x\ny{"\n\u{1}',
      { t: "c" },
      { bytes: 0 },
      { t: "d", bytes: 2 },
      "body:\n\n",
      [1],
    ];
    for (let seed = 1; seed <= 200; seed++) {
      const next = chance(seed);
      const { decoder: one, told } = decoder();
      for (let at = 0; at < stream.length;) {
        const end = at + 1 + next(12);
        one.push(stream.subarray(at, end));
        at = end;
      }
      assert.deepEqual(told, whole, `seed ${seed}`);
    }
  });

  it("keeps bytes that its caller overwrites after push", () => {
    const { decoder: one, told } = decoder();
    const buffer = bytes('{"t":"he');
    one.push(buffer);
    buffer.fill(32);
    one.push(bytes('llo"}\n'));
    assert.deepEqual(told, [{ t: "hello" }]);
  });

  it("calls a line that is not JSON a violation, and tells nothing after it", () => {
    const { decoder: one, told } = decoder();
    one.push(bytes('{"t":"a"}\nnonsense\n{"t":"b"}\n'));
    one.push(bytes('{"t":"c"}\n'));
    assert.deepEqual(told, [{ t: "a" }, "violation:a line is not JSON"]);
  });

  it("calls an endless line a violation before it takes more memory than the limit", () => {
    const { decoder: one, told } = decoder();
    const chunk = bytes("x".repeat(64 * 1024));
    for (let sent = 0; sent <= LIMITS.frameBytes; sent += chunk.length) one.push(chunk);
    assert.deepEqual(told, [`violation:a line is longer than ${LIMITS.frameBytes} bytes`]);
  });

  it("calls a value that is nested too deep a violation", () => {
    const { decoder: one, told } = decoder();
    one.push(bytes("[".repeat(100_000) + "]".repeat(100_000) + "\n"));
    assert.deepEqual(told, [`violation:a value is nested deeper than ${DEPTH_MAX}`]);
  });

  it("calls a nonsensical body length a violation", () => {
    for (const length of ["-1", "1.5", '"9"', "null", String(LIMITS.checkpointBytes + 1)]) {
      const { decoder: one, told } = decoder();
      one.push(bytes(`{"bytes":${length}}\n`));
      assert.match(String(told), /^violation:"bytes" must be a whole number/, length);
    }
  });
});

describe("deeperThan()", () => {
  it("counts the levels of arrays and objects", () => {
    assert.equal(deeperThan({ a: [{ b: 1 }] }, 3), false);
    assert.equal(deeperThan({ a: [{ b: 1 }] }, 2), true);
    assert.equal(deeperThan("text", 0), false);
  });
});
