import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { DRAIN_GRACE_MS, HEARING_MS, LEAVE_MS, START_GRACE_MS } from "../../scheduler/leave.ts";
import type { Container, Plan, Snapshot } from "../../scheduler/model.ts";
import { plan } from "../../scheduler/plan.ts";
import { TURN_MS } from "../../scheduler/preempt.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { container, fn, gpus, node, NOW, snapshot } from "../setup/snapshots.ts";

const planOf = (some: Partial<Snapshot>, now = NOW): Plan => {
  let ids = 0;
  return plan(snapshot(some), now, () => `new_${++ids}`);
};
const ends = (some: Partial<Snapshot>, now = NOW) =>
  planOf(some, now).end.map(({ container, desired, reason }) => `${desired} ${container}: ${reason}`);
const reasonOf = (some: Partial<Snapshot>) => planOf(some).waiting[0]?.reason;
const H100 = { gpu: parseGpu("H100") };

describe("plan() starts containers", () => {
  it("does nothing at rest", () => {
    const idle = planOf({ functions: [fn()] });
    const { nextWakeAt: _, ...rest } = idle;
    assert.deepEqual(Object.values(rest).flat().filter((value) => value !== false), []);
  });

  it("in the tick that sees demand, with node, session and GPUs named", () => {
    const { start } = planOf({
      functions: [fn({ demand: { queued: 1 }, need: H100 })],
      nodes: [node({ gpus: gpus("H100", 0, 1000) })],
    });
    assert.deepEqual(start, [{
      id: "new_1",
      functionId: 1,
      deployment: "dep_2",
      node: "node_1",
      session: "s1",
      gpus: [{ index: 1, milli: 1000 }],
      cpuMilli: 100,
      memoryMiB: 512,
      diskMiB: 0,
      port: null,
      gang: null,
      rank: 0,
      reason: "1 call waits",
    }]);
  });

  it("on no node that drains, is lost or silent", () => {
    const functions = [fn({ demand: { queued: 1 } })];
    for (const some of [{ state: "draining" }, { state: "lost" }, { leaseUntil: NOW }] as const) {
      assert.deepEqual(planOf({ functions, nodes: [node(some)] }).start, []);
    }
  });

  it("for held requests, for min and with the buffer", () => {
    const starts = (some: Parameters<typeof fn>[0]) =>
      planOf({ functions: [fn(some)] }).start.map((one) => one.reason);
    assert.deepEqual(starts({ demand: { requestsHeld: 2 } }), ["2 requests wait", "2 requests wait"]);
    assert.deepEqual(starts({ scale: { min: 1 } }), ["kept by scale.min"]);
  });

  it("not for calls that run in containers which are leaving", () => {
    const functions = [fn({ demand: { leased: 1, queued: 1 } })];
    const containers = [container({ deployment: "dep_1", leased: 1 })];
    assert.equal(planOf({ functions, containers }).start.length, 1);
  });

  it("of the most wanted GPU that is free", () => {
    const functions = [fn({ demand: { queued: 1 }, need: { gpu: parseGpu(["H100", "L4:0.5"]) } })];
    const on = (...free: number[]) =>
      planOf({
        functions,
        nodes: [node({ gpus: gpus("L4", 1000) }), node({ id: "node_2", gpus: gpus("H100", ...free) })],
      }).start[0];
    assert.equal(on(1000)!.node, "node_2");
    assert.deepEqual([on(0)!.node, on(0)!.gpus], ["node_1", [{ index: 0, milli: 500 }]]);
  });
});

