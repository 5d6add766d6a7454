import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Leases } from "../../runner/leases.ts";

const claim = {
  lease: 4,
  container: "ctr_1",
  batch: 2,
  lo: 10,
  attempt: 1,
  method: "fn",
  inputs: ["a", "b", "c"],
};

describe("Leases", () => {
  it("finds the calls of a claim by their place in the batch", () => {
    const leases = new Leases();
    leases.open(claim, 5);
    assert.equal(leases.find(4, 12)?.input, "c");
    assert.equal(leases.find(4, 13), undefined);
    assert.equal(leases.find(9, 10), undefined);
  });

  it("holds a lease until the last report of it has arrived", () => {
    const leases = new Leases();
    leases.open(claim, 5);
    leases.reported(4, 2);
    assert.deepEqual(leases.ids(), [4]);
    leases.reported(4, 1);
    assert.deepEqual(leases.ids(), []);
  });

  it("takes a claim up once, even when it comes again after it has ended", () => {
    const leases = new Leases();
    assert.notEqual(leases.open(claim, 5), null);
    assert.equal(leases.open(claim, 5), null);
    leases.reported(4, 3);
    assert.equal(leases.open(claim, 5), null);
    assert.deepEqual(leases.ids(), []);
  });
});
