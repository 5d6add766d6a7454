import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { violations, type World } from "../../scheduler/check.ts";
import { planViolations } from "../../scheduler/check_plan.ts";
import type { Plan, Snapshot, Start } from "../../scheduler/model.ts";
import { plan } from "../../scheduler/plan.ts";
import { container, fn, gpus, node, NOW, snapshot } from "../setup/snapshots.ts";

const HALF = [{ index: 0, milli: 500 }];

/** One container with half a GPU; a batch of six calls: one ended, one queued again, two running, two waiting. */
const world = (some: Partial<World> = {}): World => ({
  nodes: [{
    id: "node_1",
    state: "up",
    cpuMilli: 1_000,
    cpuMilliFree: 900,
    memoryMiB: 1_024,
    memoryMiBFree: 512,
    diskMiB: 2_000,
    diskMiBFree: 1_000,
    gpus: [{ index: 0, milliFree: 500 }],
  }],
  functions: [{ id: 1, deployment: "dep_1", max: 1 }],
  containers: [{
    id: "ctr_1",
    functionId: 1,
    deployment: "dep_1",
    node: "node_1",
    desired: "run",
    crew: "ctr_1",
    gpus: HALF,
    cpuMilli: 100,
    memoryMiB: 512,
    diskMiB: 1_000,
    live: true,
  }],
  batches: [{ id: 1, size: 6 }],
  ready: [{ batch: 1, lo: 1, hi: 2, attempt: 2 }, { batch: 1, lo: 4, hi: 6, attempt: 1 }],
  leases: [{ id: 7, batch: 1, lo: 0, hi: 4, container: "ctr_1", attempt: 1, remaining: 2 }],
  parts: [],
  results: [{ batch: 1, index: 0, lease: 7 }],
  over: [{ lease: 7, index: 1, back: false }],
  ...some,
});

const names = (some: Partial<World>) => [...new Set(violations(world(some)).map((one) => one.name))];
const GAP = "attempts are counted without a gap";
const [NODE] = world().nodes, [CONTAINER] = world().containers, [LEASE] = world().leases;
/** Call 3 was given to a later lease, as its second attempt. */
const LEASED_AGAIN = {
  leases: [{ ...LEASE!, remaining: 1 }, { ...LEASE!, id: 8, lo: 3, hi: 4, attempt: 2, remaining: 1 }],
  over: [{ lease: 7, index: 1, back: false }, { lease: 7, index: 3, back: false }],
};

describe("violations()", () => {
  it("finds none in a sound world", () => assert.deepEqual(violations(world()), []));

  it("finds parts of gangs that nobody ends, or two at a time", () => {
    const part = { lease: 7, rank: 0, container: "ctr_1", open: true };
    const sound = [part, { ...part, rank: 1, open: false }];
    const found = (parts: World["parts"]) => names({ parts });
    assert.deepEqual(found(sound), []);
    assert.deepEqual(found([{ ...part, container: "gone" }]), ["an open part is of a known container"]);
    assert.deepEqual(found([part, { ...part, rank: 1 }]), ["a rank has one part at a time"]);
    assert.deepEqual(found([{ ...part, open: false }]), ["somebody decides the attempt of a gang"]);
  });

  it("finds a GPU that is given twice", () => {
    const twice = [{ ...CONTAINER!, gpus: [{ index: 0, milli: 600 }] }, {
      ...CONTAINER!,
      id: "ctr_2",
      crew: "ctr_1",
      gpus: [{ index: 0, milli: 600 }],
    }];
    const nodes = [{
      ...NODE!,
      cpuMilliFree: 800,
      memoryMiBFree: 0,
      diskMiBFree: 0,
      gpus: [{ index: 0, milliFree: 0 }],
    }];
    assert.deepEqual(names({ containers: twice, nodes }), [
      "no gpu is given twice",
      "gpus are accounted for",
    ]);
  });

  it("finds shares that were not given back, or given back twice", () => {
    assert.deepEqual(names({ containers: [{ ...CONTAINER!, live: false }] }), [
      "gpus are accounted for",
      "cpu is accounted for",
      "memory is accounted for",
      "disk is accounted for",
    ]);
    assert.deepEqual(names({ nodes: [{ ...NODE!, gpus: [{ index: 0, milliFree: 1000 }] }] }), [
      "gpus are accounted for",
    ]);
  });

  it("finds live containers on a lost node, and containers on none", () => {
    assert.deepEqual(names({ nodes: [{ ...NODE!, state: "lost" }] }), ["a lost node has no live container"]);
    assert.ok(names({ nodes: [] }).includes("a container is on a known node"));
  });

  it("finds a call in two places", () => {
    assert.deepEqual(names({ results: [...world().results, { batch: 1, index: 5, lease: null }] }), [
      "no call is in two places",
    ]);
    assert.deepEqual(names({ ready: [...world().ready, { batch: 1, lo: 5, hi: 6, attempt: 1 }] }), [
      "no call is in two places",
    ]);
    assert.deepEqual(names({ ready: [...world().ready, { batch: 1, lo: 3, hi: 4, attempt: 2 }] }), [
      "a lease counts what remains",
    ]);
  });

  it("finds a call that is nowhere", () => {
    assert.deepEqual(names({ ready: [{ batch: 1, lo: 4, hi: 6, attempt: 1 }] }), ["no call is lost"]);
    assert.deepEqual(names({ leases: [{ ...LEASE!, remaining: 0 }] }), ["no call is lost"]);
  });

  it("finds a lease that miscounts, that nobody has, or that leaves its batch", () => {
    assert.deepEqual(names({ leases: [{ ...LEASE!, remaining: 3 }] }), ["a lease counts what remains"]);
    assert.deepEqual(names({ leases: [{ ...LEASE!, container: "ctr_9" }] }), [
      "a lease is of a known container",
    ]);
    assert.ok(names({ leases: [{ ...LEASE!, hi: 9 }] }).includes("a lease lies in its batch"));
  });

  it("knows that a call given to a later lease left the earlier one", () => {
    assert.deepEqual(names(LEASED_AGAIN), []);
  });

  it("finds an attempt that is counted twice, or left out", () => {
    const [first, second] = LEASED_AGAIN.leases;
    assert.deepEqual(names({ ...LEASED_AGAIN, leases: [first!, { ...second!, attempt: 1 }] }), [GAP]);
    assert.deepEqual(names({ ...LEASED_AGAIN, leases: [first!, { ...second!, attempt: 3 }] }), [GAP]);
    const back = [{ lease: 7, index: 1, back: false }, { lease: 7, index: 3, back: true }];
    assert.deepEqual(names({ ...LEASED_AGAIN, over: back }), [GAP]);
    assert.deepEqual(names({ ready: world().ready.map((range) => ({ ...range, attempt: 1 })) }), [GAP]);
  });

  it("finds a result that an earlier attempt brought", () => {
    const leases = [{ ...LEASE!, lo: 0, hi: 1, remaining: 0, id: 6 }, { ...LEASE!, attempt: 2 }];
    const over = [...world().over, { lease: 6, index: 0, back: false }];
    const fence = "a result is that of the last attempt";
    assert.ok(!names({ leases, over }).includes(fence));
    assert.ok(names({ leases, over, results: [{ batch: 1, index: 0, lease: 6 }] }).includes(fence));
  });

  it("finds more containers than a function may have, not counting those of an older deployment or the ranks of one gang", () => {
    const second = {
      ...CONTAINER!,
      id: "ctr_2",
      crew: "ctr_2",
      gpus: [],
      cpuMilli: 0,
      memoryMiB: 0,
      diskMiB: 0,
    };
    const beside = (some: Partial<typeof second>) =>
      names({ containers: [CONTAINER!, { ...second, ...some }] });
    assert.deepEqual(beside({}), ["scale.max holds"]);
    assert.deepEqual(beside({ deployment: "dep_0" }), []);
    assert.deepEqual(beside({ desired: "drain" }), []);
    assert.deepEqual(beside({ crew: "ctr_1" }), []);
  });
});