describe("plan() ends containers", () => {
  const idle = (ms: number, some: Partial<Container> = {}) => container({ busyAt: NOW - ms, ...some });

  it("that were idle for the scaledown window, and no sooner", () => {
    const functions = [fn({ scale: { scaledownWindowMs: 5_000 } })];
    assert.deepEqual(ends({ functions, containers: [idle(5_000)] }), ["drain ctr_1: idle"]);
    assert.deepEqual(ends({ functions, containers: [idle(4_999)] }), []);
    assert.equal(planOf({ functions, containers: [idle(4_000)] }).nextWakeAt, NOW + 1_000);
  });

  it("but never those that min keeps or the load needs", () => {
    const containers = [idle(99_000)];
    assert.deepEqual(ends({ functions: [fn({ scale: { min: 1 } })], containers }), []);
    assert.deepEqual(ends({ functions: [fn({ demand: { queued: 1 } })], containers }), []);
    assert.deepEqual(
      ends({ functions: [fn({ demand: { leased: 1 } })], containers: [idle(99_000, { leased: 1 })] }),
      [],
    );
  });

  it("of an older deployment: what is ready drains, what starts stops", () => {
    const containers = [
      container({ id: "old", deployment: "dep_1" }),
      container({ id: "starting", deployment: "dep_1", observed: "starting" }),
      container({ id: "current" }),
    ];
    assert.deepEqual(ends({ functions: [fn()], containers }), [
      "drain old: a newer deployment took over",
      "stop starting: a newer deployment took over",
    ]);
  });

  it("that were given a secret before its last change, but not those that have yet to ask", () => {
    const containers = [
      container({ id: "old", secretsRevision: 6 }),
      container({ id: "newest", secretsRevision: 7 }),
      container({ id: "starting", observed: "starting" }),
    ];
    const scale = { min: 3 };
    assert.deepEqual(ends({ functions: [fn({ scale, secretsRevision: 7 })], containers }), [
      "drain old: a secret of it was changed",
    ]);
    assert.deepEqual(ends({ functions: [fn({ scale, secretsRevision: null })], containers }), []);
  });

  it("of removed functions, and on draining nodes", () => {
    assert.deepEqual(ends({ functions: [fn({ removed: true })], containers: [container()] }), [
      "drain ctr_1: its function was removed",
    ]);
    assert.deepEqual(
      ends({ functions: [fn()], containers: [container()], nodes: [node({ state: "draining" })] }),
      ["drain ctr_1: its node drains"],
    );
  });

  it("once they have drained, or drained for longer than their timeout", () => {
    const after = (ms: number, some: Partial<Container>) =>
      ends({
        functions: [fn({ timeoutMs: 60_000 })],
        containers: [container({ desired: "drain", drainingAt: NOW - ms, ...some })],
      });
    assert.deepEqual(after(LEAVE_MS - 1, {}), []);
    assert.deepEqual(after(LEAVE_MS, {}), ["stop ctr_1: it has drained"]);
    assert.deepEqual(after(60_000 + DRAIN_GRACE_MS - 1, { leased: 1 }), []);
    assert.deepEqual(after(60_000 + DRAIN_GRACE_MS, { leased: 1 }), [
      "stop ctr_1: it drained for longer than its timeout",
    ]);
  });

  it("that drain while requests of their function are in flight only after its timeout", () => {
    const functions = [fn({ demand: { requests: 1 }, timeoutMs: 60_000 })];
    const containers = [container({ desired: "drain", drainingAt: NOW - LEAVE_MS })];
    assert.deepEqual(ends({ functions, containers }), []);
  });

  it("that do not become ready", () => {
    const late = (ms: number) =>
      ends({
        functions: [fn({ demand: { queued: 1 } })],
        containers: [container({ observed: "starting", createdAt: NOW - ms })],
      });
    assert.deepEqual(late(60_000 + START_GRACE_MS - 1), []);
    assert.deepEqual(late(60_000 + START_GRACE_MS), ["stop ctr_1: it did not become ready in time"]);
  });
});

describe("plan() gives up", () => {
  it("nodes that were silent beyond their lease, with their containers", () => {
    const { lostNodes, lostContainers, start } = planOf({
      functions: [fn({ demand: { leased: 1 } })],
      containers: [container({ leased: 1 })],
      nodes: [node({ leaseUntil: NOW }), node({ id: "node_2" })],
    });
    assert.deepEqual([lostNodes, lostContainers, start.map((one) => one.node)], [["node_1"], ["ctr_1"], []]);
  });

  it("no node before somebody has listened for a while", () => {
    const late = { functions: [fn()], nodes: [node({ leaseUntil: NOW - 60_000 })] };
    assert.deepEqual(planOf({ ...late, hearingSince: NOW - HEARING_MS + 1 }).lostNodes, []);
    assert.deepEqual(planOf({ ...late, hearingSince: NOW - HEARING_MS }).lostNodes, ["node_1"]);
  });

  it("containers of an earlier session, but not the node", () => {
    const made = planOf({ functions: [fn()], containers: [container({ session: "s0" })] });
    assert.deepEqual([made.lostNodes, made.lostContainers], [[], ["ctr_1"]]);
  });
});

