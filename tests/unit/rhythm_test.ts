import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { beats } from "../../scheduler/rhythm.ts";
import { after, every } from "../setup/bursts.ts";
import { NOW } from "../setup/snapshots.ts";

const beatsOf = (starts: readonly number[]) => {
  const { history } = after(starts);
  return beats(history, history.idleAt!);
};

/** Starts with these many seconds between them. */
const startsAt = (...intervals: number[]): number[] => {
  let at = NOW;
  return [at, ...intervals.map((s) => at += s * 1_000)];
};

describe("beats()", () => {
  it("expects nothing of a function that had work once", () => assert.deepEqual(beatsOf([NOW]), []));

  it("trusts an interval the more often it came: a tenth of a chance at first, nine tenths in the end", () => {
    const chance = (n: number) => beatsOf(every(600_000, n, NOW)).reduce((sum, beat) => sum + beat.chance, 0);
    assert.ok(chance(2) < 0.1);
    assert.ok(chance(3) > 0.4 && chance(3) < 0.5);
    assert.ok(chance(17) > 0.9 && chance(17) < 1);
  });

  it("counts from the start of a burst, however long it took", () => {
    const { history } = after(every(600_000, 10, NOW), 200_000);
    const [beat] = beats(history, history.idleAt!);
    assert.ok(beat!.fromS < 400 && beat!.toS > 400 && beat!.toS - beat!.fromS < 20, JSON.stringify(beat));
  });

  it("takes intervals that differ by little for one, and those that differ by much for several", () => {
    assert.equal(beatsOf(startsAt(300, 301, 299.5, 300.4)).length, 1);
    assert.equal(beatsOf(startsAt(300, 900, 300, 900)).length, 2);
  });

  it("leaves out beats that have passed, and believes the more in those to come", () => {
    const { history } = after(startsAt(300, 900, 300, 900, 300, 900));
    const before = beats(history, history.burstAt + 10_000),
      later = beats(history, history.burstAt + 600_000);
    assert.equal(later.length, 1);
    assert.ok(later[0]!.chance > before[1]!.chance);
  });
});
