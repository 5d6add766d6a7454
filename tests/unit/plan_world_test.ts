/** Properties of plan() over whole lives of drawn worlds: what one tick cannot show. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseGpu } from "../../sdk/gpu.ts";
import { Pretend } from "../setup/pretend.ts";
import { dice, fn, gpus, node } from "../setup/snapshots.ts";

describe("plan() in a world that obeys it", () => {
  const GPUS = ["any", "H100", "H100:2", "L4:0.5", "L4:0.25", "none"];

  function drawWorld(seed: number): Pretend {
    const { upTo, pick } = dice(seed);
    const world = new Pretend([
      node({ id: "big", cpuMilli: 4_000, cpuMilliFree: 4_000, gpus: gpus("H100", 1000, 1000) }),
      ...Array.from(
        { length: upTo(2) },
        (_, i) => node({ id: `n${i}`, cpuMilliFree: 1_000, gpus: gpus("L4", 1000) }),
      ),
      node({ id: "small", gpus: gpus("L4", 1000) }),
    ]);
    for (let id = 1; id <= 2 + upTo(4); id++) {
      const gpu = pick(GPUS);
      const scale = { max: 1 + upTo(5), concurrency: 1 + upTo(3), scaledownWindowMs: 1_000 + upTo(20_000) };
      world.deploy(
        fn({
          id,
          name: `f${id}`,
          scale,
          need: { gpu: gpu === "none" ? [] : parseGpu(gpu), cpuMilli: 100 * (1 + upTo(5)) },
        }),
        {
          callMs: pick([1, 50, 800, 5_000, 40_000]),
          startMs: pick([0, 100, 3_000]),
        },
      );
    }
    for (let i = 0; i < 25; i++) {
      world.call(pick([...world.fns.keys()]), 1 + upTo(30));
      world.run(upTo(3_000), 200);
    }
    return world;
  }

  it("never gives a GPU twice, ends all calls, and goes back to zero (60 seeds)", () => {
    for (let seed = 0; seed < 60; seed++) {
      const world = drawWorld(seed);
      const unfinished = () =>
        [...world.work.values()].some((work) => work.waiting.length + work.running.length > 0);
      for (let i = 0; i < 40_000 && unfinished(); i++) world.run(2_000, 500);
      assert.equal(unfinished(), false, `seed ${seed}: calls are left`);
      world.run(60_000, 500);
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
      const [last] = [...world.fns.keys()].slice(-1);
      for (const id of world.fns.keys()) world.call(id, id === last ? 1 : 20_000);
      const before = world.work.get(last!)!.done;
      for (let i = 0; i < 300 && world.work.get(last!)!.done === before; i++) world.run(2_000, 500);
      assert.ok(world.work.get(last!)!.done > before, `seed ${seed}: shut out`);
    }
  });
});
