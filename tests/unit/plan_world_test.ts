/** Properties of plan() over whole lives of drawn worlds: what one tick cannot show. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseGpu } from "../../sdk/gpu.ts";
import { Pretend } from "../setup/pretend.ts";
import { dice, fn, gpus, node, workspace } from "../setup/snapshots.ts";

type Dice = ReturnType<typeof dice>;

const GPUS = ["any", "H100", "H100:2", "L4:0.5", "L4:0.25", "none"];

const nodesOf = ({ upTo }: Dice) => [
  node({ id: "big", cpuMilli: 4_000, cpuMilliFree: 4_000, gpus: gpus("H100", 1000, 1000) }),
  ...Array.from(
    { length: upTo(2) },
    (_, i) => node({ id: `n${i}`, cpuMilliFree: 1_000, gpus: gpus("L4", 1000) }),
  ),
  node({ id: "small", gpus: gpus("L4", 1000) }),
];

/** Functions of one workspace that compete for a few nodes. */
function drawWorld(seed: number): Pretend {
  const drawn = dice(seed), { upTo, pick } = drawn;
  const world = new Pretend(nodesOf(drawn));
  for (let id = 1; id <= 2 + upTo(4); id++) {
    const gpu = pick(GPUS);
    const scale = { max: 1 + upTo(5), concurrency: 1 + upTo(3), scaledownWindowMs: 1_000 + upTo(20_000) };
    const need = { gpu: gpu === "none" ? [] : parseGpu(gpu), cpuMilli: 100 * (1 + upTo(5)) };
    world.deploy(fn({ id, name: `f${id}`, scale, need }), {
      callMs: pick([1, 50, 800, 5_000]),
      startMs: pick([0, 100, 3_000]),
    });
  }
  return world;
}

/** The same with workspaces, quotas, priorities, preemption, gangs, pools, and things that go wrong. */
function drawUnruly(seed: number): Pretend {
  const drawn = dice(seed), { upTo, pick } = drawn;
  const world = new Pretend([...nodesOf(drawn), node({ id: "other", gpus: gpus("H100", 1000, 1000) })]);
  for (const id of ["a", "b"]) {
    world.admit(workspace({
      id,
      weight: 100 * (1 + upTo(3)),
      gpuQuotaMilli: pick([null, null, 1000, 2000]),
      gpuLimitMilli: pick([null, null, 4000]),
      cpuQuotaMilli: pick([null, 500]),
    }));
  }
  if (upTo(1) === 1) addPool(world, drawn);
  for (let id = 1; id <= 2 + upTo(4); id++) {
    const gpu = pick(GPUS);
    world.deploy(
      fn({
        id,
        name: `f${id}`,
        workspace: pick(["a", "b"]),
        nodes: gpu === "H100" ? 1 + upTo(1) : 1,
        preemptible: upTo(1) === 1,
        preemptNoticeMs: 1_000 * (1 + upTo(9)),
        scale: {
          min: upTo(5) === 0 ? 1 : 0,
          max: 1 + upTo(5),
          concurrency: 1 + upTo(3),
          scaledownWindowMs: 1_000 + upTo(20_000),
        },
        need: { gpu: gpu === "none" ? [] : parseGpu(gpu), cpuMilli: 100 * (1 + upTo(5)) },
      }),
      { callMs: pick([50, 800, 5_000]), startMs: pick([0, 100, 3_000]), saveMs: pick([500, 20_000]) },
    );
  }
  return world;
}

function addPool(world: Pretend, { upTo, pick }: Dice): void {
  const shape = {
    cpuMilli: 8_000,
    memoryMiB: 16_384,
    diskMiB: 100_000,
    labels: {},
    gpus: pick([["H100", "H100"], ["L4"]]).map((model) => ({ model, vramMiB: 81_920 })),
  };
  const pool = {
    name: "p",
    state: "active" as const,
    provider: "pretended",
    min: 0,
    max: 1 + upTo(2),
    shape,
  };
  world.pools.set("p", {
    joinMs: 1_000 * upTo(40),
    pool: { ...pool, costPerHour: 1, idleTimeoutMs: 20_000, provisionTimeoutMs: 30_000, failures: null },
  });
}

/** Calls come, for a while. */
function flood(world: Pretend, { upTo, pick }: Dice, priorities: readonly number[]): void {
  for (let i = 0; i < 15; i++) {
    const key = upTo(9) === 0 ? "k" : null;
    world.call(pick([...world.fns.keys()]), 1 + upTo(12), { priority: pick(priorities), key });
    world.live(upTo(3_000));
  }
}

