import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Container, Fn, Outlook, Plan, Snapshot } from "../../scheduler/model.ts";
import { isNews, leavesAt } from "../../scheduler/outlook.ts";
import { plan } from "../../scheduler/plan.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { container, fn, gpus, node, NOW, snapshot } from "../setup/snapshots.ts";

const waitOf = (some: Partial<Snapshot>): Plan["waiting"][number] | undefined => {
  let ids = 0;
  return plan(snapshot(some), NOW, (prefix) => `${prefix}_${++ids}`).waiting[0];
};
const GPU = { gpu: parseGpu("H100") };
const waits = { queued: 3, queuedSince: NOW - 5_000, callMs: 2_000 };
const H100 = (free: number) => [node({ gpus: gpus("H100", free) })];

describe("a plan's outlook for who waits", () => {
  const times = (some: Partial<Snapshot>) => {
    const { slots, callMs, startsMs } = waitOf(some)!;
    return { slots, callMs, startsMs };
  };

  it("counts the slots of what is ready, and they are there", () => {
    const functions = [fn({ demand: { ...waits, leased: 2 }, scale: { max: 2, concurrency: 4 }, need: GPU })];
    const containers = [container({ leased: 1 }), container({ id: "c2", leased: 1 })];
    assert.deepEqual(times({ functions, containers, nodes: H100(0) }), {
      slots: 8,
      callMs: 2_000,
      startsMs: 0,
    });
  });

  it("expects a container that starts after the time that others took", () => {
    const functions = [fn({ demand: waits, startMs: 23_000, scale: { max: 1 } })];
    assert.equal(times({ functions }).startsMs, 23_000);
    const containers = [container({ observed: "starting", createdAt: NOW - 20_000 })];
    assert.equal(times({ functions, containers }).startsMs, 3_000);
  });

  it("expects room when what leaves has ended its calls, or has had its notice", () => {
    const other = fn({ id: 2, name: "other", demand: { leased: 1, callMs: 60_000 }, need: GPU });
    const functions = [fn({ demand: waits, need: GPU, startMs: 1_000 }), other];
    const leaving = (some: Partial<Container>) => [
      container({
        id: "c2",
        functionId: 2,
        leased: 1,
        desired: "drain",
        gpus: [{ index: 0, milli: 1000 }],
        ...some,
      }),
    ];
    const startsMs = (some: Partial<Container> = {}) =>
      times({ functions, containers: leaving(some), nodes: H100(0) }).startsMs!;
    assert.ok(Math.abs(startsMs() - 61_000) < 1_000);
    assert.ok(Math.abs(startsMs({ preemptAt: NOW + 10_000 }) - 11_000) < 1_000);
    assert.ok(startsMs({ leased: 0 }) < 3_000);
  });

  it("expects the next try of what failed to start", () => {
    const startFailures = { count: 3, lastAt: NOW - 1_000, message: "boom" };
    const functions = [fn({ demand: { ...waits, queuedSince: NOW }, startFailures, startMs: 500 })];
    assert.deepEqual(times({ functions }), { slots: null, callMs: 2_000, startsMs: 3_500 });
  });

  it("does not know when there is no room", () => {
    const functions = [fn({ demand: waits, need: GPU })];
    assert.deepEqual(times({ functions, nodes: H100(0) }), { slots: null, callMs: 2_000, startsMs: null });
  });

  it("expects a node that was asked for by its deadline", () => {
    const pool = {
      name: "p",
      state: "active" as const,
      provider: "local",
      min: 0,
      max: 1,
      shape: {
        cpuMilli: 8_000,
        memoryMiB: 16_384,
        diskMiB: 0,
        labels: {},
        gpus: [{ model: "H100", vramMiB: 81_920 }],
      },
      costPerHour: 1,
      idleTimeoutMs: 1_000,
      provisionTimeoutMs: 60_000,
      failures: null,
    };
    const functions = [fn({ demand: waits, need: GPU, startMs: 1_000 })];
    const { startsMs } = times({ functions, nodes: [], pools: [pool] });
    assert.ok(Math.abs(startsMs! - 61_000) < 1_000);
  });
});

