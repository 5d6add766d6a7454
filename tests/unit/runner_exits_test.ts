import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { causeOf, type Ending, failureOfDoom, failureOfExit } from "../../runner/exits.ts";

const ending = (more: Partial<Ending>): Ending => ({
  exit: { code: 0, signal: null },
  verdict: null,
  wasReady: true,
  stderr: "",
  memoryMiB: 512,
  seenMemoryMiB: 60,
  ...more,
});
const signalled = (signal: string, code: number) => ({ code, signal });

describe("causeOf()", () => {
  it("blames the function that ends its own process, with the code", () => {
    assert.deepEqual(causeOf(ending({})), {
      kind: "user_error",
      message: "The function ended its own process (exit code 0)",
    });
    const cause = causeOf(ending({ exit: { code: 7, signal: null }, stderr: "Traceback\nboom\n" }));
    assert.deepEqual(cause, {
      kind: "user_error",
      message: "The function ended its own process (exit code 7): Traceback\nboom",
    });
  });

  it("calls it a failed start when it was never ready", () => {
    const cause = causeOf(
      ending({ wasReady: false, exit: { code: 1, signal: null }, stderr: "no module\n" }),
    );
    assert.deepEqual(cause, {
      kind: "start_failed",
      message: "The process ended while it started (exit code 1): no module",
    });
  });

  it("knows an exhausted heap by what V8 prints", () => {
    const stderr =
      "<--- Last few GCs --->\n#\n# Fatal JavaScript out of memory: Reached heap limit\n#\n==== C stack trace\n";
    assert.equal(causeOf(ending({ exit: signalled("SIGTRAP", 133), stderr })).kind, "out_of_memory");
    assert.equal(
      causeOf(ending({ exit: signalled("SIGABRT", 134), stderr: "std::bad_alloc" })).kind,
      "out_of_memory",
    );
    assert.equal(
      causeOf(ending({ wasReady: false, exit: signalled("SIGTRAP", 133), stderr })).kind,
      "out_of_memory",
    );
  });

  it("calls other crashes the function's", () => {
    const cause = causeOf(ending({ exit: signalled("SIGSEGV", 139), stderr: "panic" }));
    assert.deepEqual(cause, { kind: "user_error", message: "The process crashed (SIGSEGV): panic" });
  });

  it("takes a kill from outside for the node's fault, unless memory was at its limit", () => {
    const exit = signalled("SIGKILL", 137);
    assert.equal(causeOf(ending({ exit })).kind, "node_lost");
    assert.equal(causeOf(ending({ exit: signalled("SIGTERM", 143) })).kind, "node_lost");
    assert.equal(causeOf(ending({ exit, seenMemoryMiB: 500 })).kind, "out_of_memory");
  });

  it("believes the runner's own verdict first", () => {
    const verdict = { kind: "timeout", message: "too long" } as const;
    assert.deepEqual(causeOf(ending({ verdict, exit: signalled("SIGKILL", 137) })), verdict);
  });
});

describe("failureOfExit()", () => {
  it("lets calls run again that only shared a container with the guilty one", () => {
    for (const kind of ["timeout", "cancelled", "stopped"] as const) {
      const failure = failureOfExit({ kind, message: "killed" });
      assert.equal(failure.kind, "preempted");
      assert.equal(failure.retryable, true);
    }
  });
});

describe("failureOfDoom()", () => {
  it("makes a cancelled call no failure", () => {
    assert.equal(failureOfDoom("cancelled", "5m"), null);
    assert.equal(failureOfDoom("timeout", "5m")?.message, "The call ran longer than its timeout of 5m");
    assert.equal(failureOfDoom("stopped", "5m")?.kind, "preempted");
  });
});
