/** The pure parts of guest.ts: frames out of bytes, and outcomes as frames. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { GuestFrame } from "../../runner/frames.ts";
import { FrameDecoder } from "../../runner/guests/decode.ts";
import {
  describeError,
  errorFrame,
  referenceFrame,
  resultFrame,
  yieldFrame,
  yieldReferenceFrame,
} from "../../runner/guests/outcome.ts";
import { LIMITS } from "../../sdk/protocol.ts";

const encode = (text: string) => new TextEncoder().encode(text);

/** A stream with frames, bodies that look like frames, and bodies that hold nothing. */
function story() {
  const bodies = [
    encode('{"t":"call"}\n{"t":"load"}\n'),
    new Uint8Array(0),
    new Uint8Array([10, 10, 255, 0, 123, 10]),
  ];
  const parts = [
    encode('{"t":"recall"}\n{"t":"call","c":1,"input":"é\\n😀"}\n'),
    encode(`{"t":"reply","n":1,"ok":true,"bytes":${bodies[0]!.length}}\n`),
    bodies[0]!,
    encode('{"t":"drain"}\n{"t":"chunk","n":2,"end":true,"bytes":0}\n'),
    encode(`{"t":"reply","n":3,"ok":true,"bytes":${bodies[2]!.length}}\n`),
    bodies[2]!,
    encode('{"t":"recall"}\n{"t":"dra'),
  ];
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, bodies };
}

describe("FrameDecoder", () => {
  it("gives the same frames and bodies however the bytes are cut", () => {
    const { bytes, bodies } = story();
    for (let step = 1; step <= bytes.length; step++) {
      const decoder = new FrameDecoder();
      const seen: (readonly [string, Uint8Array | undefined])[] = [];
      for (let at = 0; at < bytes.length; at += step) {
        const piece = bytes.slice(at, at + step);
        seen.push(...decoder.push(piece).map(({ frame, body }) => [frame.t, body] as const));
        piece.fill(0); // A buffer that is used again
      }
      assert.deepEqual(seen, [
        ["recall", undefined],
        ["call", undefined],
        ["reply", bodies[0]],
        ["drain", undefined],
        ["chunk", bodies[1]],
        ["reply", bodies[2]],
        ["recall", undefined],
      ], `cut every ${step}`);
    }
  });
});

const frameOf = (value: unknown) => GuestFrame.parse(JSON.parse(resultFrame(3, value) as string));

describe("resultFrame()", () => {
  it("is a frame of the contract for any value that JSON knows", () => {
    for (const value of [null, 0, "é", [1, { a: [] }], false]) {
      assert.deepEqual(frameOf(value), { t: "result", c: 3, v: value });
    }
    assert.deepEqual(frameOf(undefined), { t: "result", c: 3 });
  });

  it("takes a result of exactly the limit, and of one byte more gives the bytes", () => {
    const most = "x".repeat(LIMITS.resultBytes - 2);
    assert.equal(frameOf(most).t, "result");
    const euros = "€".repeat(LIMITS.resultBytes / 2);
    for (const more of [`${most}x`, euros]) {
      const bytes = resultFrame(1, more) as Uint8Array;
      assert.equal(JSON.parse(new TextDecoder().decode(bytes)), more);
    }
  });

  it("gives the bytes of what would be taken for a reference", () => {
    const id = "0123456789abcdef".repeat(2);
    assert.deepEqual(JSON.parse(referenceFrame(1, id)).v, { $blob: id });
    assert.deepEqual(JSON.parse(new TextDecoder().decode(resultFrame(1, { $blob: id }) as Uint8Array)), {
      $blob: id,
    });
    for (
      const other of [{ $blob: 1 }, { $blob: id, more: 1 }, { $blob: id.toUpperCase() }, [{ $blob: id }]]
    ) {
      assert.deepEqual(frameOf(other), { t: "result", c: 3, v: other });
    }
  });
});

describe("yieldFrame()", () => {
  it("yields undefined as null", () => {
    const frame = GuestFrame.parse(JSON.parse(yieldFrame(1, undefined) as string));
    assert.deepEqual(frame, { t: "event", c: 1, kind: "yield", data: { value: null } });
  });

  it("gives the bytes of what is too large, or would be taken for a reference", () => {
    const id = "0123456789abcdef".repeat(2);
    for (const value of ["x".repeat(LIMITS.resultBytes), { $blob: id }]) {
      assert.deepEqual(JSON.parse(new TextDecoder().decode(yieldFrame(1, value) as Uint8Array)), value);
    }
    const frame = GuestFrame.parse(JSON.parse(yieldReferenceFrame(1, id)));
    assert.deepEqual(frame, { t: "event", c: 1, kind: "yield", data: { value: { $blob: id } } });
  });
});

describe("describeError()", () => {
  it("keeps message and stack within the contract's limits", () => {
    const error = new Error("m".repeat(LIMITS.failureMessageLength * 2));
    error.stack = "s".repeat(LIMITS.failureStackLength * 2);
    assert.equal(GuestFrame.safeParse(JSON.parse(errorFrame(1, error))).success, true);
    assert.equal(describeError(error).message.length, LIMITS.failureMessageLength);
  });

  it("names errors that are more than an Error", () => {
    assert.equal(describeError(new RangeError("too far")).message, "RangeError: too far");
    assert.equal(describeError(new Error("plain")).message, "plain");
  });

  it("follows causes, also strange ones", () => {
    const { stack } = describeError(
      new Error("outer", { cause: new Error("inner", { cause: { code: 5 } }) }),
    );
    assert.match(stack!, /Error: outer[\s\S]*Caused by: Error: inner[\s\S]*Caused by: \{"code":5\}/);
  });
});
