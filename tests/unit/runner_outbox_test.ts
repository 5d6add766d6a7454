import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { apart, type Batch, Outbox } from "../../runner/outbox.ts";
import type { Report } from "../../sdk/protocol.ts";

const report = (index: number): Report => [index, 0, null, 0, 0, 0];
const sizes = (batch: Batch | null) => [batch?.reportCount, batch?.logs.length, batch?.events.length];

describe("Outbox", () => {
  it("groups reports by lease, in one batch while they fit", () => {
    const outbox = new Outbox();
    outbox.report(1, report(0), 10);
    outbox.report(2, report(9), 10);
    outbox.report(1, report(1), 10);
    const batch = outbox.take()!;
    assert.deepEqual([...batch.reports], [[1, [report(0), report(1)]], [2, [report(9)]]]);
    assert.equal(outbox.take(), null);
  });

  it("cuts batches by count and by size, a report never before its log", () => {
    const outbox = new Outbox();
    outbox.log([1, 0, 0, 0, "stdout", "x".repeat(4 * 1024 * 1024)]);
    outbox.report(1, report(0), 10);
    assert.deepEqual(sizes(outbox.take()), [0, 1, 0]);
    assert.deepEqual(sizes(outbox.take()), [1, 0, 0]);
    for (let i = 0; i < 10_001; i++) outbox.report(1, report(i), 1);
    assert.deepEqual(sizes(outbox.take()), [10_000, 0, 0]);
    assert.deepEqual(sizes(outbox.take()), [1, 0, 0]);
  });

  it("takes a single report however large it is", () => {
    const outbox = new Outbox();
    outbox.report(1, report(0), 5 * 1024 * 1024);
    assert.deepEqual(sizes(outbox.take()), [1, 0, 0]);
  });

  it("is settled only when what was taken has arrived", () => {
    const outbox = new Outbox();
    assert.equal(outbox.settled, true);
    outbox.report(1, report(0), 10);
    const batch = outbox.take()!;
    assert.deepEqual([outbox.empty, outbox.settled], [true, false]);
    outbox.release(batch);
    assert.equal(outbox.settled, true);
  });

  it("makes readers wait while it is full", async () => {
    const outbox = new Outbox();
    assert.equal(outbox.room(), null);
    for (let i = 0; i < 20; i++) outbox.report(1, report(i), 4 * 1024 * 1024);
    const room = outbox.room();
    assert.notEqual(room, null);
    for (let batch = outbox.take(); batch !== null; batch = outbox.take()) outbox.release(batch);
    await room;
    assert.equal(outbox.full, false);
  });

  it("gives what was put back first", () => {
    const outbox = new Outbox();
    outbox.report(1, report(0), 10);
    const batch = outbox.take()!;
    outbox.report(2, report(5), 10);
    outbox.putBack([batch]);
    assert.equal(outbox.take(), batch);
    assert.deepEqual([...outbox.take()!.reports.keys()], [2]);
  });
});

describe("apart()", () => {
  it("makes a batch of each report, after one of the log lines and events, of the same room in all", () => {
    const outbox = new Outbox();
    outbox.log([1, 0, 0, 0, "log", "text"]);
    outbox.report(1, report(0), 10);
    outbox.report(1, report(1), 10);
    outbox.report(2, report(0), 10);
    const parts = apart(outbox.take()!);
    assert.deepEqual(parts.map(sizes), [[0, 1, 0], [1, 0, 0], [1, 0, 0], [1, 0, 0]]);
    for (const part of parts) outbox.release(part);
    assert.equal(outbox.settled, true);
  });
});
