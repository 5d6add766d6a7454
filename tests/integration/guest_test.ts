/** guest.ts as a real process: loading, running calls, what it says when things go wrong, and how it ends. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { LIMITS } from "../../sdk/protocol.ts";
import { denoGuest, Host, type Kind } from "../setup/guest_host.ts";

const TRAIN = { train: { member: null, kind: "call", stream: false } } as const;

/** A ready guest whose module exports `train`, declared with this handler. */
async function ready(handler: string, { concurrency = 1, options = "{}", before = "" } = {}): Promise<Host> {
  const module = `import { App, NonRetryableError } from "berth";
    const app = new App("digits");
    ${before}
    export const train = app.function(${options}, ${handler});`;
  const host = await Host.start(denoGuest, { "app.js": module });
  const answer = await host.load({
    path: `${host.slot}/app.js`,
    entry: "train",
    methods: TRAIN,
    concurrency,
  });
  assert.equal(answer.t, "ready", JSON.stringify(answer));
  return host;
}

async function broken(module: string, entry = "train") {
  const host = await Host.start(denoGuest, { "app.ts": module });
  const methods = { [entry]: { member: null, kind: "call", stream: false } } as const;
  const answer = await host.load({ path: `${host.slot}/app.ts`, entry, methods });
  assert.equal(answer.t, "broken");
  return { host, answer: answer as typeof answer & { t: "broken" } };
}

describe("guest.ts runs calls", () => {
  it("gives the handler its input and the facts of its call", async () => {
    await using host = await ready(
      "(n, ctx) => [n * 2, ctx.callId, ctx.attempt, ctx.app, ctx.function, ctx.rank, ctx.worldSize]",
    );
    host.call(7, 21, { attempt: 3 });
    assert.deepEqual(await host.value(7), [42, "call_0000000001_7", 3, "digits", "train", 0, 1]);
  });

  it("leaves the value out when the handler returned nothing", async () => {
    await using host = await ready("async () => {}");
    host.call(1, null);
    assert.deepEqual(await host.end(1), { t: "result", c: 1 });
  });

  it("starts calls in their order, no more than concurrency at once", async () => {
    await using host = await ready(
      `async (n) => { log.push(n); most = Math.max(most, ++now); await new Promise((r) => setTimeout(r, 1)); now--; return { log, most }; }`,
      { concurrency: 3, before: "const log = []; let now = 0, most = 0;" },
    );
    for (let c = 0; c < 20; c++) host.call(c, c);
    const { log, most } = await host.value(19) as { log: number[]; most: number };
    assert.deepEqual(log, Array.from({ length: 20 }, (_, i) => i));
    assert.equal(most, 3);
  });

  it("runs thousands of calls that arrive at once, each once", async () => {
    await using host = await ready("(n) => n + 1");
    for (let c = 0; c < 5_000; c++) host.call(c, c);
    await host.end(4_999);
    assert.deepEqual(
      host.all("result").map(({ c, v }) => [c, v]),
      Array.from({ length: 5_000 }, (_, c) => [c, c + 1]),
    );
  });

  it("sends each yield as an event and the generator's return value as the result", async () => {
    await using host = await ready(
      "async function* (n) { for (let i = 0; i < n; i++) yield i; return 'end'; }",
    );
    host.call(1, 3);
    assert.equal(await host.value(1), "end");
    assert.deepEqual(host.all("event").map(({ kind, data }) => [kind, data]), [
      ["yield", { value: 0 }],
      ["yield", { value: 1 }],
      ["yield", { value: 2 }],
    ]);
  });

  it("sends the yields of a generator that is not async, and of one that a promise brings", async () => {
    await using host = await ready(
      "(n) => n === 1 ? (function* () { yield 1; })() : Promise.resolve((function* () { yield 2; })())",
    );
    host.call(1, 1);
    host.call(2, 2);
    await host.end(2);
    assert.deepEqual(host.all("event").map(({ c, data }) => [c, data]), [[1, { value: 1 }], [2, {
      value: 2,
    }]]);
  });

  it("passes on logs, reports and progress in their order, and nothing of a call that has ended", async () => {
    await using host = await ready(`(n, ctx) => {
      ctx.log("epoch", { n });
      ctx.log({ only: "fields" });
      ctx.report({ step: 1, loss: NaN });
      ctx.progress(1, 2);
      if (n === 1) setTimeout(() => ctx.log("too late"), 0);
    }`);
    host.call(1, 1);
    await host.end(1);
    host.call(2, 2);
    await host.end(2);
    assert.deepEqual(host.all("log").map(({ c, text }) => [c, text]), [
      [1, 'epoch {"n":1}'],
      [1, '{"only":"fields"}'],
      [2, 'epoch {"n":2}'],
      [2, '{"only":"fields"}'],
    ]);
    const [report, progress] = host.all("event");
    assert.deepEqual([report?.kind, report?.data], ["report", { step: 1, loss: null }]);
    assert.deepEqual([progress?.kind, progress?.data], ["progress", { done: 1, total: 2 }]);
  });

  it("checks the input with the function's schema before the handler sees it", async () => {
    const schema = `{ "~standard": { version: 1, vendor: "test", validate: (v) =>
      typeof v?.epochs === "number" ? { value: { epochs: v.epochs * 10 } } : { issues: [{ message: "expected number", path: ["epochs"] }] } } }`;
    await using host = await ready("({ epochs }) => epochs", { options: `{ input: ${schema} }` });
    host.call(1, { epochs: 2 });
    host.call(2, { epochs: "many" });
    assert.equal(await host.value(1), 20);
    const { message, retryable } = await host.error(2);
    assert.match(message, /input\.epochs: expected number/);
    assert.equal(retryable, false);
  });
});

