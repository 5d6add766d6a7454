import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { planViolations } from "../../scheduler/check_plan.ts";
import { freePorts, REGANG_MS, unitsOf, withGangWork } from "../../scheduler/gangs.ts";
import type { Container, Gang, Plan, Snapshot } from "../../scheduler/model.ts";
import { plan } from "../../scheduler/plan.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { container, fn, gpus, node, NOW, snapshot } from "../setup/snapshots.ts";

const gang = (some: Partial<Gang> = {}): Gang => ({
  id: "g1",
  functionId: 1,
  size: 3,
  port: 29_400,
  createdAt: NOW - 60_000,
  brokenAt: null,
  ...some,
});
const rank = (n: number, some: Partial<Container> = {}): Container =>
  container({ id: `r${n}`, gang: "g1", rank: n, node: `n${n}`, gpus: [{ index: 0, milli: 1000 }], ...some });
const full = (id: string) => node({ id, gpus: gpus("H100", 0) });
const free = (id: string) => node({ id, gpus: gpus("H100", 1000) });
const train = (some: Parameters<typeof fn>[0] = {}) =>
  fn({ name: "train", nodes: 3, need: { gpu: parseGpu("H100") }, ...some });

function planOf(some: Partial<Snapshot>): Plan {
  let ids = 0;
  const whole = snapshot(some), made = plan(whole, NOW, (prefix) => `${prefix}_${++ids}`);
  assert.deepEqual(planViolations(whole, made, NOW), []);
  return made;
}
const reasonOf = (made: Plan) => made.waiting[0]?.reason;

describe("plan() of a gang", () => {
  it("starts all of it, each rank on a node of its own, with a port that no other gang has", () => {
    const { gangs, start } = planOf({
      functions: [train({ demand: { queued: 1 } }), fn({ id: 2 })],
      nodes: ["n0", "n1", "n2", "n3"].map(free),
      gangs: [gang({ id: "other", functionId: 2 })],
      containers: [container({ id: "c", functionId: 2, gang: "other", node: "n3" })],
    });
    assert.deepEqual(gangs, [{ id: "gang_1", functionId: 1, size: 3, port: 29_401 }]);
    assert.deepEqual(start.map((one) => [one.gang, one.rank]), [["gang_1", 0], ["gang_1", 1], ["gang_1", 2]]);
    assert.equal(new Set(start.map((one) => one.node)).size, 3);
  });

  it("starts none of it where a node is lacking, and says so", () => {
    const made = planOf({ functions: [train({ demand: { queued: 1 } })], nodes: ["n0", "n1"].map(free) });
    assert.deepEqual([made.gangs, made.start], [[], []]);
    assert.equal(reasonOf(made), "needs 3 nodes at once; 2 have room");
  });

  it("counts as one: max is of gangs, and a gang at work is no room for another", () => {
    const functions = [train({ demand: { queued: 5, leased: 1 }, scale: { max: 2 } })];
    const nodes = [...["n0", "n1", "n2"].map(full), ...["n3", "n4", "n5", "n6", "n7", "n8"].map(free)];
    const containers = [0, 1, 2].map((n) => rank(n, { leased: n === 0 ? 1 : 0 }));
    const { start } = planOf({ functions, nodes, containers, gangs: [gang()] });
    assert.equal(start.length, 3);
  });

  it("lets it go as a whole when it is idle", () => {
    const functions = [train({ scale: { scaledownWindowMs: 5_000 } })];
    const containers = [0, 1, 2].map((n) => rank(n, { busyAt: NOW - 5_000, createdAt: NOW - 9_000 }));
    const made = planOf({ functions, nodes: ["n0", "n1", "n2"].map(full), containers, gangs: [gang()] });
    assert.deepEqual(made.end.map((one) => one.container), ["r0", "r1", "r2"]);
    const late = containers.map((one) => one.rank === 0 ? { ...one, busyAt: NOW } : one);
    assert.deepEqual(
      planOf({ functions, nodes: ["n0", "n1", "n2"].map(full), containers: late, gangs: [gang()] }).end,
      [],
    );
  });

  it("lets all of it give way, though the room of one would do", () => {
    const functions = [
      train(),
      fn({ id: 2, name: "other", need: { gpu: parseGpu("H100") }, demand: { queued: 1 } }),
    ];
    const containers = [0, 1, 2].map((n) => rank(n));
    const made = planOf({ functions, nodes: ["n0", "n1", "n2"].map(full), containers, gangs: [gang()] });
    assert.deepEqual(made.end.map(({ container, reason }) => `${container} ${reason}`), [
      "r0 gives way to demo/other",
      "r1 gives way to demo/other",
      "r2 gives way to demo/other",
    ]);
  });

  it("does not stop a rank that drains while its leader has a call", () => {
    const drained = { desired: "drain", drainingAt: NOW - 60_000 } as const;
    const containers = [rank(0, { leased: 1, ...drained }), rank(1, drained), rank(2, drained)];
    const nodes = ["n0", "n1", "n2"].map(full);
    assert.deepEqual(planOf({ functions: [train()], nodes, containers, gangs: [gang()] }).end, []);
    const idle = containers.map((one) => ({ ...one, leased: 0 }));
    assert.equal(planOf({ functions: [train()], nodes, containers: idle, gangs: [gang()] }).end.length, 3);
  });
});

