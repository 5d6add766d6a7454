import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Failure } from "../../sdk/protocol.ts";
import { GRACE_MS, HELLO, loneContainer as setup, READY } from "../setup/lone_container.ts";
import { ScriptedEngine } from "../setup/scripted_guest.ts";

describe("Container starting", () => {
  it("says hello, loads, is ready", async () => {
    const { container, guest, say, changes } = await setup({ starts: false });
    assert.deepEqual(container.observed, { id: "ctr_1", observed: "starting" });
    assert.equal(container.free(100), 0);
    await say(HELLO);
    assert.deepEqual(guest.heard, [{
      t: "load",
      path: "/slot/app/app.js",
      entry: "fn",
      kind: "function",
      app: "test",
      function: "fn",
      container: "ctr_1",
      concurrency: 1,
      methods: {
        fn: { member: null, kind: "call", stream: false },
        web: { member: null, kind: "endpoint", stream: false },
      },
      endpoints: { web: "web" },
    }]);
    const before = changes();
    await say(READY);
    assert.deepEqual(container.observed, { id: "ctr_1", observed: "ready", address: "/slot/http.sock" });
    assert.equal(changes(), before + 1);
    assert.equal(container.free(100), 1);
  });

  it("fails with what the guest says of it, or the engine", async () => {
    const broken = await setup({ starts: false });
    await broken.say(HELLO, { t: "broken", message: "no", stack: "Error: no\n    at app.ts:3" });
    await broken.ran;
    assert.deepEqual(broken.exit(), { kind: "start_failed", message: "Error: no\n    at app.ts:3" });
    const engine = new ScriptedEngine();
    engine.fails = "Cannot install the requirements: there are none";
    const failed = await setup({ engine });
    await failed.ran;
    assert.deepEqual(failed.exit(), { kind: "start_failed", message: engine.fails });
  });

  it("is given up after its time, with what it was doing, even while the engine is stuck", async () => {
    const engine = new ScriptedEngine();
    engine.hangs = true;
    const { pass, exit } = await setup({ engine, spec: { startTimeout: "2s" } });
    await pass(2_000);
    assert.equal(exit(), undefined);
    await pass(1);
    assert.deepEqual(exit(), {
      kind: "start_failed",
      message: "It was not ready within 2s: Installing the moon",
    });
  });

  it("stops at once when it is no longer wanted", async () => {
    const { container, ran, exit } = await setup({ starts: false });
    container.drain();
    await ran;
    assert.equal(exit()?.kind, "stopped");
  });
});

