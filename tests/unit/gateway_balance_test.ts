import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { pick } from "../../api/gateway/balance.ts";

const containers = (n: number) => Array.from({ length: n }, (_, i) => ({ id: `c${i}`, address: `/${i}` }));

/** A sequence of chances that repeats itself. */
function chances(...values: readonly number[]) {
  let i = 0;
  return () => values[i++ % values.length]!;
}

/** The same numbers each time, spread evenly enough (mulberry32). */
function seeded(seed: number) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe("pick()", () => {
  it("pick() gives nothing when there is no container, or none with a free slot", () => {
    assert.equal(pick([], () => 1, () => 0), null);
    assert.equal(pick(containers(3), () => 0, () => 0.5), null);
    assert.equal(pick(containers(3), () => -1, () => 0.5), null);
  });

  it("pick() takes of the two it draws the one with more free slots", () => {
    const all = containers(10);
    const free = ({ id }: { id: string }) => Number(id.slice(1));
    assert.equal(pick(all, free, chances(0.2, 0.7))?.id, "c7");
    assert.equal(pick(all, free, chances(0.7, 0.2))?.id, "c7");
  });

  it("pick() finds the only container with a free slot, whatever it draws", () => {
    const all = containers(50);
    const random = seeded(1);
    for (let i = 0; i < 50; i++) assert.equal(pick(all, ({ id }) => id === "c31" ? 1 : 0, random)?.id, "c31");
  });

  it("pick() never gives a container more than its slots, and fills all of them", () => {
    const random = seeded(2);
    const all = containers(7);
    const taken = new Map(all.map(({ id }) => [id, 0]));
    for (let i = 0; i < 7 * 4; i++) {
      const { id } = pick(all, (container) => 4 - taken.get(container.id)!, random)!;
      taken.set(id, taken.get(id)! + 1);
    }
    assert.deepEqual([...taken.values()], [4, 4, 4, 4, 4, 4, 4]);
    assert.equal(pick(all, (container) => 4 - taken.get(container.id)!, random), null);
  });

  it("pick() spreads much more evenly than chance alone", () => {
    const random = seeded(3);
    const all = containers(20);
    const taken = new Map(all.map(({ id }) => [id, 0]));
    for (let i = 0; i < 2_000; i++) {
      const { id } = pick(all, (container) => 1_000 - taken.get(container.id)!, random)!;
      taken.set(id, taken.get(id)! + 1);
    }
    const spread = Math.max(...taken.values()) - Math.min(...taken.values());
    assert.ok(spread <= 10, `between the fullest and the emptiest of 20 with 100 each: ${spread}`);
  });
});
