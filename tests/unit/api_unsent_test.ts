import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Unsent } from "../../api/unsent.ts";

describe("Unsent", () => {
  it("begins with everything from the index that was asked for", () => {
    assert.deepEqual(new Unsent(2, 5).ranges(), [[2, 5]]);
    assert.equal(new Unsent(2, 5).count, 3);
    assert.deepEqual(new Unsent(9, 5).ranges(), []);
    assert.equal(new Unsent(9, 5).count, 0);
  });

  it("keeps the gaps and forgets what was sent", () => {
    const unsent = new Unsent(0, 10);
    unsent.remove([0, 1, 4, 5, 9]);
    assert.deepEqual(unsent.ranges(), [[2, 4], [6, 9]]);
    unsent.remove([2, 3]);
    assert.deepEqual(unsent.ranges(), [[6, 9]]);
    unsent.remove([6, 7, 8]);
    assert.deepEqual([unsent.ranges(), unsent.count], [[], 0]);
  });
});