describe("planViolations()", () => {
  const start: Start = {
    id: "new_1",
    functionId: 1,
    deployment: "dep_2",
    node: "node_1",
    session: "s1",
    gpus: HALF,
    cpuMilli: 100,
    memoryMiB: 512,
    diskMiB: 0,
    port: null,
    gang: null,
    rank: 0,
    reason: "1 call waits",
  };
  const found = (some: Partial<Plan>, world: Partial<Snapshot> = {}) => {
    const whole = snapshot({ functions: [fn()], nodes: [node({ gpus: gpus("L4", 1000) })], ...world });
    const idle = plan(snapshot(), NOW, () => "");
    return [...new Set(planViolations(whole, { ...idle, ...some }, NOW).map((one) => one.name))];
  };

  it("finds none in a sound plan", () => assert.deepEqual(found({ start: [start] }), []));

  it("finds shares beyond what is free", () => {
    assert.deepEqual(found({ start: [start, { ...start, id: "new_2", gpus: [{ index: 0, milli: 501 }] }] }), [
      "no gpu is given twice",
    ]);
    assert.deepEqual(found({ start: [{ ...start, gpus: [{ index: 1, milli: 1 }] }] }), ["a gpu exists"]);
    assert.deepEqual(found({ start: [{ ...start, cpuMilli: 9_000 }] }), ["cpu is not over-given"]);
    assert.deepEqual(found({ start: [{ ...start, memoryMiB: 99_000 }] }), ["memory is not over-given"]);
  });

  it("finds a start where no runner is", () => {
    for (const where of [{ node: "node_9" }, { session: "s0" }]) {
      assert.deepEqual(found({ start: [{ ...start, ...where }] }), ["a container starts where a runner is"]);
    }
    assert.deepEqual(found({ start: [start], lostNodes: ["node_1"] }), [
      "a container starts where a runner is",
    ]);
  });

  it("finds an id that is not new, and more than scale.max", () => {
    assert.deepEqual(found({ start: [start, start] }), ["an id is new"]);
    assert.deepEqual(
      found({ start: [start] }, { functions: [fn({ scale: { max: 1 } })], containers: [container()] }),
      ["scale.max holds"],
    );
  });

  it("finds an end of what is unknown, or that was told before", () => {
    const end = (desired: "drain" | "stop") => [{ container: "ctr_1", desired, reason: "" }];
    const told = (before: "drain" | "stop") => ({ containers: [container({ desired: before })] });
    const name = "a container is let down once and in order";
    assert.deepEqual(found({ end: end("drain") }), [name]);
    assert.deepEqual(found({ end: end("drain") }, told("drain")), [name]);
    assert.deepEqual(found({ end: end("drain") }, told("stop")), [name]);
    assert.deepEqual(found({ end: end("stop") }, told("drain")), []);
  });
});
