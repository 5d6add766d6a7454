import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Fn, Snapshot } from "../../scheduler/model.ts";
import { poolPlan } from "../../scheduler/pools.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { fn, gpus as freeGpus, node, NOW, pool, provision, shape, snapshot } from "../setup/snapshots.ts";

const gpus = (text: string | string[], some: Parameters<typeof fn>[0] = {}): Fn =>
  fn({ ...some, need: { gpu: parseGpu(text), ...some.need } });

/** @param lacking functions, and how many containers each lacks */
function planOf(lacking: readonly (readonly [Fn, number])[], some: Partial<Snapshot>, now = NOW) {
  let ids = 0;
  return poolPlan({
    snapshot: snapshot({ nodes: [], ...some }),
    unplaced: lacking.map(([fn, count]) => ({ fn, count })),
    wanting: lacking.map(([fn]) => fn),
    occupied: new Set(),
    now,
    newId: () => `prov_${++ids}`,
  });
}
const asked = (...args: Parameters<typeof planOf>) => planOf(...args).ask.map((one) => one.pool);
const reason = (of: Fn, some: Partial<Snapshot>, now = NOW) =>
  planOf([[of, 1]], some, now).reasons.get(of.id);

const eight = pool({ name: "eight", shape: shape("H100", 8), costPerHour: 8 });
const single = pool({ name: "single", shape: shape("H100", 1), costPerHour: 1.2, max: 20 });

describe("poolPlan() asks for nodes", () => {
  it("in the tick that sees what has no room, with a deadline", () => {
    const { ask } = planOf([[gpus("H100"), 1]], { pools: [single] });
    assert.deepEqual(ask, [{
      id: "prov_1",
      pool: "single",
      deadlineAt: NOW + 300_000,
      reason: "for demo/work",
    }]);
  });

  it("as many as what has no room needs, not one for each container", () => {
    assert.deepEqual(asked([[fn({ need: { cpuMilli: 2_000 } }), 6]], { pools: [pool()] }), [
      "grows",
      "grows",
    ]);
    assert.deepEqual(asked([[gpus("H100"), 3]], { pools: [single] }), Array(3).fill("single"));
  });

  it("of the pools whose set of nodes costs least: 9 GPUs are one of eight and a single one", () => {
    assert.deepEqual(asked([[gpus("H100"), 9]], { pools: [single, eight] }), ["eight", "single"]);
    assert.deepEqual(asked([[gpus("H100"), 6]], { pools: [single, eight] }), Array(6).fill("single"));
    assert.deepEqual(asked([[gpus("H100"), 7]], { pools: [single, eight] }), ["eight"]);
  });

  it("fewer, when they cost the same; of equal ones those of the pool whose name comes first", () => {
    const free = [pool({ name: "b", costPerHour: 0 }), pool({ name: "a", costPerHour: 0 })];
    assert.deepEqual(asked([[fn(), 1]], { pools: free }), ["a"]);
    const large = pool({ name: "z", costPerHour: 0, shape: shape("H100", 0, { cpuMilli: 32_000 }) });
    assert.deepEqual(asked([[fn({ need: { cpuMilli: 8_000 } }), 4]], { pools: [...free, large] }), ["z"]);
  });

  it("of another pool for each of the GPUs that a function accepts, whichever is cheaper", () => {
    const l4 = pool({ name: "l4", shape: shape("L4", 2), costPerHour: 0.5 });
    assert.deepEqual(asked([[gpus(["H100", "L4"]), 1]], { pools: [single, l4] }), ["l4"]);
    assert.deepEqual(asked([[gpus("H100"), 1]], { pools: [single, l4] }), ["single"]);
  });

  it("whole for a gang or not at all", () => {
    const gang = gpus("H100:8", { nodes: 3 });
    assert.deepEqual(asked([[gang, 1]], { pools: [eight] }), ["eight", "eight", "eight"]);
    assert.deepEqual(asked([[gang, 1]], { pools: [{ ...eight, max: 2 }] }), []);
  });

  it("as many as a gang needs beside the nodes that are there, though max allows no whole gang of new ones", () => {
    const gang = gpus("H100:8", { nodes: 4 });
    const here = ["node_1", "node_2"].map((id, i) => ({
      node: node({
        id,
        pool: "eight",
        provision: `prov_${i}`,
        gpus: freeGpus("H100", ...Array(8).fill(1000)),
      }),
      provision: provision({ id: `prov_${i}`, pool: "eight", node: id, state: "joined" }),
    }));
    const some = {
      pools: [eight],
      nodes: here.map((one) => one.node),
      provisions: here.map((one) => one.provision),
    };
    assert.deepEqual(asked([[gang, 1]], some), ["eight", "eight"]);
  });

  it("not for what fits on nodes that are on their way", () => {
    const provisions = [
      provision({ pool: "eight" }),
      provision({ id: "prov_2", pool: "eight", state: "starting" }),
    ];
    assert.deepEqual(asked([[gpus("H100"), 16]], { pools: [eight], provisions }), []);
    assert.deepEqual(asked([[gpus("H100"), 17]], { pools: [eight], provisions }), ["eight"]);
  });

  it("never beyond max, counting those that leave; the most urgent first", () => {
    const provisions = [provision({ pool: "single", state: "releasing" })];
    const pools = [{ ...single, max: 3 }];
    assert.equal(asked([[gpus("H100"), 9]], { pools, provisions }).length, 2);
    const { ask, reasons } = planOf([[gpus("H100", { id: 2, name: "first" }), 2], [gpus("H100"), 1]], {
      pools,
      provisions,
    });
    assert.deepEqual(ask.map((one) => one.reason), ["for demo/first", "for demo/first"]);
    assert.equal(reasons.get(1), "pool single is at its max of 3 nodes");
  });

  it("to keep min, and counts those for what has no room", () => {
    const pools = [pool({ min: 2 })];
    assert.deepEqual(
      planOf([], { pools }).ask.map((one) => one.reason),
      Array(2).fill("kept by the pool's min"),
    );
    assert.equal(asked([[fn(), 3]], { pools }).length, 2);
    assert.equal(asked([], { pools, provisions: [provision()] }).length, 1);
  });

  it("in place of a node of its min that somebody drains", () => {
    const provisions = [provision({ state: "joined", node: "node_1" })];
    const nodes = [node({ pool: "grows", provision: "prov_1", state: "draining" })];
    assert.deepEqual(asked([], { pools: [pool({ min: 1 })], provisions, nodes }), ["grows"]);
  });

  it("never of a pool that drains, or whose shape is not known", () => {
    for (const some of [{ state: "draining" }, { shape: null }, { max: 0 }] as const) {
      assert.deepEqual(
        asked([[fn(), 1]], { pools: [pool({ min: some.max ?? 1, ...some })] }),
        [],
        JSON.stringify(some),
      );
    }
  });
});

