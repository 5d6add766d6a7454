import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { preferredWait } from "../../api/create_calls.ts";
import { LIMITS } from "../../sdk/protocol.ts";

describe("preferredWait()", () => {
  it("reads the wait among other preferences", () => {
    for (const header of ["wait=30", "respond-async, wait=30", "wait = 30", 'wait="30"', "Wait=30; foo"]) {
      assert.equal(preferredWait(header), 30, header);
    }
  });

  it("waits no longer than is allowed, and ignores what it can't read", () => {
    assert.equal(preferredWait("wait=99999"), LIMITS.waitSeconds);
    for (const header of [undefined, "", "wait", "wait=soon", "await=5", "wait=-1"]) {
      assert.equal(preferredWait(header), null, header);
    }
  });
});
