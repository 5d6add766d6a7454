/** guest.ts with classes and endpoints: building, entering, serving HTTP, leaving. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { LoadFrame } from "../../runner/frames.ts";
import { denoGuest, Host } from "../setup/guest_host.ts";

const DIGITS = `import { App, cron, endpoint, enter, exit, method } from "berth";
const app = new App("digits");
class Base {
  order: string[] = [];
  @enter() first() { this.order.push("base"); }
}
@app.cls({ concurrency: 8 })
export class Digits extends Base {
  #weights = 0;
  @enter() async load(ctx) { this.order.push("own"); this.#weights = (await ctx.checkpoint.load({ name: "weights" }))?.[0] ?? 42; }
  @method() classify(input: number[]) { return input.map((x) => x + this.#weights); }
  @method() entered(_: null, ctx) { return [this.order, ctx.container]; }
  @method() async *count(to: number) { for (let n = 1; n <= to; n++) yield n + this.#weights; }
  @endpoint({ name: "classify" }) async http(request: Request) { return Response.json(this.classify(await request.json())); }
  @cron("*/5 * * * *") refresh() { return "refreshed"; }
  @exit() close() { console.log("closed", this.#weights); }
}`;

const call = (member: string) => ({ member, kind: "call", stream: false } as const);
const DIGITS_METHODS = {
  "Digits.classify": call("classify"),
  "Digits.entered": call("entered"),
  "Digits.count": call("count"),
  "Digits.refresh": call("refresh"),
  "Digits.http": { member: "http", kind: "endpoint", stream: false },
} as const;

/** A guest that loads Digits, its container's checkpoint answered with these bytes. */
async function digits(weights?: Uint8Array): Promise<Host> {
  const host = await Host.start(denoGuest, { "app.ts": DIGITS });
  const load = { path: `${host.slot}/app.ts`, entry: "Digits", kind: "class", function: "Digits" } as const;
  const loading = host.load({
    ...load,
    methods: DIGITS_METHODS,
    endpoints: { classify: "Digits.http" },
    concurrency: 8,
  });
  const { n, c, name } = await host.next("checkpoint-load");
  assert.deepEqual([c, name], [undefined, "weights"]);
  host.send({ t: "reply", n, ok: true }, weights);
  assert.equal((await loading).t, "ready");
  return host;
}

/** A guest that serves this handler as the endpoint `hello`. */
async function serving(handler: string, more: Partial<LoadFrame> = {}): Promise<Host> {
  const module =
    `import { App } from "berth"; export const hello = new App("greetings").endpoint({}, ${handler});`;
  const host = await Host.start(denoGuest, { "app.js": module });
  const methods = { hello: { member: null, kind: "endpoint", stream: false } } as const;
  const load = {
    path: `${host.slot}/app.js`,
    entry: "hello",
    methods,
    endpoints: { hello: "hello" },
    ...more,
  };
  assert.equal((await host.load(load)).t, "ready");
  return host;
}

/** Asks the guest as the gateway does. */
async function ask(host: Host, url: string, init: RequestInit = {}, endpoint = "hello"): Promise<Response> {
  using client = Deno.createHttpClient({ proxy: { transport: "unix", path: `${host.slot}/http.sock` } });
  const headers = { ...init.headers as Record<string, string>, "berth-endpoint": endpoint, "berth-url": url };
  const { status, headers: answered, body } = await fetch("http://guest/", { ...init, headers, client });
  const bytes = await new Response(body).bytes();
  return new Response(bytes, { status, headers: answered });
}

describe("guest.ts runs classes", () => {
  it("builds one instance, enters it with the parent's marks first, and exits it", async () => {
    await using host = await digits();
    host.call(1, [1, 2], { method: "Digits.classify" });
    host.call(2, null, { method: "Digits.entered" });
    assert.deepEqual(await host.value(1), [43, 44]);
    assert.deepEqual(await host.value(2), [["base", "own"], "ctr_1"]);
    host.send({ t: "drain" });
    assert.equal((await host.output()).stdout, "closed 42\n");
  });

  it("loads the app's named checkpoint before anything is served", async () => {
    await using host = await digits(new Uint8Array([7]));
    host.call(1, [1], { method: "Digits.classify" });
    assert.deepEqual(await host.value(1), [8]);
  });

  it("streams a method that is a generator, and runs what the clock calls", async () => {
    await using host = await digits();
    host.call(1, 2, { method: "Digits.count" });
    host.call(2, null, { method: "Digits.refresh" });
    await host.end(1);
    assert.deepEqual(host.all("event").map(({ data }) => data), [{ value: 43 }, { value: 44 }]);
    assert.equal(await host.value(2), "refreshed");
  });

  it("serves a class's endpoint from the same instance", async () => {
    await using host = await digits();
    const answer = await ask(
      host,
      "http://berth/e/digits/classify",
      { method: "POST", body: "[1]" },
      "classify",
    );
    assert.deepEqual(await answer.json(), [43]);
  });

  it("is broken when @enter throws", async () => {
    const module = `import { App, enter, method } from "berth";
      @(new App("digits").cls()) export class Digits { @enter() load() { throw new Error("no weights"); } @method() run() {} }`;
    await using host = await Host.start(denoGuest, { "app.ts": module });
    const load = {
      path: `${host.slot}/app.ts`,
      entry: "Digits",
      kind: "class",
      methods: { "Digits.run": call("run") },
    } as const;
    const answer = await host.load(load);
    assert.deepEqual([answer.t, answer.t === "broken" && answer.message], ["broken", "no weights"]);
  });
});

describe("guest.ts serves endpoints", () => {
  it("shows the handler the URL that the client asked for, its method, headers and body", async () => {
    await using host = await serving(
      `async (r) => Response.json([r.url, r.method, r.headers.get("x-a"), await r.text()], { status: 201, headers: { "x-b": "2" } })`,
    );
    const answer = await ask(host, "https://berth.example/e/a/hello/x?y=1", {
      method: "PUT",
      body: "text",
      headers: { "x-a": "1" },
    });
    assert.deepEqual([answer.status, answer.headers.get("x-b")], [201, "2"]);
    assert.deepEqual(await answer.json(), ["https://berth.example/e/a/hello/x?y=1", "PUT", "1", "text"]);
  });

  it("streams both ways", async () => {
    await using host = await serving(`(r) => new Response(r.body.pipeThrough(new TransformStream({
      transform: (chunk, c) => c.enqueue(chunk.map((byte) => byte + 1)) })))`);
    using client = Deno.createHttpClient({ proxy: { transport: "unix", path: `${host.slot}/http.sock` } });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>();
    const writer = writable.getWriter();
    const first = writer.write(new Uint8Array([1]));
    const response = await fetch("http://guest/", {
      method: "POST",
      body: readable,
      headers: { "berth-endpoint": "hello" },
      client,
    });
    const reader = response.body!.getReader();
    await first;
    assert.deepEqual((await reader.read()).value, new Uint8Array([2]));
    const second = writer.write(new Uint8Array([8]));
    assert.deepEqual((await reader.read()).value, new Uint8Array([9]));
    await second;
    await writer.close();
    assert.equal((await reader.read()).done, true);
  });

  it("answers 500 without a stack when the handler throws, and writes the stack to stderr", async () => {
    await using host = await serving(`() => { throw new Error("secret detail"); }`);
    const answer = await ask(host, "http://berth/e/a/hello", { headers: { "x-request-id": "req_1" } });
    assert.equal(answer.status, 500);
    assert.deepEqual(await answer.json(), {
      error: {
        code: "internal",
        message: 'Endpoint "hello" failed; the container\'s log says why',
        requestId: "req_1",
      },
    });
    host.send({ t: "drain" });
    assert.match((await host.output()).stderr, /Error: secret detail\n.*app\.js/);
  });

  it("answers 500 and says so when the handler returns no Response", async () => {
    await using host = await serving(`() => null`);
    const answer = await ask(host, "http://berth/e/a/hello");
    assert.equal(answer.status, 500);
    assert.match((await answer.json()).error.message, /must return a Response, not null/);
  });

  it("answers 404 for an endpoint that is not its own", async () => {
    await using host = await serving(`() => new Response("hello")`);
    const answer = await ask(host, "http://berth/e/a/other", {}, "other");
    assert.equal(answer.status, 404);
    assert.match((await answer.json()).error.message, /"other"/);
  });

  it("aborts the signals of request and context when the client goes away, and not when it has its answer", async () => {
    await using host = await serving(`(r, ctx) => {
      for (const [name, signal] of [["request", r.signal], ["context", ctx.signal]])
        signal.addEventListener("abort", () => ctx.log(name + " aborted " + new URL(r.url).pathname));
      ctx.log("asked " + new URL(r.url).pathname);
      return r.url.endsWith("slow") ? new Promise(() => {}) : new Response("hello");
    }`);
    const answered = await ask(host, "http://berth/quick");
    assert.equal(await answered.text(), "hello");
    const conn = await Deno.connect({ transport: "unix", path: `${host.slot}/http.sock` });
    await conn.write(
      new TextEncoder().encode(
        "GET / HTTP/1.1\r\nhost: g\r\nberth-endpoint: hello\r\nberth-url: http://berth/slow\r\n\r\n",
      ),
    );
    await host.printed("asked /slow");
    conn.close();
    await host.printed("context aborted /slow");
    host.process.kill("SIGKILL");
    const { stdout } = await host.output();
    assert.equal(stdout, "asked /quick\nasked /slow\nrequest aborted /slow\ncontext aborted /slow\n");
  });

  it("lets an endpoint load a named checkpoint", async () => {
    await using host = await serving(
      `async (r, ctx) => new Response(await ctx.checkpoint.load({ name: "weights" }))`,
    );
    const answer = ask(host, "http://berth/");
    const { n, c } = await host.next("checkpoint-load");
    assert.equal(c, undefined);
    host.send({ t: "reply", n, ok: true }, new Uint8Array([5, 10, 13]));
    assert.deepEqual(await (await answer).bytes(), new Uint8Array([5, 10, 13]));
  });

  it("ends the answers that are under way before it leaves, and does not wait for idle connections", async () => {
    await using host = await serving(`() => new Response(new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode("first "));
        console.log("answering");
        await new Promise((resolve) => setTimeout(resolve, 20));
        controller.enqueue(new TextEncoder().encode("last"));
        controller.close();
      } }))`);
    using idle = await Deno.connect({ transport: "unix", path: `${host.slot}/http.sock` });
    await idle.write(new TextEncoder().encode("GET / HTTP/1.1\r\nhost: g\r\n\r\n"));
    await idle.read(new Uint8Array(1_024));
    const answer = ask(host, "http://berth/");
    await host.printed("answering");
    host.send({ t: "drain" });
    assert.equal(await (await answer).text(), "first last");
    assert.equal((await host.output()).code, 0);
  });
});
