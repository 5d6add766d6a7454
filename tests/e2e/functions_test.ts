import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import type { Call } from "../../sdk/protocol.ts";
import { Platform } from "../setup/platform.ts";

const APP = `
import { App } from "berth";
const app = new App("odd");
const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms));
const scale = { scaledownWindow: "5s" };
export const throws = app.function({ scale }, () => { throw new RangeError("too far"); });
export const nothing = app.function({ scale }, () => {});
export const cycle = app.function({ scale }, () => { const a: Record<string, unknown> = {}; a.self = a; return a; });
export const endless = app.function({ scale, timeout: "1s" }, async () => { while (true) await sleep(10); });
export const spins = app.function({ scale, timeout: "1s" }, () => { while (true); });
export const leaves = app.function({ scale }, () => Deno.exit(3));
export const eats = app.function({ scale, memory: 256 }, () => {
  const all: Uint8Array[] = [];
  while (true) all.push(new Uint8Array(16 << 20).fill(1));
});
export const hoards = app.function({ scale, memory: 128 }, () => {
  const all: unknown[] = [];
  while (true) all.push({ n: all.length, text: "x" + all.length });
});
export const floods = app.function({ scale }, () => {
  const chunk = new TextEncoder().encode(("y".repeat(127) + "\\n").repeat(8192));
  for (let i = 0; i < 1024; i++) Deno.stdout.writeSync(chunk);
  return "done";
});
export const binary = app.function({ scale }, () => {
  Deno.stdout.writeSync(new Uint8Array([0, 255, 254, 10, 104, 105, 10]));
  return 1;
});
export const huge = app.function({ scale, memory: "4GiB" }, () => "x".repeat(257 << 20));
export const flaky = app.function({ scale, retries: { max: 2, backoff: "50ms" } }, (_: null, ctx) => {
  if (ctx.attempt < 3) throw new Error("not yet");
  return ctx.attempt;
});
export const sleeps = app.function({ scale }, (_: null, ctx) => new Promise((_, reject) => {
  ctx.signal.addEventListener("abort", () => reject(new Error("told to stop")));
}));
export const reads = app.function({ scale }, () => Deno.readTextFile("/etc/passwd"));
export const works = app.function({ scale }, () => {
  const end = Date.now() + 500;
  while (Date.now() < end);
});
export const echo = app.function({ scale }, (input: unknown) => input);
`;

describe("a function that", () => {
  let platform: Platform;
  before(async () => {
    platform = await Platform.up();
    await platform.deploy(APP);
  });
  after(() => platform[Symbol.asyncDispose]());

  const failure = async (name: string): Promise<NonNullable<Call["failure"]>> => {
    const call = await platform.call(`odd/${name}`, null);
    assert.equal(call.state, "failed", JSON.stringify(call));
    return call.failure!;
  };
  const logs = (id: string) => platform.all<{ stream: string; text: string }>(`/v1/calls/${id}/logs`);

  it("throws fails with its message and the line in the source", async () => {
    const { kind, message, stack } = await failure("throws");
    assert.equal(kind, "user_error");
    assert.match(message, /too far/);
    assert.match(stack!, /app\.ts:6/);
  });

  it("returns nothing succeeds with null", async () => {
    const call = await platform.call("odd/nothing", null);
    assert.equal(call.state, "succeeded");
    assert.equal(call.result, null);
  });

  it("returns a cycle fails and says so", async () => {
    const { kind, message, retryable } = await failure("cycle");
    assert.equal(kind, "user_error");
    assert.match(message, /cycl|circular/i);
    assert.equal(retryable, false);
  });

  it("never ends is stopped by its timeout, waiting or spinning", async () => {
    for (const name of ["endless", "spins"]) assert.equal((await failure(name)).kind, "timeout");
  });

  it("exits its process fails with the exit code", async () => {
    const { kind, message } = await failure("leaves");
    assert.equal(kind, "user_error");
    assert.match(message, /3/);
  });

  it("allocates without end runs out of memory, in buffers or in objects", async () => {
    for (const name of ["eats", "hoards"]) assert.equal((await failure(name)).kind, "out_of_memory", name);
  });

  it("prints 1 GB is not held up, and its log says what was dropped", async () => {
    const call = await platform.call("odd/floods", null);
    assert.equal(call.result, "done");
    assert.ok((await logs(call.id)).some(({ stream, text }) => stream === "system" && /dropped/i.test(text)));
  });

  it("prints binary keeps the readable lines", async () => {
    const call = await platform.call("odd/binary", null);
    assert.equal(call.state, "succeeded");
    assert.ok((await logs(call.id)).some(({ text }) => text === "hi"));
  });

  it("returns too much fails and names the limit", async () => {
    assert.match((await failure("huge")).message, /at most 268435456 may travel/);
  });

  it("fails twice is tried again, each attempt on record", async () => {
    const call = await platform.call("odd/flaky", null);
    assert.equal(call.result, 3);
    const { body } = await platform.ask<{ items: { attempt: number; state: string }[] }>(
      `/v1/calls/${call.id}/attempts`,
    );
    assert.deepEqual(
      body.items.map(({ attempt, state }) => [attempt, state]).sort(),
      [[1, "failed"], [2, "failed"], [3, "succeeded"]],
    );
    const events = await platform.ask<{ items: { kind: string; failure?: { message: string } }[] }>(
      `/v1/calls/${call.id}/events`,
    );
    const retries = events.body.items.filter(({ kind }) => kind === "retry");
    assert.deepEqual(retries.map(({ failure }) => failure?.message), ["not yet", "not yet"]);
  });

  it("runs ends as cancelled when asked", async () => {
    const { body } = await platform.post<{ calls: { id: string }[] }>("/v1/apps/odd/functions/sleeps/calls", {
      input: null,
    });
    const id = body.calls[0]!.id;
    const running = async () => (await platform.ask<Call>(`/v1/calls/${id}`)).body.state === "running";
    while (!await running());
    await platform.post(`/v1/calls/${id}/cancel`, {});
    assert.equal((await platform.ended(id)).state, "cancelled");
  });

  it("touches what it has no permission for fails and names the permission", async () => {
    assert.match((await failure("reads")).message, /read access/);
  });

  it("computes is charged the CPU time it took", async () => {
    const { usage } = await platform.call("odd/works", null);
    assert.ok(usage.cpuSeconds > 0.1 && usage.cpuSeconds < 2, JSON.stringify(usage));
    assert.ok(usage.wallSeconds >= 0.5, JSON.stringify(usage));
  });

  it("gets any JSON gives it back unchanged", async () => {
    const input = { b: 1, a: ["\u0000", "\ud83d\ude00", -0.5, null, { "": [] }] };
    assert.deepEqual((await platform.call("odd/echo", input)).result, input);
  });
});

describe("a module that throws on import or in @enter", () => {
  it("is refused at deploy, or fails its calls as start_failed", async () => {
    await using platform = await Platform.up();
    await assert.rejects(
      platform.deploy(
        `import { App } from "berth"; export const f = new App("bad").function({}, () => 1); throw new Error("boom");`,
      ),
      /boom/,
    );
    await platform.deploy(`
import { App, enter, method } from "berth";
const app = new App("bad");
@app.cls({})
export class Broken { @enter() load() { throw new Error("no weights"); } @method() run() { return 1; } }`);
    const call = await platform.call("bad/Broken.run", null);
    assert.equal(call.state, "failed");
    assert.equal(call.failure!.kind, "start_failed");
    assert.match(call.failure!.message, /no weights/);
  });
});
