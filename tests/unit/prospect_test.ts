import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { mixOf, type Workload } from "../../scheduler/mix.ts";
import type { Need } from "../../scheduler/model.ts";
import { Waste } from "../../scheduler/waste.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { dice, fn, gpus, need, node } from "../setup/snapshots.ts";

const asks = (gpu: string, cpuMilli = 0): Need => need({ gpu: parseGpu(gpu), cpuMilli, memoryMiB: 0 });
const only = (...needs: Need[]): Workload[] => needs.map((need) => ({ need, weight: 1 }));

/** What will go to waste of a node with this much free. */
function wasteOf(mix: readonly Workload[], free: readonly number[], cpuMilli = 8_000, where = {}): number {
  const all = node({ gpus: gpus("L4", ...free), cpuMilli: 8_000, ...where });
  const prospect = new Waste(mix).prospectOf(all);
  const healthy = all.gpus.flatMap((gpu, i) => gpu.healthy ? [i] : []);
  return prospect.of(cpuMilli, 16_384, Int32Array.from(free), healthy);
}

describe("Prospect.of()", () => {
  it("is nothing where everything will be used", () => {
    assert.equal(wasteOf(only(asks("L4")), [1000, 1000]), 0);
    assert.equal(wasteOf(only(asks("L4:0.5")), [500, 1000]), 0);
    assert.equal(wasteOf(only(asks("L4")), [0, 0]), 0);
  });

  it("counts what is too small for all that comes, near and far", () => {
    const waste = wasteOf(only(asks("L4:0.81")), [190, 0]);
    assert.ok(waste > 190, `${waste}`);
    assert.ok(wasteOf(only(asks("L4:0.81")), [300]) > waste);
  });

  it("sees the sliver that comes with the piece, before it is there", () => {
    assert.ok(wasteOf(only(asks("L4:0.81")), [1000]) > 0);
    assert.ok(
      wasteOf(only(asks("L4:0.81"), asks("L4:0.19")), [1000]) < wasteOf(only(asks("L4:0.81")), [1000]),
    );
  });

  it("counts GPUs for which the CPU will not do, more the scarcer it is", () => {
    const mix = only(asks("L4", 4_000), asks("L4", 2_000));
    const [plenty, tight, short] = [8_000, 5_000, 2_000].map((cpu) => wasteOf(mix, [1000, 1000], cpu));
    assert.ok(plenty! < tight! && tight! < short!, `${plenty} ${tight} ${short}`);
  });

  it("counts pieces that are too few for gangs of GPUs", () => {
    const mix = only(asks("L4:2"), asks("L4"));
    assert.ok(wasteOf(mix, [1000, 0]) > wasteOf(mix, [1000, 1000]) - 1);
    assert.ok(wasteOf(only(asks("L4:2")), [1000, 0]) > wasteOf(mix, [1000, 0]));
  });

  it("counts all of the GPUs that nothing in the mix may use", () => {
    assert.ok(wasteOf(only(asks("H100")), [1000]) > wasteOf(only(asks("H100"), asks("L4")), [1000]));
  });

  it("does not count GPUs that are broken", () => {
    const [good, bad] = gpus("L4", 1000, 700);
    const where = { gpus: [good!, { ...bad!, healthy: false }] };
    assert.equal(wasteOf(only(asks("L4")), [1000, 700], 8_000, where), 0);
  });

  it("is the same whichever of equal GPUs has more free (100 seeds)", () => {
    for (let seed = 0; seed < 100; seed++) {
      const { upTo, next } = dice(seed);
      const free = Array.from({ length: 4 }, () => 100 * upTo(10)), keys = free.map(() => next());
      const shuffled = free.map((milli, i) => [milli, keys[i]!] as const).sort((a, b) => a[1] - b[1]);
      const mix = only(asks("L4:0.3", 500), asks("L4", 3_000), asks("L4:2", 1_000));
      assert.equal(wasteOf(mix, free), wasteOf(mix, shuffled.map(([milli]) => milli)), `seed ${seed}`);
    }
  });
});

describe("mixOf()", () => {
  it("weighs what functions need by their containers, and leaves a fifth to work that is not known", () => {
    const big = { need: { cpuMilli: 4_000 } };
    const mix = mixOf([
      { fn: fn({ id: 1 }), containers: 7 },
      { fn: fn({ id: 2, nodes: 2, ...big }), containers: 3 },
      { fn: fn({ id: 3, ...big }), containers: 0 },
    ]);
    const sum = mix.reduce((sum, { weight }) => sum + weight, 0);
    assert.deepEqual(mix.slice(0, 2).map(({ weight }) => weight), [8, 8]);
    assert.equal(Math.round(sum * 0.8 * 1e6) / 1e6, 16);
  });

  it("is all unknown work without functions", () => assert.ok(mixOf([]).length > 0));
});
