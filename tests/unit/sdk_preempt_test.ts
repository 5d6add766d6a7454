import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { CallContext, type Outlet } from "../../sdk/context.ts";
import type { FailureKind } from "../../sdk/protocol.ts";
import { retryDelayMs, type RetryPolicy } from "../../sdk/retry.ts";

function context() {
  const logged: string[] = [];
  const outlet: Outlet = {
    log: (_call, text) => void logged.push(text),
    event: () => {},
    save: () => Promise.resolve(),
    load: () => Promise.resolve(undefined),
    publish: () => Promise.reject(new Error("There are no artifacts here")),
    artifact: () => Promise.reject(new Error("There are no artifacts here")),
  };
  const identity = { app: "demo", function: "work", container: "ctr_1" };
  const ctx = new CallContext(identity, { number: 1, id: "call_0000000001_0", attempt: 1 }, outlet);
  return { ctx, logged };
}

describe("ctx.onPreempt()", () => {
  it("calls every handler with the time left, then the signal says why it aborts", () => {
    const { ctx } = context();
    const seen: unknown[] = [];
    for (const name of ["a", "b"]) {
      ctx.onPreempt(({ deadlineMs }) => void seen.push([name, deadlineMs, ctx.signal.aborted]));
    }
    ctx.preempt({ deadlineMs: 500 });
    assert.deepEqual(seen, [["a", 500, false], ["b", 500, false]]);
    assert.equal(ctx.signal.reason.name, "PreemptedError");
  });

  it("calls a handler at once that comes after the notice", () => {
    const { ctx } = context();
    ctx.preempt({ deadlineMs: 500 });
    let called = 0;
    ctx.onPreempt(() => void called++);
    assert.equal(called, 1);
  });

  it("heeds a second notice no more than one", () => {
    const { ctx } = context();
    let called = 0;
    ctx.onPreempt(() => void called++);
    ctx.preempt({ deadlineMs: 500 });
    ctx.preempt({ deadlineMs: 400 });
    assert.equal(called, 1);
  });

  it("logs what a handler throws, and calls the others all the same", async () => {
    const { ctx, logged } = context();
    let called = 0;
    ctx.onPreempt(() => Promise.reject(new Error("disk full")));
    ctx.onPreempt(() => void called++);
    ctx.preempt({ deadlineMs: 500 });
    await Promise.resolve();
    await Promise.resolve();
    assert.equal(called, 1);
    assert.deepEqual(logged, ["A handler of onPreempt failed: disk full"]);
  });
});

describe("retryDelayMs()", () => {
  const policy: RetryPolicy = {
    max: 2,
    backoffMs: 1_000,
    factor: 2,
    maxBackoffMs: 1_500,
    on: ["user_error", "timeout"],
  };
  const delay = (kind: FailureKind, failed: number, lost = 0, retryable = true) =>
    retryDelayMs(policy, { kind, message: "", retryable }, { failed, lost });

  it("waits longer each time, up to its limit, max times", () => {
    assert.deepEqual([0, 1, 2].map((failed) => delay("user_error", failed)), [1_000, 1_500, null]);
  });

  it("repeats at once, without end, what gave way, and holds nothing against it", () => {
    assert.equal(delay("preempted", 2, 100), 0);
    assert.equal(delay("preempted", 2, 0, false), 0);
  });

  it("repeats at once what was lost with its node, but not for ever", () => {
    assert.equal(delay("node_lost", 2), 0);
    assert.equal(delay("node_lost", 0, 9), 0);
    assert.equal(delay("node_lost", 0, 10), null);
  });

  it("counts neither lost nodes nor preemption against max", () => {
    assert.equal(delay("user_error", 1, 7), 1_500);
  });

  it("leaves alone what cannot be helped, and what the policy does not name", () => {
    assert.equal(delay("user_error", 0, 0, false), null);
    assert.equal(delay("out_of_memory", 0), null);
  });
});
