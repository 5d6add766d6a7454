/** Handles over a client: one call at a time, whatever happens to requests and answers. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Client } from "../../sdk/client.ts";
import { CallFailedError } from "../../sdk/errors.ts";
import { Function } from "../../sdk/handle.ts";
import { EchoApi, failure, passing } from "../setup/echo_api.ts";
import { ManualClock } from "../setup/manual_clock.ts";

function setup() {
  const api = new EchoApi();
  const clock = new ManualClock();
  let drawn = 0;
  const random = { next: () => 0.5, bytes: (n: number) => new Uint8Array(n).fill(++drawn) };
  const client = new Client({ url: "http://berth.test", key: "k", fetch: api.fetch, clock, random });
  const double = Function.fromName<(n: number) => number>("numbers", "double", { client });
  return { api, clock, client, double };
}

const sse = (...events: [event: string, id: number, data: unknown][]) =>
  new Response(
    events.map(([event, id, data]) => `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`).join(
      "",
    ),
  );

describe("remote()", () => {
  it("creates one call, asks to wait, and gives the result", async () => {
    const { api, double } = setup();
    api.run = (n) => ["succeeded", Number(n) * 2];
    assert.equal(await double.remote(21), 42);
    const [create] = api.requests;
    assert.deepEqual([api.requests.length, create!.path], [1, "/v1/apps/numbers/functions/double/calls"]);
    assert.equal(create!.headers.get("prefer"), "wait=30");
    assert.equal(create!.body, '{"input":21}');
  });

  it("sends what withOptions says, and undefined as null", async () => {
    const { api, client } = setup();
    const plain = Function.fromName<() => null>("numbers", "plain", { client, priority: 10 });
    await plain.withOptions({ ttl: "1m", delay: "1s", tags: { run: "7" } }).remote();
    assert.deepEqual(JSON.parse(api.requests[0]!.body), {
      input: null,
      priority: 10,
      ttl: "1m",
      delay: "1s",
      tags: { run: "7" },
    });
  });

  it("sends a concurrency key of one call, of a handle, of a map", async () => {
    const { api, double } = setup();
    const keyed = double.withOptions({ concurrencyKey: "all" });
    await double.remote(1, { concurrencyKey: "one" });
    await keyed.spawn(1, { concurrencyKey: "mine" });
    await keyed.spawn(1);
    for await (const _ of double.map([1], { concurrencyKey: "many" }));
    const sent = api.asked("POST", /calls$/).map(({ body }) => JSON.parse(body).concurrencyKey);
    assert.deepEqual(sent, ["one", "mine", "all", "many"]);
  });

  it("makes one call although the answer was lost again and again", async () => {
    const { api, clock, double } = setup();
    let lost = 3;
    api.fault = () => lost-- > 0 ? "lost" : undefined;
    assert.equal(await passing(clock, double.remote(1)), 1);
    assert.deepEqual([api.requests.length, api.batches.length], [4, 1]);
  });

  it("follows the results when the call outlives the wait, through cut connections", async () => {
    const { api, clock, double } = setup();
    api.run = () => undefined;
    let answers = 0;
    api.fault = ({ method, path }) => {
      if (method === "POST") return answers++ === 0 ? early() : undefined;
      return path.includes("/results") && api.asked("GET", /results/).length === 1 ? "lost" : undefined;
    };
    const early = () => {
      api.batches.push({ inputs: [1], ends: new Map(), cancelled: [] });
      return Response.json({
        batch: "batch_0000000000",
        calls: [{ id: "call_0000000000_0", state: "queued" }],
      }, { status: 202 });
    };
    const result = double.remote(1);
    await clock.advance(5_000);
    api.end(0, 0, ["succeeded", "late"]);
    assert.equal(await passing(clock, result), "late");
    assert.equal(api.asked("GET", /results\?from=0/).length, 2);
  });

  it("throws CallFailedError with the failure and the call's id", async () => {
    const { api, double } = setup();
    api.run = () => ["failed", failure("no weights")];
    const error = await double.remote(1).catch((error) => error);
    assert.ok(error instanceof CallFailedError);
    assert.equal(error.callId, "call_0000000000_0");
    assert.equal(error.message, "Call call_0000000000_0 failed (user_error): no weights");
    assert.equal(error.failure.retryable, true);
  });

  it("says so when the call expired", async () => {
    const { api, double } = setup();
    api.run = () => ["expired", null];
    await assert.rejects(double.remote(1), /It expired before it could start/);
  });

  it("cancels the call when the signal aborts, then throws its reason", async () => {
    const { api, clock, double } = setup();
    api.run = () => undefined;
    const abort = new AbortController();
    const result = double.remote(1, { signal: abort.signal });
    const rejected = assert.rejects(result, /enough/);
    await clock.advance(10);
    abort.abort(new Error("enough"));
    await passing(clock, rejected);
    assert.equal(api.batches.length, 1);
    assert.deepEqual(api.batches[0]!.cancelled, [true]);
  });

  it("gives up telling the platform of an abort when it is out of reach", async () => {
    const { api, clock, double } = setup();
    api.fault = () => "unreached";
    const abort = new AbortController();
    const rejected = assert.rejects(double.remote(1, { signal: abort.signal }), /enough/);
    await clock.advance(10);
    abort.abort(new Error("enough"));
    await passing(clock, rejected);
  });

  it("refuses inputs that are no JSON before anything is sent", async () => {
    const { api, client } = setup();
    const any = Function.fromName("numbers", "any", { client });
    await assert.rejects(any.remote(1n), /Cannot send the input: .*BigInt/);
    await assert.rejects(any.remote(() => 1), /Cannot send the input: a function is not JSON/);
    assert.equal(api.requests.length, 0);
  });
});

describe("spawn()", () => {
  it("gives a handle without waiting, which travels as its id", async () => {
    const { api, double } = setup();
    api.run = () => undefined;
    const call = await double.spawn(1);
    assert.equal(JSON.stringify(call), '{"id":"call_0000000000_0"}');
    assert.equal(api.requests[0]!.headers.get("prefer"), null);
  });

  it("is the same call under the same idempotency key", async () => {
    const { api, double } = setup();
    const [a, b] = [
      await double.spawn(1, { idempotencyKey: "k" }),
      await double.spawn(1, { idempotencyKey: "k" }),
    ];
    assert.equal(a.id, b.id);
    assert.equal(api.batches.length, 1);
    assert.notEqual((await double.spawn(1)).id, (await double.spawn(1)).id);
  });
});

describe("CallHandle", () => {
  it("waits for the result, tells the state, and cancels", async () => {
    const { api, client, double } = setup();
    api.run = () => undefined;
    const { id } = await double.spawn(1);
    const call = client.call<number>(id);
    assert.equal((await call.status()).state, "queued");
    api.end(0, 0, ["succeeded", 5]);
    assert.equal(await call.result(), 5);
    assert.equal((await call.status()).state, "succeeded");
  });

  it("stops waiting when the signal aborts, and leaves the call alone", async () => {
    const { api, clock, double } = setup();
    api.run = () => undefined;
    const call = await double.spawn(1);
    const abort = new AbortController();
    const rejected = assert.rejects(call.result({ signal: abort.signal }), /enough/);
    await clock.advance(10);
    abort.abort(new Error("enough"));
    await passing(clock, rejected);
    assert.deepEqual(api.batches[0]!.cancelled, []);
  });

  it("reads logs to their end, from where a cut connection was", async () => {
    const { api, clock, client } = setup();
    const item = (seq: number) => ({
      seq,
      at: "2026-01-01T00:00:00Z",
      stream: "log",
      text: `line ${seq}`,
      attempt: 1,
    });
    const answers = [
      sse(["log", 1, item(1)], ["log", 2, item(2)]),
      sse(["log", 3, item(3)], ["end", 4, {}]),
    ];
    api.fault = () => answers.shift();
    const texts = Array.fromAsync(client.call("call_0000000000_0").logs(), ({ text }) => text);
    assert.deepEqual(await passing(clock, texts), ["line 1", "line 2", "line 3"]);
    assert.deepEqual(api.requests.map(({ headers }) => headers.get("last-event-id")), [null, "2"]);
    assert.equal(api.requests[0]!.headers.get("accept"), "text/event-stream");
  });

  it("connects again when the platform says nothing for too long", async () => {
    const { api, clock, client } = setup();
    const silent = () => new Response(new ReadableStream({ start: () => {} }));
    const answers = [silent(), sse(["end", 1, {}])];
    api.fault = () => answers.shift();
    const events = Array.fromAsync(client.call("call_0000000000_0").events());
    await clock.advance(44_000);
    assert.equal(api.requests.length, 1);
    assert.deepEqual(await passing(clock, events), []);
    assert.equal(api.requests.length, 2);
  });

  it("gives up on a stream that ends before its end again and again", async () => {
    const { api, clock, client } = setup();
    api.fault = () => new Response("");
    const events = Array.fromAsync(client.call("call_0000000000_0").events());
    await assert.rejects(passing(clock, events), /cut off before its end/);
  });
});

describe("stream()", () => {
  const yielded = (seq: number, value: unknown) =>
    ["event", seq, { seq, kind: "yield", value }] as [string, number, unknown];

  /** Answers the events of any call. */
  function streaming(...events: [string, number, unknown][]) {
    const world = setup();
    world.api.fault = ({ path }) => path.endsWith("/events") ? sse(...events) : undefined;
    const count = Function.fromName<(n: number) => AsyncGenerator<number>>("numbers", "count", {
      client: world.client,
    });
    return { ...world, count };
  }

  it("gives each yield, and nothing else that happens", async () => {
    const { count } = streaming(
      yielded(1, 10),
      ["event", 2, { kind: "progress", done: 1, total: 2 }],
      yielded(3, 20),
      ["end", 4, {}],
    );
    assert.deepEqual(await Array.fromAsync(count.stream(2)), [10, 20]);
  });

  it("throws at the end when the call failed", async () => {
    const { api, count } = streaming(yielded(1, 10), ["end", 2, {}]);
    api.run = () => ["failed", failure("half way")];
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const n of count.stream(2)) seen.push(n);
    }, /half way/);
    assert.deepEqual(seen, [10]);
  });

  it("cancels the call when the loop is left early", async () => {
    const { api, count } = streaming(yielded(1, 10), yielded(2, 20));
    for await (const _ of count.stream(2)) break;
    assert.deepEqual(api.asked("POST", /cancel/).map(({ path }) => path), [
      "/v1/calls/call_0000000000_0/cancel",
    ]);
  });
});
