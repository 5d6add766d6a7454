import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  callMachine,
  containerMachine,
  next,
  RESULT_STATES,
  sources,
  terminal,
} from "../../scheduler/states.ts";

describe("the tables of states", () => {
  it("number the ends of a call as `result.state` stores them", () => {
    assert.deepEqual(RESULT_STATES, ["succeeded", "failed", "cancelled", "expired"]);
  });

  it("guard an event by the states in which it may happen", () => {
    assert.deepEqual(sources(callMachine, "cancel"), ["queued", "running"]);
    assert.deepEqual(sources(containerMachine, "ready"), ["pending", "starting"]);
  });

  it("lead nowhere from an end", () => {
    for (const state of terminal(containerMachine)) assert.equal(next(containerMachine, state, "exit"), null);
    assert.equal(next(callMachine, "running", "requeue"), "queued");
  });
});