describe("plan() of a gang that lost a rank", () => {
  const broken = gang({ brokenAt: NOW - 1_000 });
  const functions = [train({ demand: { queued: 1, queuedSince: NOW - 1_000 } })];
  const others = [rank(0), rank(2)];

  it("starts that rank alone, on a node that has no other", () => {
    const nodes = [...["n0", "n2"].map((id) => node({ id, gpus: gpus("H100", 0, 1000) })), free("n5")];
    const made = planOf({ functions, nodes, containers: others, gangs: [broken] });
    assert.deepEqual(made.gangs, []);
    assert.deepEqual(made.start.map((one) => [one.gang, one.rank, one.node]), [["g1", 1, "n5"]]);
    assert.equal(reasonOf(made), "a gang gets another container for a rank that it lost");
  });

  it("waits until the lost one has left: nobody else may have its rank before", () => {
    const leaving = rank(1, { desired: "drain", drainingAt: NOW });
    const nodes = [...["n0", "n1", "n2"].map(full), free("n5")];
    assert.deepEqual(
      planOf({ functions, nodes, containers: [...others, leaving], gangs: [broken] }).start,
      [],
    );
  });

  it("waits until the loss of the lost one's node is a fact", () => {
    const silent = node({ id: "n1", gpus: gpus("H100", 0), leaseUntil: NOW });
    const nodes = [full("n0"), silent, full("n2"), free("n5")];
    const made = planOf({ functions, nodes, containers: [...others, rank(1)], gangs: [gang()] });
    assert.deepEqual([made.lostContainers, made.start], [["r1"], []]);
  });

  it("keeps the others for a while where there is no room, and then gives them back", () => {
    const world = (brokenMs: number) => ({
      functions,
      nodes: ["n0", "n2", "n5"].map(full),
      containers: others,
      gangs: [gang({ brokenAt: NOW - brokenMs })],
    });
    const kept = planOf(world(REGANG_MS - 1));
    assert.deepEqual(kept.end, []);
    assert.equal(reasonOf(kept), "a gang lost a rank; for another: needs 1 × H100; largest free node has 0");
    assert.equal(kept.nextWakeAt, NOW + 1);
    assert.deepEqual(planOf(world(REGANG_MS)).end.map((one) => one.container), ["r0", "r2"]);
  });

  it("does not mend what is idle and not wanted", () => {
    const nodes = [...["n0", "n2"].map(full), free("n5")];
    assert.deepEqual(planOf({ functions: [train()], nodes, containers: others, gangs: [broken] }).start, []);
  });

  it("replaces the rank of a node that drains once its call has ended", () => {
    const nodes = [node({ id: "n0", state: "draining" }), full("n1"), full("n2"), free("n5")];
    const containers = [0, 1, 2].map((n) => rank(n, { leased: n === 0 ? 1 : 0 }));
    const busy = [train({ demand: { leased: 1 } })];
    const made = planOf({ functions: busy, nodes, containers, gangs: [gang()] });
    assert.deepEqual(made.end.map(({ container, reason }) => `${container} ${reason}`), [
      "r0 its node drains",
    ]);
    assert.deepEqual(made.start, []);
  });
});

describe("unitsOf()", () => {
  it("makes one of a gang: as far on as its last rank, as lately busy as any", () => {
    const containers = [
      rank(1, { observed: "starting", busyAt: 5 }),
      rank(0, { busyAt: 3 }),
      rank(2),
      container(),
    ];
    const [single, whole] = unitsOf(containers, new Map([["g1", gang()]]), () => true);
    assert.equal(single!.whole.id, "ctr_1");
    assert.deepEqual([whole!.whole.id, whole!.whole.observed, whole!.missing], ["r0", "starting", []]);
    assert.equal(whole!.whole.busyAt, NOW);
  });

  it("is not ready without all ranks that stay", () => {
    const [unit] = unitsOf([rank(0), rank(2)], new Map([["g1", gang()]]), () => true);
    assert.deepEqual([unit!.whole.observed, unit!.missing], ["pending", [1]]);
    const [leaving] = unitsOf(
      [0, 1, 2].map((n) => rank(n)),
      new Map([["g1", gang()]]),
      ({ rank }) => rank !== 1,
    );
    assert.deepEqual([leaving!.whole.observed, leaving!.missing, leaving!.staying.length], [
      "pending",
      [],
      2,
    ]);
  });
});

describe("withGangWork()", () => {
  it("gives all ranks the work of their leader", () => {
    const made = withGangWork([rank(0, { leased: 2, priority: 70, preemptedAt: 9 }), rank(1), container()]);
    assert.deepEqual(made.map(({ leased, priority, preemptedAt }) => [leased, priority, preemptedAt]), [
      [2, 70, 9],
      [2, 70, 9],
      [0, null, null],
    ]);
  });
});

describe("freePorts()", () => {
  it("gives each port once, until all are taken", () => {
    const ports = freePorts([gang(), gang({ port: 29_402 })]);
    assert.deepEqual([1, 2, 3].map(() => ports.next().value), [29_401, 29_403, 29_404]);
    const all = Array.from({ length: 32_767 - 29_404 }, () => ports.next().value);
    assert.equal(all.at(-1), 32_767);
    assert.equal(ports.next().value, 29_400);
  });
});
