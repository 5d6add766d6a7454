import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { keyEta, queueEta } from "../../scheduler/eta.ts";

const NOW = 1_000_000;

describe("queueEta()", () => {
  const eta = (position: number, some = {}) =>
    queueEta({ slots: 4, callMs: 1_000, startsAt: NOW + 500, ...some }, position, NOW);

  it("is when the slots are there, for as many calls as there are", () => {
    assert.deepEqual([0, 3].map((position) => eta(position)), [NOW + 500, NOW + 500]);
  });

  it("is one call later for every time that all slots are filled before", () => {
    assert.deepEqual([4, 7, 8].map((position) => eta(position)), [NOW + 1_500, NOW + 1_500, NOW + 2_500]);
  });

  it("is never in the past: what was said a while ago of the start has come", () => {
    assert.equal(eta(0, { startsAt: NOW - 9_000 }), NOW);
    assert.equal(eta(5, { startsAt: NOW - 9_000 }), NOW + 1_000);
  });

  it("is unknown without slots or a start, and behind others without the time of a call", () => {
    assert.equal(eta(0, { slots: null }), null);
    assert.equal(eta(0, { slots: 0 }), null);
    assert.equal(eta(0, { startsAt: null }), null);
    assert.equal(eta(4, { callMs: null }), null);
    assert.equal(eta(3, { callMs: null }), NOW + 500);
  });
});

describe("keyEta()", () => {
  it("is a whole call away for the first of those that wait for the key, and one more for each round of places", () => {
    const eta = (before: number) => keyEta({ places: 2, before, callMs: 1_000 }, NOW)! - NOW;
    assert.deepEqual([0, 1, 2, 5].map(eta), [1_000, 1_000, 2_000, 3_000]);
  });

  it("is unknown without the time of a call", () => {
    assert.equal(keyEta({ places: 1, before: 0, callMs: null }, NOW), null);
  });
});