describe("plan() makes room", () => {
  const other = (some: Parameters<typeof fn>[0] = {}) =>
    fn({ id: 2, name: "train", demand: { queued: 1 }, need: H100, ...some });
  const full = {
    nodes: [node({ gpus: gpus("H100", 0) })],
    containers: [container({ gpus: [{ index: 0, milli: 1000 }] })],
  };

  it("by letting an idle container go before its window is over", () => {
    const made = planOf({ ...full, functions: [fn({ need: H100 }), other()] });
    assert.deepEqual(made.end, [{ container: "ctr_1", desired: "drain", reason: "gives way to demo/train" }]);
    assert.deepEqual(made.waiting, [{
      functionId: 2,
      reason: "another container gives way to it",
      slots: 1,
      callMs: null,
      startsMs: 3_000,
    }]);
  });

  it("but asks no second one while room is on its way", () => {
    const leaving = container({ desired: "drain", gpus: [{ index: 0, milli: 1000 }] });
    const warm = container({ id: "warm", gpus: [{ index: 1, milli: 1000 }] });
    const made = planOf({
      functions: [fn({ need: H100 }), other()],
      containers: [leaving, warm],
      nodes: [node({ gpus: gpus("H100", 0, 0) })],
    });
    assert.deepEqual([made.end, made.start], [[], []]);
    assert.equal(made.waiting[0]!.reason, "waits for a container that is leaving");
  });

  it("not for containers that only min asks for, nor at the cost of min", () => {
    assert.deepEqual(
      ends({ ...full, functions: [fn({ need: H100 }), other({ demand: {}, scale: { min: 1 } })] }),
      [],
    );
    assert.deepEqual(ends({ ...full, functions: [fn({ need: H100, scale: { min: 1 } }), other()] }), []);
  });

  it("with as few containers as it takes", () => {
    const share = (id: string, index: number, milli: number, idleMs: number) =>
      container({ id, gpus: [{ index, milli }], busyAt: NOW - idleMs });
    const made = planOf({
      functions: [fn({ need: H100 }), other()],
      containers: [share("a", 0, 500, 9_000), share("b", 0, 500, 8_000), share("c", 1, 1000, 1_000)],
      nodes: [node({ gpus: gpus("H100", 0, 0) })],
    });
    assert.deepEqual(made.end.map((one) => one.container), ["c"]);
  });

  it("for a function that has none, from a busy one that has several", () => {
    const busy = (id: string, index: number) => container({ id, leased: 1, gpus: [{ index, milli: 1000 }] });
    const functions = [fn({ need: H100, demand: { queued: 99, leased: 2 } }), other()];
    const made = {
      functions,
      containers: [busy("a", 0), busy("b", 1)],
      nodes: [node({ gpus: gpus("H100", 0, 0) })],
    };
    assert.deepEqual(ends(made), ["drain a: gives way to demo/train"]);
    const important = [fn({ need: H100, demand: { queued: 99, leased: 2, priority: 60 } }), other()];
    assert.deepEqual(ends({ ...made, functions: important }), []);
  });

  it("and keeps it for whoever waits for it", () => {
    const leaving = container({ desired: "drain", gpus: [{ index: 0, milli: 1000 }] });
    const functions = [
      fn({
        id: 2,
        name: "pair",
        demand: { queued: 1, queuedSince: NOW - 9 },
        need: { gpu: parseGpu("H100:2") },
      }),
      fn({ id: 3, name: "single", demand: { queued: 1 }, need: H100 }),
    ];
    const nodes = [node({ gpus: gpus("H100", 0, 1000) })];
    assert.deepEqual(planOf({ functions: [fn(), ...functions], containers: [leaving], nodes }).start, []);
    assert.deepEqual(
      planOf({ functions: [fn(), functions[1]!], containers: [leaving], nodes }).start.length,
      1,
    );
  });

  it("by turns when there is room for one only", () => {
    const since = (ms: number) => ({ queued: 1, queuedSince: NOW - ms });
    const taking = (startedMs: number, waitedMs: number) =>
      ends({
        ...full,
        containers: [container({ ...full.containers[0], leased: 1, createdAt: NOW - startedMs })],
        functions: [fn({ need: H100, demand: { queued: 9, leased: 1 } }), other({ demand: since(waitedMs) })],
      });
    assert.deepEqual(taking(TURN_MS, TURN_MS), ["drain ctr_1: gives way to demo/train"]);
    assert.deepEqual(taking(TURN_MS - 1, TURN_MS), []);
    assert.deepEqual(taking(TURN_MS, TURN_MS - 1), []);
  });
});

