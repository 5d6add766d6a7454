import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { cutText, LineSplitter, logText, TokenBucket } from "../../runner/lines.ts";
import { LIMITS } from "../../sdk/protocol.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("LineSplitter", () => {
  it("joins a line that came in pieces and keeps the unfinished one until flush", () => {
    const lines = new LineSplitter();
    assert.deepEqual(lines.push(bytes("on")), []);
    assert.deepEqual(lines.push(bytes("e\n\ntwo\r\nth")), ["one", "", "two"]);
    assert.deepEqual(lines.push(bytes("ree")), []);
    assert.deepEqual(lines.flush(), ["three"]);
    assert.deepEqual(lines.flush(), []);
  });

  it("joins a character that was cut in two", () => {
    const lines = new LineSplitter();
    const text = bytes("é\n");
    lines.push(text.subarray(0, 1));
    assert.deepEqual(lines.push(text.subarray(1)), ["é"]);
  });

  it("cuts a long line, marks it, and begins afresh after it", () => {
    const lines = new LineSplitter();
    for (let i = 0; i < 5; i++) assert.deepEqual(lines.push(bytes("x".repeat(LIMITS.logLineBytes))), []);
    assert.deepEqual(lines.push(bytes("yy\nnext\n")), ["x".repeat(LIMITS.logLineBytes) + "…", "next"]);
  });

  it("keeps an unfinished line for its rest when it is told to", () => {
    const lines = new LineSplitter();
    lines.push(bytes("the token is hf"));
    assert.deepEqual(lines.flush((text) => text.endsWith("hf")), []);
    lines.push(bytes("_1"));
    assert.deepEqual(lines.flush((text) => text.endsWith("hf")), ["the token is hf_1"]);
  });

  it("marks the edges of what is lost", () => {
    const lines = new LineSplitter();
    lines.push(bytes("the beg"));
    assert.deepEqual(lines.tearOff(), ["the beg…"]);
    assert.deepEqual(lines.push(bytes("end\nnext\n")), ["…end", "next"]);
    assert.deepEqual(lines.tearOff(), []);
    assert.deepEqual(lines.push(bytes("more\n")), ["…more"]);
  });

  it("replaces what is not UTF-8", () => {
    assert.deepEqual(new LineSplitter().push(new Uint8Array([0xff, 0x41, 0x00, 0x0a])), ["\ufffdA\ufffd"]);
  });
});

describe("logText()", () => {
  it("makes text that a store can keep", () => {
    assert.equal(logText("a\0b\ud800c\r"), "a\ufffdb\ufffdc");
  });
});

describe("cutText()", () => {
  it("cuts to the limit of a line", () => {
    assert.equal(cutText("x".repeat(LIMITS.logLineBytes + 9)).length, LIMITS.logLineBytes + 1);
    assert.equal(cutText("short"), "short");
  });
});

describe("TokenBucket", () => {
  it("lets a burst pass, then what its rate allows", () => {
    const bucket = new TokenBucket({ burst: 100, perSecond: 10, now: 0 });
    assert.equal(bucket.take(100, 0), true);
    assert.equal(bucket.take(1, 0), false);
    assert.equal(bucket.take(11, 1_000), false);
    assert.equal(bucket.take(10, 1_000), true);
    assert.equal(bucket.take(101, 1_000_000), false);
    assert.equal(bucket.take(100, 1_000_000), true);
  });
});