describe("Container among hostile frames", () => {
  const hostile: Record<string, (string | Record<string, unknown>)[]> = {
    "not JSON": ["nonsense\n"],
    "no frame": ["17\n"],
    "an unknown frame": [{ t: "sudo" }],
    "a second hello": [HELLO],
    "a second ready": [READY],
    "a result nobody waits for": [{ t: "result", c: 0, v: 1 }],
    "a result of a later call": [{ t: "result", c: 7, v: 1 }],
    "a negative call": [{ t: "result", c: -1, v: 1 }],
    "a call that is no number": [{ t: "result", c: "0", v: 1 }],
    "a log for a call it never had": [{ t: "log", c: 9, text: "x" }],
    "a wrong type": [{ t: "log", c: 0, text: 5 }],
    "a body nobody announced": [{ t: "ready", bytes: 3 }, "abc"],
    "a result with a body": [{ t: "result", c: 0, v: 1, bytes: 3 }, "abc"],
    "a path outside /v1/": [{ t: "fetch", n: 1, method: "GET", path: "/healthz" }],
    "a recall nobody asked for": [{ t: "recalled", calls: [0] }],
  };
  for (const [what, frames] of Object.entries(hostile)) {
    it(`kills the guest for ${what}`, async () => {
      const { give, say, ran, exit, reports, guest } = await setup();
      if (what === "a result with a body" || what === "a log for a call it never had") give("a");
      await say(...frames);
      await ran;
      assert.ok(guest.killed > 0);
      assert.equal(exit()?.kind, "user_error");
      assert.match(exit()!.message, /^The function spoke outside the guest protocol: /);
      assert.ok(reports().every(([, outcome]) => outcome <= 1));
    });
  }

  it("refuses what is said before hello", async () => {
    const { say, ran, exit } = await setup({ starts: false });
    await say(READY);
    await ran;
    assert.deepEqual(exit(), {
      kind: "start_failed",
      message: "The function spoke outside the guest protocol: ready before hello",
    });
  });

  it("answers a request that leads elsewhere, and makes none", async () => {
    const { say, guest } = await setup();
    await say({ t: "fetch", n: 1, method: "GET", path: "/v1/../nodes" });
    const { ok, message } = guest.heard.at(-1)!;
    assert.equal(ok, false);
    assert.match(String(message), /the path must stay below \/v1\//);
  });

  it("answers a checkpoint of a call that is over", async () => {
    const { say, guest, give } = await setup();
    give("a");
    await say({ t: "result", c: 0 }, { t: "checkpoint-save", n: 4, c: 0, bytes: 2 }, "xy");
    assert.deepEqual(guest.heard.at(-1), {
      t: "reply",
      n: 4,
      ok: false,
      message: "Cannot save a checkpoint: the call has ended",
    });
  });
});

describe("Container ending", () => {
  it("counts what the guest said before it ended", async () => {
    const { give, say, guest, ran, reports, exit } = await setup();
    give("a", "b");
    guest.say({ t: "result", c: 0, v: "done" });
    await say();
    guest.say({ t: "result", c: 1, v: "too" });
    guest.exit(0);
    await ran;
    assert.deepEqual(reports().map(([index, outcome, value]) => [index, outcome, value]), [[0, 0, "done"], [
      1,
      0,
      "too",
    ]]);
    assert.deepEqual(exit(), {
      kind: "user_error",
      message: "The function ended its own process (exit code 0)",
    });
  });

  it("kills a guest that hangs up and stays", async () => {
    const { guest, pass, ran, exit } = await setup();
    guest.hangUp();
    await pass(999);
    assert.equal(guest.killed, 0);
    await pass(1);
    await ran;
    assert.match(exit()!.message, /it closed its channel$/);
  });

  it("does not take a guest for one that hung up when its process is gone and its engine does not say so yet", async () => {
    const { guest, pass, ran, exit } = await setup();
    guest.runs = false;
    guest.hangUp();
    await pass(60_000);
    assert.equal(exit(), undefined);
    guest.exit(137, "SIGKILL");
    await ran;
    assert.equal(exit()?.kind, "node_lost");
  });

  it("kills a guest that uses too much memory, and fails what ran", async () => {
    const { guest, give, pass, ran, exit, reports } = await setup({ spec: { memory: 128 } });
    give("a");
    guest.memoryMiB = 129;
    await pass(1_000);
    await ran;
    assert.deepEqual(exit(), {
      kind: "out_of_memory",
      message: "It used 129 MiB of memory and may use 128 MiB",
    });
    assert.equal((reports()[0]![2] as Failure).kind, "out_of_memory");
  });

  it("drains: recall and goodbye are sent, and an exit with 0 is a good end", async () => {
    const { container, guest, give, ran, exit, say } = await setup();
    give("a");
    container.drain();
    await say({ t: "result", c: 0 });
    assert.deepEqual(guest.kinds(), ["load", "call", "drain"]);
    assert.equal(container.state, "draining");
    guest.exit(0);
    await ran;
    assert.deepEqual(exit(), { kind: "stopped", message: "It was no longer wanted" });
  });

  it("kills a drained guest that does not leave, when its time for requests is over too", async () => {
    const { container, guest, pass, ran, exit } = await setup();
    container.drain();
    await pass(1);
    await pass(GRACE_MS + 29_000);
    assert.equal(guest.killed, 0);
    await pass(1_000);
    await ran;
    assert.equal(exit()?.kind, "stopped");
  });

  it("stops: notice, grace, kill; what ran may run again", async () => {
    const { container, guest, give, pass, ran, exit, reports, say } = await setup();
    give("a");
    container.stop();
    await say();
    assert.deepEqual(guest.kinds(), ["load", "call", "cancel", "drain"]);
    await pass(GRACE_MS);
    await ran;
    assert.equal(exit()?.kind, "stopped");
    assert.equal((reports()[0]![2] as Failure).kind, "preempted");
  });
});
