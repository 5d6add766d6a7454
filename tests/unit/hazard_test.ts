import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { AGES_S, CELLS } from "../../scheduler/arrivals.ts";
import { hazards, parts, terms } from "../../scheduler/hazard.ts";
import { WEIGHTS } from "../../scheduler/hazard_weights.ts";
import { after, every } from "../setup/bursts.ts";
import { NOW } from "../setup/snapshots.ts";

const HOUR = 3_600_000;
const hazardsOf = (starts: readonly number[]) => {
  const { history, day } = after(starts);
  return hazards(history, day, history.idleAt!);
};
const cellOf = (ageS: number) => AGES_S.findIndex((from) => from > ageS) - 1;

describe("hazards()", () => {
  it("gives each cell of ages a chance per second, smaller for the older of them in general", () => {
    const rates = hazardsOf([NOW]);
    assert.equal(rates.length, CELLS);
    assert.ok(rates.every((rate) => rate > 0 && rate < 1));
    assert.ok(rates[cellOf(20)]! > 10 * rates[cellOf(1_800)]!);
  });

  it("is larger where the function's own gaps have ended", () => {
    const fiveMinutes = hazardsOf(every(301_000, 60, NOW)), tenMinutes = hazardsOf(every(601_000, 60, NOW));
    assert.ok(fiveMinutes[cellOf(310)]! > 3 * tenMinutes[cellOf(310)]!);
    assert.ok(tenMinutes[cellOf(610)]! > 3 * hazardsOf([NOW])[cellOf(610)]!);
  });

  it("is larger in the hours in which there usually is work", () => {
    const daily = every(24 * HOUR, 10, NOW);
    const rates = hazardsOf([...daily, daily.at(-1)! + 12 * HOUR]);
    const twelveHours = cellOf(43_300), sixHours = cellOf(21_700);
    const once = hazardsOf([NOW]);
    assert.ok(rates[twelveHours]! / rates[sixHours]! > 2 * once[twelveHours]! / once[sixHours]!);
  });
});

describe("terms()", () => {
  it("has a weight for each of its terms, finite for the oldest and the newest of histories", () => {
    for (const starts of [[NOW], every(1, 100, NOW), every(30 * 24 * HOUR, 9, NOW), [0, 3_000]]) {
      const { history, day } = after(starts, 0);
      const rows = terms(history, day, history.idleAt!);
      assert.ok(rows.every((row) => row.length === WEIGHTS.length && row.every(Number.isFinite)));
    }
  });
});

describe("parts()", () => {
  it("shares an age between the two knots around it, all of it", () => {
    for (const age of [0, 10, 59, 60, 61, 900, 1e6]) {
      const shares = parts(age, [60, 1_800, 43_200]);
      assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
      assert.ok(shares.filter((share) => share > 0).length <= 2);
    }
    assert.deepEqual(parts(5, [60, 1_800]), [1, 0]);
    assert.deepEqual(parts(1_800, [60, 1_800]), [0, 1]);
  });
});
