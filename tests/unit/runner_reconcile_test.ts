import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Known, reconcile } from "../../runner/reconcile.ts";
import type { Assignment, Desired } from "../../sdk/protocol.ts";

const wanted = (id: string, desired: Desired = "run") => ({ id, desired }) as Assignment;
const actions = (want: Assignment[], known: Known[]) =>
  reconcile(want, known).map((action) =>
    `${action.do} ${action.do === "start" ? action.assignment.id : action.id}`
  );

describe("reconcile()", () => {
  it("starts what is wanted and not there", () => {
    assert.deepEqual(actions([wanted("a"), wanted("b")], [{ id: "a", state: "ready" }]), ["start b"]);
  });

  it("stops what is there and not wanted, and forgets what has exited", () => {
    const known: Known[] = [{ id: "a", state: "starting" }, { id: "b", state: "draining" }, {
      id: "c",
      state: "exited",
    }];
    assert.deepEqual(actions([], known), ["stop a", "stop b", "forget c"]);
  });

  it("keeps an exited one until it is no longer named", () => {
    for (const desired of ["run", "drain", "stop"] as const) {
      assert.deepEqual(actions([wanted("a", desired)], [{ id: "a", state: "exited" }]), []);
    }
  });

  it("drains and stops what is told to, once", () => {
    assert.deepEqual(actions([wanted("a", "drain")], [{ id: "a", state: "ready" }]), ["drain a"]);
    assert.deepEqual(actions([wanted("a", "drain")], [{ id: "a", state: "draining" }]), []);
    assert.deepEqual(actions([wanted("a", "stop")], [{ id: "a", state: "draining" }]), ["stop a"]);
    assert.deepEqual(actions([wanted("a", "stop")], [{ id: "a", state: "stopping" }]), []);
    assert.deepEqual(actions([], [{ id: "a", state: "stopping" }]), []);
  });

  it("refuses to start what is to end, so that its exit is reported", () => {
    assert.deepEqual(actions([wanted("a", "drain"), wanted("b", "stop")], []), ["refuse a", "refuse b"]);
  });

  it("lets room be made before it is used", () => {
    assert.deepEqual(actions([wanted("new")], [{ id: "old", state: "ready" }]), ["stop old", "start new"]);
  });

  it("has nothing to do when all is as wanted", () => {
    assert.deepEqual(actions([wanted("a")], [{ id: "a", state: "ready" }]), []);
    assert.deepEqual(actions([wanted("a")], [{ id: "a", state: "starting" }]), []);
  });
});