describe("guest.ts tells what went wrong", () => {
  it("sends message and stack of an error, and what caused it, without its own frames", async () => {
    await using host = await ready(
      `() => { throw new TypeError("no such layer", { cause: new Error("disk full") }); }`,
    );
    host.call(1, null);
    const { message, stack, retryable } = await host.error(1);
    assert.equal(message, "TypeError: no such layer");
    assert.match(stack!, /app\.js:4/);
    assert.match(stack!, /Caused by: Error: disk full/);
    assert.doesNotMatch(stack!, /work\.ts/);
    assert.equal(retryable, true);
  });

  it("survives whatever may be thrown", async () => {
    await using host = await ready("(what) => { throw what === 'cycle' ? loop : what; }", {
      before: "const loop = {}; loop.self = loop;",
    });
    for (const [c, input] of [[1, "text"], [2, null], [3, "cycle"]] as const) host.call(c, input);
    assert.match((await host.error(1)).message, /"text", which is no Error/);
    assert.match((await host.error(2)).message, /null/);
    assert.match((await host.error(3)).message, /Object/);
  });

  it("marks an error as final when it says so itself", async () => {
    await using host = await ready(`() => { throw new NonRetryableError("negative"); }`);
    host.call(1, null);
    assert.equal((await host.error(1)).retryable, false);
  });

  it("has a result stored that is too large to travel, or looks like a reference, and ends with where it lies", async () => {
    await using host = await ready(
      `(c) => c === 1 ? "€".repeat(${LIMITS.resultBytes / 2}) : { $blob: "0".repeat(32) }`,
    );
    for (
      const [c, value] of [[1, "€".repeat(LIMITS.resultBytes / 2)], [2, { $blob: "0".repeat(32) }]] as const
    ) {
      host.call(c, c);
      const { frame, body } = await host.seen(({ frame }) => frame.t === "value-save" && frame.n === c);
      assert.deepEqual(JSON.parse(new TextDecoder().decode(body)), value);
      assert.equal(host.all("result").length, c - 1, "the call goes on meanwhile");
      const id = String(c).repeat(32);
      host.send({ t: "reply", n: (frame as Kind<"value-save">).n, ok: true, id });
      assert.deepEqual(await host.value(c), { $blob: id });
    }
    host.call(3, 1);
    const { n } = (await host.seen(({ frame }) => frame.t === "value-save" && frame.n === 3)).frame as Kind<
      "value-save"
    >;
    host.send({ t: "reply", n, ok: false, message: "the store is full" });
    assert.match((await host.error(3)).message, /the store is full/);
  });

  it("reads an input that stands for a large one before the handler runs", async () => {
    await using host = await ready(`(input) => input.text.length`);
    host.call(1, { $blob: "a".repeat(32) });
    const { n, id } = await host.next("value-load");
    assert.equal(id, "a".repeat(32));
    host.send(
      { t: "reply", n, ok: true },
      new TextEncoder().encode(JSON.stringify({ text: "é".repeat(3_000_000) })),
    );
    assert.equal(await host.value(1), 3_000_000);
    host.call(2, { text: "four", $blob: 1 });
    assert.equal(await host.value(2), 4);
    host.call(3, { $blob: "b".repeat(32) });
    const asked = (await host.seen(({ frame }) => frame.t === "value-load" && frame.id !== id)).frame as Kind<
      "value-load"
    >;
    host.send({ t: "reply", n: asked.n, ok: false, message: "there is none" });
    assert.match((await host.error(3)).message, /there is none/);
  });

  const unsendable: [what: string, handler: string, message: RegExp][] = [
    ["a cycle", "() => { const a = {}; a.a = a; return a; }", /results are JSON.*circular/s],
    ["a bigint", "() => ({ n: 1n })", /results are JSON.*BigInt/],
    ["a function", "() => () => 1", /Cannot return a function/],
    ["bytes", "() => new Uint8Array(3)", /Cannot return bytes/],
    ["a yield that is no JSON", "function* () { yield 1n; }", /Cannot yield this value/],
  ];
  for (const [what, handler, message] of unsendable) {
    it(`fails a call that returns ${what}, for good`, async () => {
      await using host = await ready(handler);
      host.call(1, null);
      const error = await host.error(1);
      assert.match(error.message, message);
      assert.equal(error.retryable, false);
      host.call(2, null);
      await host.error(2);
    });
  }

  it("fails the calls that run when an error reaches nobody, and goes on", async () => {
    await using host = await ready(
      `(how) => {
        if (how === "rejects") Promise.reject(new Error("lost promise"));
        if (how === "throws") setTimeout(() => { throw new Error("lost throw"); }, 0);
        return how === "works" ? 1 : new Promise(() => {});
      }`,
    );
    host.call(1, "rejects");
    host.call(2, "throws");
    host.call(3, "works");
    assert.match((await host.error(1)).message, /lost promise/);
    assert.match((await host.error(2)).message, /lost throw/);
    assert.equal(await host.value(3), 1);
  });

  it("says where a module threw on import", async () => {
    const { host, answer } = await broken(`const x: number = 1;\nthrow new Error("no weights");`);
    await using _ = host;
    assert.equal(answer.message, "no weights");
    assert.match(answer.stack!, /app\.ts:2/);
  });

  it("says that an export is missing", async () => {
    const { host, answer } = await broken(`export const other = 1;`);
    await using _ = host;
    assert.match(answer.message, /Cannot load train: the module exports no function of that name/);
  });

  it("names the permission that a module lacks on import", async () => {
    const { host, answer } = await broken(`Deno.env.get("HOME");`);
    await using _ = host;
    assert.match(answer.message, /Requires env access to "HOME"/);
  });
});