describe("plan() says why calls wait", () => {
  const waits = { queued: 3, queuedSince: NOW - 5_000 };

  it("when nothing fits", () => {
    const functions = [fn({ demand: waits, need: { gpu: parseGpu("H100:2") } })];
    assert.equal(
      reasonOf({ functions, nodes: [node({ gpus: gpus("H100", 1000, 0) })] }),
      "needs 2 × H100; largest free node has 1",
    );
    assert.equal(reasonOf({ functions, nodes: [] }), "no node is up");
  });

  it("when containers are on the way, or all busy", () => {
    const functions = [fn({ demand: waits, scale: { max: 1 } })];
    assert.equal(reasonOf({ functions }), "a container is starting");
    assert.equal(
      reasonOf({ functions, containers: [container({ leased: 1 })] }),
      "1 container is busy and scale.max is 1",
    );
  });

  it("when starts fail", () => {
    const startFailures = { count: 2, lastAt: NOW, message: "boom" };
    assert.equal(
      reasonOf({ functions: [fn({ demand: waits, startFailures })] }),
      "the last 2 starts failed: boom; next try at 2026-01-01T12:00:02.000Z",
    );
  });

  it("only when that has changed, and takes it back when nothing waits", () => {
    const said = (waiting: string, demand = waits) =>
      planOf({ functions: [fn({ demand, waiting })] }).waiting;
    assert.deepEqual(said("a container is starting"), []);
    assert.deepEqual(said("a container is starting", { queued: 0, queuedSince: NOW }), [{
      functionId: 1,
      reason: null,
      slots: null,
      callMs: null,
      startsMs: null,
    }]);
  });

  it("not for a call that a ready container is about to take", () => {
    assert.deepEqual(
      planOf({ functions: [fn({ demand: { queued: 1 } })], containers: [container()] }).waiting,
      [],
    );
  });
});

describe("plan() refuses calls", () => {
  const startFailures = { count: 3, lastAt: NOW, message: "Error: boom" };
  const demand = { queued: 2, queuedSince: NOW - 1 };

  it("of a function that was removed while they ran and came back", () => {
    const made = planOf({ functions: [fn({ removed: true, demand: { queued: 2, queuedSince: NOW } })] });
    assert.deepEqual(made.refuse.map(({ functionId, failure }) => [functionId, failure.kind]), [[
      1,
      "cancelled",
    ]]);
  });

  it("whose function failed to start three times in a row, with what it said", () => {
    const made = planOf({ functions: [fn({ demand, startFailures })] });
    assert.deepEqual(made.refuse, [{
      functionId: 1,
      until: NOW,
      failure: { kind: "start_failed", message: "Error: boom", retryable: true },
    }]);
    assert.deepEqual(made.start, []);
  });

  it("but not while a container of it is ready", () => {
    assert.deepEqual(
      planOf({ functions: [fn({ demand, startFailures })], containers: [container()] }).refuse,
      [],
    );
  });
});

describe("plan() keeps time", () => {
  it("fires due schedules, frees delayed and expired ranges", () => {
    const schedule = {
      id: "sched_1",
      functionId: 1,
      workspace: "default",
      method: "work",
      cron: "0 * * * *",
      timeZone: "UTC",
      input: null,
      nextAt: NOW,
    };
    const made = planOf({ schedules: [schedule], nextDueAt: NOW, nextExpiryAt: NOW - 1 });
    assert.deepEqual(made.fire, [{ schedule, tickAt: NOW, nextAt: NOW + 3_600_000 }]);
    assert.deepEqual([made.due, made.expired], [true, true]);
  });

  it("wakes at the first instant that matters", () => {
    const at = (some: Partial<Snapshot>) => planOf(some).nextWakeAt! - NOW;
    assert.equal(at({}), 30_000);
    assert.equal(at({ nextDueAt: NOW + 5, nextScheduleAt: NOW + 6 }), 5);
    assert.equal(at({ functions: [fn({ startFailures: { count: 2, lastAt: NOW, message: "" } })] }), 2_000);
    assert.equal(at({ functions: [fn()], containers: [container({ desired: "drain" })] }), LEAVE_MS);
  });

  it("notes work before the note is older than an eighth of the window", () => {
    const busy = (some: Partial<Container>) =>
      planOf({ functions: [fn({ scale: { scaledownWindowMs: 8_000 } })], containers: [container(some)] })
        .busy;
    assert.deepEqual(busy({ leased: 1, busyAt: NOW - 1_000 }), ["ctr_1"]);
    assert.deepEqual(busy({ leased: 1, busyAt: NOW - 999 }), []);
    assert.deepEqual(busy({ busyAt: NOW - 3_000, leasedAt: NOW - 100 }), ["ctr_1"]);
    assert.deepEqual(busy({ busyAt: NOW - 3_000 }), []);
  });
});
