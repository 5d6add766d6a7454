/** exchange() and send(): what is repeated, what is not, and how refusals read. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { PlatformError } from "../../sdk/errors.ts";
import { routes } from "../../sdk/protocol.ts";
import { ask, exchange, httpTransport, send, type Wire, type WireRequest } from "../../sdk/transport.ts";
import { passing } from "../setup/echo_api.ts";
import { ManualClock } from "../setup/manual_clock.ts";

type Step = Response | "reset" | "torn";

/** A wire whose requests end as these steps say, the last one again and again. */
function wireOf(...steps: Step[]) {
  const clock = new ManualClock();
  const asked: { url: string; init: RequestInit; at: number }[] = [];
  const transport = httpTransport({
    url: "http://berth.test/",
    key: "secret",
    fetch: (url, init = {}) => {
      asked.push({ url: String(url), init, at: clock.now() });
      const step = steps.length > 1 ? steps.shift()! : steps[0]!;
      if (step === "reset") return Promise.reject(new TypeError("connection reset"));
      if (step === "torn") return Promise.resolve(new Response('{"half'));
      return Promise.resolve(step.clone());
    },
  });
  const wire: Wire = {
    transport,
    clock,
    random: { next: () => 0.5, bytes: (n) => new Uint8Array(n) },
    patienceMs: 10_000,
  };
  return { wire, clock, asked };
}

const ok = Response.json({ fine: true });
const refused = (status: number, error: Record<string, string> | string, headers: HeadersInit = {}) =>
  typeof error === "string"
    ? new Response(error, { status, headers })
    : Response.json({ error }, { status, headers });

const GET: WireRequest = { method: "GET", path: "/v1/calls" };
const POST: WireRequest = { method: "POST", path: "/v1/x", body: "{}" };
const KEYED: WireRequest = { ...POST, headers: { "idempotency-key": "k" } };

/** What the error of a rejected promise says. */
async function errorOf(promise: Promise<unknown>): Promise<PlatformError> {
  const error = await promise.then(() => undefined, (error) => error);
  assert.ok(error instanceof PlatformError, String(error));
  return error;
}

describe("httpTransport()", () => {
  it("sends the key, the body as JSON, and joins base and path with one slash", async () => {
    const { wire, asked } = wireOf(ok);
    await exchange(wire, POST, () => {});
    const headers = new Headers(asked[0]!.init.headers);
    assert.equal(asked[0]!.url, "http://berth.test/v1/x");
    assert.equal(headers.get("authorization"), "Bearer secret");
    assert.equal(headers.get("content-type"), "application/json");
  });
});

describe("exchange()", () => {
  const repeats: [what: string, request: WireRequest, steps: Step[], times: number][] = [
    ["a GET whose connection was lost", GET, ["reset", "reset", ok], 3],
    ["a GET whose answer was torn", GET, ["torn", ok], 2],
    ["a POST with an Idempotency-Key", KEYED, ["reset", "torn", ok], 3],
    ["a POST that says it may be", { ...POST, repeatable: true }, ["reset", ok], 2],
    ["a POST that was refused for now", POST, [refused(503, "restarting"), ok], 2],
    ["a POST that came at a bad time", POST, [refused(429, "slow down"), ok], 2],
    ["what a proxy could not pass on", GET, [refused(502, "<html>"), ok], 2],
  ];
  for (const [what, request, steps, times] of repeats) {
    it(`repeats ${what}`, async () => {
      const { wire, clock, asked } = wireOf(...steps);
      assert.deepEqual(await passing(clock, ask(wire, request)), { fine: true });
      assert.equal(asked.length, times);
    });
  }

  it("does not repeat a POST that may have arrived", async () => {
    const { wire, clock, asked } = wireOf("reset", ok);
    assert.equal((await errorOf(passing(clock, ask(wire, POST)))).code, "bad_gateway");
    assert.equal(asked.length, 1);
  });

  it("does not repeat what was refused for good", async () => {
    const { wire, clock, asked } = wireOf(refused(400, { code: "invalid_request", message: "No" }), ok);
    assert.equal((await errorOf(passing(clock, ask(wire, GET)))).code, "invalid_request");
    assert.equal(asked.length, 1);
  });

  it("waits longer each time, up to a second, and gives up when patience ends", async () => {
    const { wire, clock, asked } = wireOf("reset");
    const error = await errorOf(passing(clock, ask(wire, GET)));
    const waits = asked.slice(1).map(({ at }, i) => at - asked[i]!.at);
    assert.deepEqual(waits.slice(0, 5), [37.5, 75, 150, 300, 600]);
    assert.ok(waits.slice(5).every((ms) => ms === 750));
    assert.ok(asked.at(-1)!.at - asked[0]!.at <= 10_000);
    assert.match(
      error.message,
      /Cannot reach Berth at http:\/\/berth\.test: connection reset; is `berth up` running\?/,
    );
    assert.ok(error.cause instanceof TypeError);
  });

  it("waits at least as long as Retry-After says", async () => {
    const { wire, clock, asked } = wireOf(refused(429, "slow down", { "retry-after": "3" }), ok);
    await passing(clock, ask(wire, GET));
    assert.ok(asked[1]!.at - asked[0]!.at >= 3_000);
  });

  it("throws what the platform said: code, message, field, request id", async () => {
    const said = { code: "too_large", message: "Cannot take it", field: "input", requestId: "req_7" };
    const { wire } = wireOf(refused(413, said));
    const { code, message, field, requestId } = await errorOf(ask(wire, GET));
    assert.deepEqual({ code, message, field, requestId }, said);
  });

  it("makes sense of a refusal that the platform did not write", async () => {
    const { wire } = wireOf(refused(404, "<h1>nginx</h1>"));
    const { code, message } = await errorOf(ask(wire, GET));
    assert.deepEqual([code, message], ["not_found", "Cannot go on: Berth answered 404 <h1>nginx</h1>"]);
  });

  it("throws the signal's reason at once, also while it waits to repeat", async () => {
    const { wire, clock, asked } = wireOf("reset");
    const abort = new AbortController();
    const asking = ask(wire, { ...GET, signal: abort.signal });
    await clock.advance(100);
    abort.abort(new Error("enough"));
    await assert.rejects(asking, /enough/);
    const times = asked.length;
    await clock.advance(10_000);
    assert.equal(asked.length, times);
  });
});

describe("send()", () => {
  it("puts parameters into the path, the rest into the query, and checks the answer", async () => {
    const { wire, asked } = wireOf(Response.json({ items: [], nextCursor: "c" }));
    const page = await send(wire, routes.listLogs, { id: "call_000000001z_0", limit: 5 });
    assert.equal(asked[0]!.url, "http://berth.test/v1/calls/call_000000001z_0/logs?limit=5");
    assert.deepEqual(page, { items: [], nextCursor: "c" });
  });

  it("puts the rest into the body of a POST", async () => {
    const { wire, asked } = wireOf(Response.json({ batch: "batch_000000001z", calls: [] }));
    await send(wire, routes.createCalls, { app: "a", function: "C.m", input: 1 });
    assert.equal(asked[0]!.url, "http://berth.test/v1/apps/a/functions/C.m/calls");
    assert.equal(asked[0]!.init.body, '{"input":1}');
  });

  it("refuses an answer that is not what the route promises", async () => {
    const { wire } = wireOf(Response.json({ items: "none" }));
    await assert.rejects(send(wire, routes.listApps, {}), /items/);
  });
});
