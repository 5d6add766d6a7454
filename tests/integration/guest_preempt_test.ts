/** What guests do when they must give way: both kinds of them, as real processes. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { denoGuest, Host, pythonGuest } from "../setup/guest_host.ts";
import { withoutPython } from "../setup/machine.ts";

const METHODS = { train: { member: null, kind: "call", stream: false } } as const;

async function typeScript(handler: string): Promise<Host> {
  const module = `import { App } from "berth";
    export const train = new App("digits").function({}, ${handler});`;
  const host = await Host.start(denoGuest, { "app.js": module });
  await host.load({ path: `${host.slot}/app.js`, entry: "train", methods: METHODS });
  return host;
}

async function python(code: string): Promise<Host> {
  const host = await Host.start(pythonGuest, { "train.py": code });
  await host.load({ path: host.slot, entry: "train.py:train", methods: METHODS });
  return host;
}

/** Waits until the call has said that it runs, then gives it notice. */
async function preempt(host: Host): Promise<void> {
  host.call(1, null);
  await host.next("log");
  host.send({ t: "preempt", deadlineMs: 4_000 });
}

/** The bytes of the checkpoint that a call saves, once it does; it is told that they are kept. */
async function saved(host: Host): Promise<string> {
  const { frame, body } = await host.seen(({ frame }) => frame.t === "checkpoint-save");
  assert.ok(frame.t === "checkpoint-save");
  host.send({ t: "reply", n: frame.n, ok: true });
  return new TextDecoder().decode(body);
}

describe("guest.ts that must give way", () => {
  it("calls onPreempt, which may save a checkpoint, and aborts the signal with PreemptedError", async () => {
    await using host = await typeScript(`async (_, ctx) => {
      ctx.onPreempt(async ({ deadlineMs }) => {
        await ctx.checkpoint.save(new TextEncoder().encode("left: " + deadlineMs));
        finish();
      });
      let finish;
      const finished = new Promise((resolve) => finish = resolve);
      ctx.log("running");
      await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
      await finished;
      throw ctx.signal.reason;
    }`);
    await preempt(host);
    assert.equal(await saved(host), "left: 4000");
    assert.match((await host.error(1)).message, /^PreemptedError: /);
  });

  it("takes a value that is returned after the notice", async () => {
    await using host = await typeScript(`(_, ctx) => new Promise((resolve) => {
      ctx.onPreempt(() => resolve("done"));
      ctx.log("running");
    })`);
    await preempt(host);
    assert.equal(await host.value(1), "done");
  });

  it("ends a generator at its next yield", async () => {
    await using host = await typeScript(`async function* (_, ctx) {
      ctx.log("running");
      for (let n = 0;; n++) yield await new Promise((resolve) => setTimeout(resolve, 5, n));
    }`);
    await preempt(host);
    assert.match((await host.error(1)).message, /PreemptedError/);
  });

  it("ignores frames that it does not know", async () => {
    await using host = await typeScript("() => 7");
    host.write(new TextEncoder().encode('{"t":"from-the-future"}\n'));
    host.call(1, null);
    assert.equal(await host.value(1), 7);
  });
});

describe("guest.py that must give way", { skip: withoutPython }, () => {
  it("calls on_preempt, which may save a checkpoint, and sets ctx.preempted", async () => {
    await using host = await python(`
import threading
def train(ctx):
    saved = threading.Event()
    def save(deadline_ms):
        ctx.checkpoint.save(f"left: {deadline_ms}".encode())
        saved.set()
    ctx.on_preempt(save)
    ctx.log("running")
    ctx.preempted.wait()
    saved.wait()
    raise RuntimeError(f"cancelled: {ctx.cancelled.is_set()}")
`);
    await preempt(host);
    assert.equal(await saved(host), "left: 4000");
    assert.equal((await host.error(1)).message, "RuntimeError: cancelled: True");
  });

  it("runs an async handler on the loop of an async call, and does not interrupt the call", async () => {
    await using host = await python(`
import asyncio
async def train(ctx):
    given = asyncio.Event()
    async def note():
        given.set()
    ctx.on_preempt(note)
    ctx.log("running")
    await given.wait()
    return "done"
`);
    await preempt(host);
    assert.equal(await host.value(1), "done");
  });

  it("ends a generator at its next yield", async () => {
    await using host = await python(`
import time
def train(ctx):
    ctx.log("running")
    while True:
        time.sleep(0.005)
        yield 1
`);
    await preempt(host);
    assert.match((await host.error(1)).message, /ended at a yield/);
  });

  it("logs what a handler raises, and ignores frames that it does not know", async () => {
    await using host = await python(`
import threading
def train(ctx):
    def fail():
        raise ValueError("disk full")
    ctx.on_preempt(fail)
    ctx.log("running")
    threading.Event().wait()
`);
    host.write(new TextEncoder().encode('{"t":"from-the-future"}\n'));
    await preempt(host);
    await host.seen(({ frame }) => frame.t === "log" && frame.text.includes("disk full"));
  });
});
