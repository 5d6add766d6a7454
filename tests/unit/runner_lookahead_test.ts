import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  guestAhead,
  heldAhead,
  holdShare,
  isStuck,
  type Pace,
  paced,
  slowed,
  UNKNOWN_PACE,
} from "../../runner/lookahead.ts";

const pace = (ms: number, calls = 1_000): Pace => ({ ms, calls });

describe("heldAhead() and guestAhead()", () => {
  it("fetch nothing ahead while the pace is not known", () => {
    assert.equal(heldAhead(UNKNOWN_PACE, 8, 4_000), 0);
    assert.equal(guestAhead(UNKNOWN_PACE, 8), 0);
  });

  it("hold 75 ms of work, of which 7.5 ms in the guest", () => {
    assert.equal(heldAhead(pace(5), 1, 4_000), 15);
    assert.equal(guestAhead(pace(5), 1), 1);
    assert.equal(heldAhead(pace(5), 4, 4_000), 60);
    assert.equal(guestAhead(pace(1), 1), 7);
  });

  it("hold nothing ahead of slow calls", () => {
    assert.equal(heldAhead(pace(30), 16, 4_000), 0);
    assert.equal(guestAhead(pace(30), 1), 0);
  });

  it("stay within their limits, however fast the calls are", () => {
    assert.equal(heldAhead(pace(0), 1, 4_000), 4_000);
    assert.equal(heldAhead(pace(0), 1, 500), 500);
    assert.equal(guestAhead(pace(0), 1), 64);
  });

  it("grow with the calls seen", () => {
    assert.equal(heldAhead(pace(0.01, 1), 1, 4_000), 4);
    assert.equal(heldAhead(pace(0.01, 100), 1, 4_000), 400);
  });
});

describe("holdShare()", () => {
  it("shares 4,000 calls between the containers, fewer when inputs are large", () => {
    assert.equal(holdShare(1, 100), 4_000);
    assert.equal(holdShare(4, 100), 1_000);
    assert.equal(holdShare(2, 4 * 1024 * 1024), 8);
    assert.equal(holdShare(0, 0), 4_000);
  });
});

describe("paced()", () => {
  it("begins with the first calls and follows the later ones", () => {
    const first = paced(UNKNOWN_PACE, 10, 2);
    assert.deepEqual(first, { ms: 10, calls: 2 });
    const later = paced(first, 0, 64);
    assert.ok(later.ms! < 0.02);
    assert.equal(later.calls, 66);
    assert.equal(paced(later, 99, 0), later);
  });

  it("stops fetching ahead after one slow call among fast ones", () => {
    const fast = paced(UNKNOWN_PACE, 0.02, 1_000);
    assert.ok(heldAhead(fast, 1, 4_000) > 3_000);
    assert.equal(heldAhead(paced(fast, 2_000, 1), 1, 4_000), 0);
  });
});

describe("slowed() and isStuck()", () => {
  it("give back what waits long behind a call that does not end", () => {
    assert.equal(isStuck({ waitedMs: 150, runningMs: 150 }), true);
    assert.equal(isStuck({ waitedMs: 150, runningMs: 1 }), false);
    assert.equal(isStuck({ waitedMs: 20, runningMs: 5_000 }), false);
    assert.equal(heldAhead(slowed(pace(0.01), 150), 1, 4_000), 0);
  });
});