describe("guest.ts ends calls and itself", () => {
  const WAITS =
    `(name, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))`;

  it("aborts the signal of a call that is cancelled or has run out of time", async () => {
    await using host = await ready(WAITS, { concurrency: 2 });
    host.call(1, null);
    host.call(2, null);
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    host.send({ t: "cancel", c: 2, reason: "timeout" });
    assert.match((await host.error(1)).message, /AbortError: The call was cancelled/);
    assert.match((await host.error(2)).message, /TimeoutError: The call ran out of time/);
  });

  it("never starts a call that was cancelled while it waited", async () => {
    await using host = await ready(
      `(n, { signal }) => { console.log("ran", n); return n === 1 ? (${WAITS})(n, { signal }) : n; }`,
    );
    host.call(1, 1);
    host.call(2, 2);
    host.send({ t: "cancel", c: 2, reason: "cancelled" });
    await host.error(2);
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    await host.error(1);
    host.send({ t: "drain" });
    assert.equal((await host.output()).stdout, "ran 1\n");
  });

  it("ends a generator that never ends by itself, and runs its finally", async () => {
    await using host = await ready(
      "function* () { try { for (;;) yield 1; } finally { console.log('closed'); } }",
    );
    host.call(1, null);
    await host.next("event");
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    await host.error(1);
    host.send({ t: "drain" });
    assert.match((await host.output()).stdout, /closed/);
  });

  it("hears a cancel between calls that keep the processor busy", async () => {
    await using host = await ready(
      "(ms) => { const end = performance.now() + ms; while (performance.now() < end); return ms; }",
    );
    for (let c = 0; c < 500; c++) host.call(c, 6);
    await host.end(0);
    host.send({ t: "cancel", c: 499, reason: "cancelled" });
    assert.equal((await host.error(499)).message, "AbortError: The call was cancelled");
    assert.ok(host.all("result").length < 499);
  });

  it("gives back what it has not started, and never starts it", async () => {
    await using host = await ready(`(n, ctx) => {
      ctx.log("started");
      return n === 1 ? (${WAITS})(n, ctx) : console.log("ran", n);
    }`);
    for (const c of [1, 2, 3]) host.call(c, c);
    await host.next("log");
    host.send({ t: "recall" });
    assert.deepEqual((await host.next("recalled")).calls, [2, 3]);
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    await host.end(1);
    host.send({ t: "drain" });
    assert.equal((await host.output()).stdout, "");
  });

  it("finishes what it was given before it leaves", async () => {
    await using host = await ready("async (n) => { await new Promise((r) => setTimeout(r, 1)); return n; }");
    for (const c of [1, 2, 3]) host.call(c, c);
    host.send({ t: "drain" });
    assert.equal((await host.output()).code, 0);
    assert.deepEqual(host.all("result").map(({ v }) => v), [1, 2, 3]);
  });

  it("leaves when its host has gone", async () => {
    await using host = await ready(WAITS);
    host.call(1, null);
    await host.hangUp();
    assert.equal((await host.output()).code, 0);
  });

  it("leaves when it is drained before it was given anything", async () => {
    await using host = await Host.start(denoGuest, {});
    await host.next("hello");
    host.send({ t: "drain" });
    assert.equal((await host.output()).code, 0);
  });

  it("prints what the code prints", async () => {
    await using host = await ready(`() => { console.log("to stdout"); console.error("to stderr"); }`);
    host.call(1, null);
    await host.end(1);
    host.send({ t: "drain" });
    const { stdout, stderr } = await host.output();
    assert.deepEqual([stdout, stderr], ["to stdout\n", "to stderr\n"]);
  });
});

describe("guest.ts keeps the code in its place", () => {
  it("has given up reading, writing, the network and the environment before code runs", async () => {
    await using host = await ready(`async (slot) => {
      const attempts = {
        read: () => Deno.readTextFileSync(slot + "/app.js"),
        write: () => Deno.writeTextFileSync(slot + "/http.sock", ""),
        connect: () => Deno.connect({ transport: "unix", path: slot + "/control.sock" }),
        env: () => Deno.env.get("BERTH_SLOT"),
        net: () => Deno.connect({ port: 1 }),
      };
      const names = {};
      for (const [what, attempt] of Object.entries(attempts)) {
        try { await attempt(); names[what] = "allowed"; } catch (error) { names[what] = error.name; }
      }
      return names;
    }`);
    host.call(1, host.slot);
    const refused = "NotCapable";
    assert.deepEqual(await host.value(1), {
      read: refused,
      write: refused,
      connect: refused,
      env: refused,
      net: refused,
    });
  });
});