/** Something goes wrong, and is well again. */
function disturb(world: Pretend, { upTo, pick }: Dice): void {
  const { id, gpus } = pick(world.nodes);
  const healthy = (is: boolean) => gpus.map((gpu, i) => i === 0 ? { ...gpu, healthy: is } : gpu);
  const change = (some: Parameters<Pretend["changeNode"]>[1]) => world.changeNode(id, some);
  const heal = (is: boolean) =>
    change({
      gpus: world.nodes.find((one) => one.id === id)!.gpus.map((gpu, i) => ({
        ...gpu,
        healthy: healthy(is)[i]!.healthy,
      })),
    });
  const acts: [() => void, () => void][] = [
    [() => world.containers.length > 0 && world.crash(pick(world.containers).id), () => {}],
    [() => change({ cordoned: true }), () => change({ cordoned: false })],
    [() => heal(false), () => heal(true)],
  ];
  const [begin, end] = pick(acts);
  begin();
  world.live(1_000 * upTo(20));
  if (world.nodes.some((one) => one.id === id)) end();
}

/** What is kept for one function can be what another waits for: from now on nothing is. */
function makeWell(world: Pretend): void {
  for (const { id } of world.nodes) world.changeNode(id, { cordoned: false });
  for (const [id, one] of world.fns) world.fns.set(id, { ...one, scale: { ...one.scale, min: 0 } });
}

const isUnfinished = (world: Pretend) =>
  [...world.work.values()].some((work) => work.queued + work.running.length > 0);

/** Until everything that can be done is done. */
function settle(world: Pretend, ms: number): void {
  for (const end = world.now + ms; world.now < end && isUnfinished(world);) world.live(5_000);
}

describe("plan() in a world that obeys it", () => {
  it("never gives a GPU twice, ends all calls, and goes back to zero (60 seeds)", () => {
    for (let seed = 0; seed < 60; seed++) {
      const world = drawWorld(seed);
      flood(world, dice(seed + 1_000), [50]);
      settle(world, 20_000_000);
      assert.equal(isUnfinished(world), false, `seed ${seed}: calls are left`);
      world.live(60_000);
      assert.deepEqual(world.containers, [], `seed ${seed}: containers are left`);
      assert.deepEqual(world.broken, [], `seed ${seed}`);
      assert.ok(
        world.nodes.every((one) => one.gpus.every((gpu) => gpu.milliFree === 1000)),
        `seed ${seed}: GPUs are held`,
      );
    }
  });

  it("serves every function while the others are flooded, when its need fits an empty node", () => {
    // 69: a function that needs both GPUs of a node never got them while others took each one as it became free.
    for (const seed of [...Array(20).keys(), 69]) {
      const world = drawWorld(seed);
      flood(world, dice(seed + 1_000), [50]);
      const [last] = [...world.fns.keys()].slice(-1);
      for (const id of world.fns.keys()) world.call(id, id === last ? 1 : 20_000);
      const before = world.work.get(last!)!.done;
      for (let i = 0; i < 300 && world.work.get(last!)!.done === before; i++) world.live(2_000);
      assert.ok(world.work.get(last!)!.done > before, `seed ${seed}: shut out`);
    }
  });
});

describe("plan() in an unruly world", () => {
  it("is always sound, and once things are well everything ends and what is idle goes (150 seeds)", () => {
    for (let seed = 0; seed < 150; seed++) {
      const world = drawUnruly(seed), drawn = dice(seed + 1_000);
      for (let i = 0; i < 3; i++) {
        flood(world, drawn, [0, 20, 50, 50, 90]);
        disturb(world, drawn);
      }
      assert.deepEqual(world.broken, [], `seed ${seed}`);
      makeWell(world);
      settle(world, 20_000_000);
      assert.deepEqual(world.broken, [], `seed ${seed}`);
      const stuck = [...world.fns.values()].filter(({ id }) => world.work.get(id)!.queued > 0);
      assert.deepEqual(stuck.map(({ name, waiting }) => `${name}: ${waiting}`), [], `seed ${seed}`);
      world.live(120_000);
      assert.deepEqual(world.containers, [], `seed ${seed}: containers are left`);
      assert.deepEqual(world.provisions.filter((one) => world.nodes.every(({ id }) => id !== one.node)), []);
    }
  });
});