describe("isNews()", () => {
  const said = (some: Partial<Outlook> = {}, waiting: string | null = "needs 2 GPUs"): Fn =>
    fn({
      waiting,
      outlook: { slots: 2, callMs: 1_000, startsAt: NOW + 60_000, saidAt: NOW - 10_000, ...some },
    });
  const times = (some: Partial<Parameters<typeof isNews>[1]> = {}) => ({
    slots: 2,
    callMs: 1_000,
    startsMs: 60_000,
    ...some,
  });
  const reason = "needs 2 GPUs";

  it("is when there is another reason, or none any more", () => {
    assert.equal(isNews(reason, times(), said(), NOW), false);
    assert.equal(isNews("1 container is busy", times(), said(), NOW), true);
    assert.equal(isNews(null, times(), said(), NOW), true);
    assert.equal(isNews(null, times(), fn(), NOW), false);
    assert.equal(isNews(reason, times(), fn(), NOW), true);
  });

  it("is not for each number that changes: only once in two seconds", () => {
    assert.equal(isNews("needs 3 GPUs", times(), said(), NOW), true);
    assert.equal(isNews("needs 3 GPUs", times(), said({ saidAt: NOW - 1_999 }), NOW), false);
    assert.equal(isNews("needs 2 cores", times(), said({ saidAt: NOW - 1_999 }), NOW), true);
  });

  it("is when the times are others by a quarter, not when they have merely come nearer", () => {
    assert.equal(isNews(reason, times({ startsMs: 50_000 }), said(), NOW), false);
    assert.equal(isNews(reason, times({ startsMs: 40_000 }), said(), NOW), true);
    assert.equal(isNews(reason, times({ startsMs: null }), said(), NOW), true);
    assert.equal(isNews(reason, times({ startsMs: 0 }), said({ startsAt: NOW - 99_000 }), NOW), false);
    assert.equal(isNews(reason, times({ slots: 3 }), said(), NOW), true);
    assert.equal(isNews(reason, times({ callMs: 1_100 }), said(), NOW), false);
    assert.equal(isNews(reason, times({ callMs: 1_500 }), said(), NOW), true);
  });
});

describe("leavesAt()", () => {
  it("is not known of a call of which nothing is known", () => {
    const one = container({ leased: 1, desired: "drain" });
    assert.equal(leavesAt(one, fn(), NOW), null);
    assert.equal(leavesAt(one, undefined, NOW), null);
    assert.equal(leavesAt(one, fn({ demand: { callMs: 7_000 } }), NOW), NOW + 7_000);
  });
});

describe("plan() says why calls wait", () => {
  it("when all of them wait for their key", () => {
    const keyed = (n: number) => waitOf({ functions: [fn({ demand: { keyed: n, levels: [] } })] })!.reason;
    assert.equal(keyed(1), "1 call waits for its concurrency key");
    assert.equal(keyed(3), "3 calls wait for their concurrency key");
  });

  it("when a start failed and there is no room to try again", () => {
    const startFailures = { count: 1, lastAt: NOW - 60_000, message: "boom" };
    const functions = [fn({ demand: waits, startFailures, need: GPU })];
    assert.equal(
      waitOf({ functions, nodes: H100(0) })!.reason,
      "the last start failed: boom; for another try: needs 1 × H100; largest free node has 0",
    );
  });

  it("when some are busy and there is no room for more", () => {
    const functions = [fn({ demand: { ...waits, leased: 1 }, need: GPU })];
    const containers = [container({ leased: 1, gpus: [{ index: 0, milli: 1000 }] })];
    assert.equal(
      waitOf({ functions, containers, nodes: H100(0) })!.reason,
      "1 container is busy; for another: needs 1 × H100; largest free node has 0",
    );
  });
});
