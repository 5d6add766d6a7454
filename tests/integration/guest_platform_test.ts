/** guest.ts and what it asks of its host: checkpoints, and the platform's API through the SDK. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { denoGuest, Host } from "../setup/guest_host.ts";

const METHODS = { train: { member: null, kind: "call", stream: false } } as const;

async function ready(body: string): Promise<Host> {
  const module = `import { App, Function } from "berth";
    const app = new App("digits");
    export const other = app.function({}, (n) => n);
    export const train = app.function({}, ${body});`;
  const host = await Host.start(denoGuest, { "app.js": module });
  const answer = await host.load({ path: `${host.slot}/app.js`, entry: "train", methods: METHODS });
  assert.equal(answer.t, "ready", JSON.stringify(answer));
  return host;
}

const text = (value: unknown) =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

describe("ctx.checkpoint of guest.ts", () => {
  it("resolves save when the host has committed, with the bytes as they were", async () => {
    await using host = await ready(
      `async (n, ctx) => { await ctx.checkpoint.save(new Uint8Array([10, 0, 123, 10, 255]), { name: "weights" }); return "saved"; }`,
    );
    host.call(1, null);
    const { frame, body } = await host.seen(({ frame }) => frame.t === "checkpoint-save");
    assert.ok(frame.t === "checkpoint-save");
    assert.deepEqual([frame.c, frame.name, frame.bytes], [1, "weights", 5]);
    assert.deepEqual(body, new Uint8Array([10, 0, 123, 10, 255]));
    assert.equal(host.all("result").length, 0);
    host.send({ t: "reply", n: frame.n, ok: true });
    assert.equal(await host.value(1), "saved");
  });

  it("carries megabytes whole, between other frames", async () => {
    await using host = await ready(
      `async (n, ctx) => { const bytes = await ctx.checkpoint.load(); ctx.log("loaded"); await ctx.checkpoint.save(bytes); ctx.log("saved"); }`,
    );
    const big = new Uint8Array(3_000_000).map((_, i) => i % 251);
    host.call(1, null);
    const { n } = await host.next("checkpoint-load");
    host.send({ t: "reply", n, ok: true }, big);
    host.call(2, null);
    const { frame, body } = await host.seen(({ frame }) => frame.t === "checkpoint-save");
    assert.deepEqual(body, big);
    host.send({ t: "reply", n: (frame as { n: number }).n, ok: true });
    await host.end(1);
    assert.deepEqual(host.all("log").map(({ text }) => text), ["loaded", "saved"]);
  });

  it("resolves load with undefined when there is none, and with no bytes when that is what was saved", async () => {
    await using host = await ready(
      `async (n, ctx) => { const bytes = await ctx.checkpoint.load(); return bytes ? bytes.length : "none"; }`,
    );
    host.call(1, null);
    host.send({ t: "reply", n: (await host.next("checkpoint-load")).n, ok: true });
    assert.equal(await host.value(1), "none");
    host.call(2, null);
    const { frame } = await host.seen(({ frame }) => frame.t === "checkpoint-load" && frame.c === 2);
    host.send({ t: "reply", n: (frame as { n: number }).n, ok: true }, new Uint8Array(0));
    assert.equal(await host.value(2), 0);
  });

  it("rejects with the host's reason", async () => {
    await using host = await ready(`(n, ctx) => ctx.checkpoint.save(new Uint8Array(1))`);
    host.call(1, null);
    host.send({
      t: "reply",
      n: (await host.next("checkpoint-save")).n,
      ok: false,
      message: "the attempt is over",
    });
    assert.equal((await host.error(1)).message, "Cannot save the checkpoint: the attempt is over");
  });

  it("rejects what is no bytes", async () => {
    await using host = await ready(`(n, ctx) => ctx.checkpoint.save("text")`);
    host.call(1, null);
    assert.match((await host.error(1)).message, /expected a Uint8Array/);
  });
});

describe("the SDK inside guest.ts", () => {
  it("calls other functions of the module over the guest's channel", async () => {
    await using host = await ready(
      `async () => { const call = await other.spawn({ deep: true }); return call; }`,
    );
    host.call(1, null);
    const { frame, body } = await host.seen(({ frame }) => frame.t === "fetch");
    assert.ok(frame.t === "fetch");
    assert.deepEqual([frame.method, frame.path], ["POST", "/v1/apps/digits/functions/other/calls"]);
    assert.match(frame.headers["idempotency-key"]!, /^sdk-[0-9a-f]{32}$/);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(body)), { input: { deep: true } });
    host.send({ t: "reply", n: frame.n, ok: true, status: 202 });
    const created = text({
      batch: "batch_0000000009",
      calls: [{ id: "call_0000000009_0", state: "queued" }],
    });
    host.send({ t: "chunk", n: frame.n, end: false }, created.subarray(0, 10));
    host.send({ t: "chunk", n: frame.n, end: true }, created.subarray(10));
    assert.deepEqual(await host.value(1), { id: "call_0000000009_0" });
  });

  it("throws the platform's refusal with its code", async () => {
    await using host = await ready(
      `() => Function.fromName("digits", "absent").remote(1).catch(({ code, message }) => [code, message])`,
    );
    host.call(1, null);
    const { n } = await host.next("fetch");
    host.send({ t: "reply", n, ok: true, status: 404 });
    const error = { code: "not_found", message: "No function absent", requestId: "req_1" };
    host.send({ t: "chunk", n, end: true }, text({ error }));
    assert.deepEqual(await host.value(1), ["not_found", "No function absent"]);
  });

  it("asks again when the host could not reach the platform", async () => {
    await using host = await ready(`async () => (await other.spawn(1)).id`);
    host.call(1, null);
    const first = await host.next("fetch");
    host.send({ t: "reply", n: first.n, ok: false, message: "connection refused" });
    const { frame } = await host.seen(({ frame }) => frame.t === "fetch" && frame.n !== first.n);
    assert.ok(frame.t === "fetch");
    assert.equal(frame.headers["idempotency-key"], first.headers["idempotency-key"]);
    host.send({ t: "reply", n: frame.n, ok: true, status: 202 });
    host.send(
      { t: "chunk", n: frame.n, end: true },
      text({ batch: "batch_0000000009", calls: [{ id: "call_0000000009_0" }] }),
    );
    assert.equal(await host.value(1), "call_0000000009_0");
  });

  it("asks again when the answer broke off between its chunks", async () => {
    await using host = await ready(`async () => (await other.spawn(1)).id`);
    host.call(1, null);
    const first = await host.next("fetch");
    host.send({ t: "reply", n: first.n, ok: true, status: 202 });
    host.send({ t: "chunk", n: first.n, end: false }, text('{"batch":'));
    host.send({ t: "reply", n: first.n, ok: false, message: "the api went away" });
    const { frame } = await host.seen(({ frame }) => frame.t === "fetch" && frame.n !== first.n);
    assert.ok(frame.t === "fetch");
    host.send({ t: "reply", n: frame.n, ok: true, status: 202 });
    host.send(
      { t: "chunk", n: frame.n, end: true },
      text({ batch: "batch_0000000009", calls: [{ id: "call_0000000009_0" }] }),
    );
    assert.equal(await host.value(1), "call_0000000009_0");
  });

  it("stops a request whose answer the code no longer wants, and cancels what it may have created", async () => {
    await using host = await ready(`(n, ctx) => other.spawn(1, { signal: ctx.signal })`);
    host.call(1, null);
    const { n, headers } = await host.next("fetch");
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    assert.equal((await host.next("fetch-abort")).n, n);
    const { frame: again } = await host.seen(({ frame }) => frame.t === "fetch" && frame.n !== n);
    assert.ok(again.t === "fetch");
    assert.equal(again.headers["idempotency-key"], headers["idempotency-key"]);
    host.send({ t: "reply", n: again.n, ok: true, status: 202 });
    host.send({ t: "chunk", n: again.n, end: true }, text({ batch: "batch_0000000009", calls: [] }));
    const { frame: cancel } = await host.seen(({ frame }) =>
      frame.t === "fetch" && frame.path.endsWith("/cancel")
    );
    assert.ok(cancel.t === "fetch");
    assert.equal(cancel.path, "/v1/batches/batch_0000000009/cancel");
    host.send({ t: "reply", n: cancel.n, ok: true, status: 200 });
    host.send({ t: "chunk", n: cancel.n, end: true }, text({ batch: "batch_0000000009", cancelled: 1 }));
    assert.match((await host.error(1)).message, /AbortError/);
  });
});
