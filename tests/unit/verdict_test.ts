import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { isBroken, type Part, verdict } from "../../scheduler/verdict.ts";
import type { Failure } from "../../sdk/protocol.ts";

let ended = 0;
const part = (outcome: Part["outcome"], failure: Failure | null = null) => ({
  outcome,
  failure,
  endedAt: outcome === null ? null : ++ended,
});
const failed = (kind: Failure["kind"], message: string = kind) => part(1, { kind, message, retryable: true });
const [WORKS, DONE, TOLD, UNSTARTED] = [part(null), part(0), part(2), part(3)];

/** The ranks' parts in their order, and what comes of them. */
const end = (parts: ReturnType<typeof part>[], cancelling = false) => {
  const decided = verdict(parts.map((one, rank) => ({ ...one, rank })), cancelling);
  return decided?.end === "failed" ? decided.failure.message : decided?.end ?? null;
};

describe("verdict()", () => {
  it("is rank 0's success, whatever the others do", () => {
    assert.equal(end([DONE, WORKS, WORKS]), "succeeded");
    assert.equal(end([DONE, failed("node_lost")]), "succeeded");
    assert.equal(end([WORKS, DONE]), null);
  });

  it("waits until every rank has ended", () => {
    assert.equal(end([failed("user_error"), TOLD, WORKS]), null);
    assert.equal(end([failed("user_error"), TOLD, DONE]), "Rank 0: user_error");
  });

  it("names the rank that explains the others, else the first to fail", () => {
    assert.equal(end([failed("user_error"), failed("node_lost"), TOLD]), "Rank 1: node_lost");
    assert.equal(end([failed("timeout"), failed("timeout"), failed("preempted")]), "Rank 2: preempted");
    const late = failed("user_error", "late");
    assert.equal(end([TOLD, failed("user_error", "later"), late]), "Rank 2: late");
  });

  it("is what was wished of a call that somebody cancels", () => {
    assert.equal(end([TOLD, failed("user_error")], true), "cancelled");
    assert.equal(end([DONE, TOLD], true), "succeeded");
    assert.equal(end([TOLD, WORKS], true), null);
  });

  it("gives a call back that no rank is to blame for", () =>
    assert.equal(end([TOLD, UNSTARTED]), "unstarted"));
});

describe("isBroken()", () => {
  it("is true once a rank ended otherwise than well", () => {
    const broken = (...parts: ReturnType<typeof part>[]) =>
      isBroken(parts.map((one, rank) => ({ ...one, rank })));
    assert.deepEqual([broken(DONE, WORKS), broken(WORKS, UNSTARTED), broken(TOLD, WORKS)], [
      false,
      true,
      true,
    ]);
  });
});
