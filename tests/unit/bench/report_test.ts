/** What a bench found, as people read it. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Finding, median, quantile, report, spread } from "../../bench/report.ts";

const finding: Finding = {
  bench: "a map",
  what: "calls",
  value: "2/s",
  baseline: "1/s",
  target: "≥ 2/s",
  ok: true,
  figures: {},
  notes: ["half of it is PostgreSQL"],
};

describe("quantile()", () => {
  it("gives the sample below which the share lies, whatever the order", () => {
    assert.equal(quantile([5, 1, 4, 2, 3], 0.5), 3);
    assert.equal(quantile([5, 1, 4, 2, 3], 1), 5);
    assert.equal(quantile([7], 0.99), 7);
  });

  it("leaves its samples in their order", () => {
    const samples = [2, 1];
    median(samples);
    assert.deepEqual(samples, [2, 1]);
  });
});

describe("spread()", () => {
  it("shows the median and the range, as rates", () => {
    assert.equal(spread([900, 1_500, 1_200], "calls"), "1,200 calls/s [900–1500]");
  });
});

describe("report()", () => {
  it("marks what missed its target, and puts notes under the table", () => {
    const [, good, bad, , note] = report([finding, { ...finding, bench: "b single", ok: false, notes: [] }])
      .split("\n");
    assert.match(good!, /^✓ +a map/);
    assert.match(bad!, /^✗ +b single/);
    assert.equal(note, "a map: half of it is PostgreSQL");
  });
});