describe("poolPlan() when a pool fails", () => {
  const spot = pool({ name: "spot", costPerHour: 0.3 });
  const sure = pool({ name: "sure", costPerHour: 1 });
  const failing = (count: number, agoMs: number) => ({
    ...spot,
    failures: { count, lastAt: NOW - agoMs, message: "no capacity" },
  });

  it("gives a provision up at its deadline, and asks the next pool in the same tick", () => {
    const provisions = [provision({ pool: "spot", state: "starting", deadlineAt: NOW })];
    const { release, ask } = planOf([[fn(), 1]], { pools: [spot, sure], provisions });
    assert.deepEqual(release, [{ provision: "prov_1", event: "fail", reason: "it did not join within 5m" }]);
    assert.deepEqual(ask.map((one) => one.pool), ["sure"]);
  });

  it("leaves it alone for 5 s, 10 s … 5 min", () => {
    for (const [count, ms] of [[1, 5_000], [2, 10_000], [3, 20_000], [7, 300_000], [40, 300_000]] as const) {
      assert.deepEqual(asked([[fn(), 1]], { pools: [failing(count, ms - 1), sure] }), ["sure"]);
      assert.deepEqual(asked([[fn(), 1]], { pools: [failing(count, ms), sure] }), ["spot"]);
    }
  });

  it("then asks for one at a time until one has joined", () => {
    const pools = [failing(1, 6_000)];
    assert.deepEqual(asked([[fn({ need: { cpuMilli: 8_000 } }), 3]], { pools }), ["spot"]);
    const provisions = [provision({ pool: "spot" })];
    assert.deepEqual(asked([[fn({ need: { cpuMilli: 8_000 } }), 3]], { pools, provisions }), []);
  });

  it("wakes the scheduler when it may be asked again, and at each deadline", () => {
    assert.equal(planOf([[fn(), 1]], { pools: [failing(2, 1_000)] }).wakeAt, NOW + 9_000);
    assert.equal(planOf([], { pools: [pool()], provisions: [provision()] }).wakeAt, NOW + 300_000);
  });
});

describe("poolPlan() says why calls wait", () => {
  it("that a node is starting, in the same words from the asking on", () => {
    const words = "a node of pool grows is starting (asked for at 2026-01-01T12:00:00.000Z, up to 5m)";
    assert.equal(reason(fn(), { pools: [pool()] }), words);
    const provisions = [provision({ state: "starting" })];
    assert.equal(reason(fn(), { pools: [pool()], provisions }, NOW + 12_000), words);
  });

  it("that no provider has taken it up", () => {
    const provisions = [provision()];
    assert.match(
      reason(fn(), { pools: [pool()], provisions }, NOW + 10_000)!,
      /up to 5m, and no provider has taken it up\)$/,
    );
  });

  it("that a pool failed, and when it is tried again", () => {
    const failures = { count: 1, lastAt: NOW, message: "no capacity" };
    const pools = [pool({ failures })];
    assert.equal(
      reason(fn(), { pools }),
      "pool grows failed to provide a node: no capacity; next try at 2026-01-01T12:00:05.000Z",
    );
  });

  it("that no pool has such nodes", () => {
    assert.equal(
      reason(gpus("H100:9"), { pools: [eight, single] }),
      "no pool can provide it: needs 9 × H100; largest node has 8",
    );
    assert.equal(
      reason(gpus("B200"), { pools: [eight] }),
      "no pool can provide it: needs 1 × B200; no node has one",
    );
  });

  it("that a pool can't grow by as many as a gang needs", () => {
    const provisions = [provision({ pool: "eight", state: "joined", node: "node_1" })];
    const nodes = [node({ pool: "eight", provision: "prov_1" })];
    assert.equal(
      reason(gpus("H100:8", { nodes: 4 }), { pools: [eight], provisions, nodes }),
      "pool eight is at its max of 4 nodes but for 3, and 4 are needed",
    );
  });

  it("nothing where no pool could grow", () => {
    assert.equal(reason(fn(), { pools: [pool({ max: 0 })] }), undefined);
  });
});
