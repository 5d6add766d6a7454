import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { League } from "../../scheduler/league.ts";
import { dice } from "../setup/snapshots.ts";

describe("League", () => {
  it("has nothing least when it is empty", () => {
    assert.equal(new League(0).least, Infinity);
    assert.equal(new League(3).least, Infinity);
  });

  it("knows the least after any change (100 seeds)", () => {
    for (let seed = 0; seed < 100; seed++) {
      const { upTo, pick } = dice(seed);
      const size = 1 + upTo(20), league = new League(size);
      const values = Array<number>(size).fill(Infinity);
      for (let i = 0; i < 60; i++) {
        const entry = upTo(size - 1), value = pick([upTo(50), Infinity, -upTo(50)]);
        values[entry] = value;
        league.set(entry, value);
        assert.equal(league.least, Math.min(...values), `seed ${seed}, step ${i}`);
      }
    }
  });
});
