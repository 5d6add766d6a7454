/** What the api says to requests that it can't take: the status, the code, the field to blame, and a sentence that helps. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { LIMITS } from "../../sdk/protocol.ts";
import { type Asking, BUNDLE, manifestOf, sha256, TestApi } from "../setup/api.ts";

const CALLS = "/v1/apps/demo/functions/work/calls";

async function setup() {
  const api = await TestApi.start();
  await api.deploy("demo", ["work"]);
  /** Asks, and checks what is true of every refusal. */
  const refused = async (path: string, asking: Asking = {}) => {
    const { status, body, headers } = await api.ask(path, asking);
    assert.equal(body.error?.requestId, headers.get("x-request-id"), JSON.stringify(body));
    assert.match(body.error.message, /^Cannot .+: .+[^.]$/s);
    assert.deepEqual(api.logged, [], "a refusal is no failure of ours");
    return { status, ...body.error };
  };
  return { api, refused };
}

/** Each case: what is asked, and `status code field` of the answer, and what the message must name. */
type Case = readonly [what: string, path: string, asking: Asking, answer: string, names?: RegExp];

const json = (body: unknown): Asking => ({ body });
const manifest = (...functions: Parameters<typeof manifestOf>[0]) => ({
  bundle: "0".repeat(64),
  manifest: manifestOf(functions),
});
const DEPLOY = "/v1/apps/demo/deployments";
const work = (more: Record<string, unknown>) => json(manifest({ name: "work", ...more } as never));
const scheduled = (cron: string, timeZone = "UTC") =>
  work({ schedules: [{ method: "work", cron, timeZone }] });

const CASES: readonly Case[] = [
  ["malformed JSON", CALLS, { raw: '{"input": ' }, "400 invalid_request ", /JSON/],
  [
    "a body of another type",
    CALLS,
    { raw: "input=1", headers: { "content-type": "text/plain" } },
    "400 invalid_request ",
    /text\/plain/,
  ],
  ["an array for a body", CALLS, json([1]), "400 invalid_request ", /an array/],
  ["a number for a body", CALLS, json(7), "400 invalid_request ", /a number/],
  ["neither input nor inputs", CALLS, json({}), "400 invalid_request input", /exactly one/],
  [
    "both input and inputs",
    CALLS,
    json({ input: 1, inputs: [1] }),
    "400 invalid_request input",
    /exactly one/,
  ],
  ["inputs that are no list", CALLS, json({ inputs: 1 }), "400 invalid_request inputs", /array/],
  ["no inputs", CALLS, json({ inputs: [] }), "400 invalid_request inputs", />=1/],
  [
    "too many inputs",
    CALLS,
    json({ inputs: Array(LIMITS.inputsPerRequest + 1).fill(0) }),
    "400 invalid_request inputs",
    /5000/,
  ],
  [
    "a priority out of range",
    CALLS,
    json({ input: 1, priority: 101 }),
    "400 invalid_request priority",
    /100/,
  ],
  [
    "a priority of the wrong type",
    CALLS,
    json({ input: 1, priority: "high" }),
    "400 invalid_request priority",
    /number/,
  ],
  ["a ttl that is no duration", CALLS, json({ input: 1, ttl: "soon" }), "400 invalid_request ttl", /"90s"/],
  ["a delay of an age", CALLS, json({ input: 1, delay: "99999999d" }), "400 invalid_request delay", /365d/],
  [
    "an input of too many levels",
    CALLS,
    { raw: `{"input":${"[".repeat(1e5)}${"]".repeat(1e5)}}` },
    "400 invalid_request ",
    /levels/,
  ],
  ["a ttl that is a number", CALLS, json({ input: 1, ttl: 90 }), "400 invalid_request ttl", /string/],
  [
    "a tag that is no text",
    CALLS,
    json({ input: 1, tags: { a: 1 } }),
    "400 invalid_request tags.a",
    /string/,
  ],
  [
    "too many tags",
    CALLS,
    json({ input: 1, tags: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`t${i}`, ""])) }),
    "400 invalid_request tags",
    /16/,
  ],
  ["a tag with a NUL", CALLS, json({ input: 1, tags: { a: "\u0000" } }), "400 invalid_request ", /NUL/],
  [
    "an unknown app",
    "/v1/apps/dmeo/functions/work/calls",
    json({ input: 1 }),
    "404 not_found app",
    /did you mean "demo"/,
  ],
  [
    "an unknown function",
    "/v1/apps/demo/functions/wrok/calls",
    json({ input: 1 }),
    "404 not_found function",
    /did you mean "work"/,
  ],
  [
    "a name that cannot be one",
    "/v1/apps/demo/functions/9!/calls",
    json({ input: 1 }),
    "400 invalid_request function",
    /FUNCTION or CLASS.METHOD/,
  ],
  ["an unknown call", "/v1/calls/call_000000zzzz_0", {}, "404 not_found id", /call_000000zzzz_0/],
  ["the largest call id", "/v1/calls/call_zzzzzzzzzz_zzzzzz", {}, "404 not_found id"],
  ["a call id that cannot be one", "/v1/calls/7", {}, "400 invalid_request id", /call_000000001z_0/],
  ["logs of an unknown call", "/v1/calls/call_000000zzzz_0/logs", {}, "404 not_found id"],
  ["an unknown batch", "/v1/batches/batch_000000zzzz/cancel", { method: "POST" }, "404 not_found batch"],
  ["results of an unknown batch", "/v1/batches/batch_000000zzzz/results", {}, "404 not_found batch"],
  [
    "results from nowhere",
    "/v1/batches/batch_0000000001/results?from=x",
    {},
    "400 invalid_request from",
    /number/,
  ],
  ["an unknown app", "/v1/apps/nothing", {}, "404 not_found app", /"demo"/],
  ["an unknown app to delete", "/v1/apps/nothing", { method: "DELETE" }, "404 not_found app"],
  ["an unknown schedule", "/v1/schedules/sched_1/pause", { method: "POST" }, "404 not_found id"],
  ["a limit of zero", "/v1/calls?limit=0", {}, "400 invalid_request limit", />=1/],
  ["a limit beyond the page", "/v1/calls?limit=501", {}, "400 invalid_request limit", /500/],
  ["a cursor of nobody's", "/v1/calls?cursor=zzz", {}, "400 invalid_request cursor", /nextCursor/],
  ["a cursor of another list", `/v1/calls?cursor=${btoa('["a"]')}`, {}, "400 invalid_request cursor"],
  ["a state that there is not", "/v1/calls?state=done", {}, "400 invalid_request state", /queued/],
  ["an unknown route", "/v1/nothing", {}, "404 not_found ", /openapi/],
  ["another method", "/v1/calls", { method: "DELETE" }, "405 method_not_allowed ", /knows GET/],
  [
    "a bundle that was never uploaded",
    DEPLOY,
    json(manifest("work")),
    "400 invalid_request bundle",
    /PUT it/,
  ],
  [
    "a digest that cannot be one",
    DEPLOY,
    json({ ...manifest("work"), bundle: "abc" }),
    "400 invalid_request bundle",
    /SHA-256/,
  ],
  ["no manifest", DEPLOY, json({ bundle: "0".repeat(64) }), "400 invalid_request manifest"],
  ["no functions", DEPLOY, json(manifest()), "400 invalid_request manifest.functions"],
  [
    "a name with a space",
    DEPLOY,
    work({ name: "a b" }),
    "400 invalid_request manifest.functions.0.name",
    /letters, digits/,
  ],
  [
    "a GPU that cannot be read",
    DEPLOY,
    work({ gpu: ["H100:many"] }),
    "400 invalid_request manifest.functions.0.gpu.0",
    /MODEL/,
  ],
  [
    "half a GPU too much",
    DEPLOY,
    work({ gpu: ["H100:1.5"] }),
    "400 invalid_request manifest.functions.0.gpu.0",
    /whole number/,
  ],
  ["too little memory", DEPLOY, work({ memory: 1 }), "400 invalid_request manifest.functions.0.memory", /64/],
  [
    "a timeout of the wrong kind",
    DEPLOY,
    work({ timeout: "long" }),
    "400 invalid_request manifest.functions.0.timeout",
  ],
  [
    "a scale upside down",
    DEPLOY,
    work({ scale: { min: 3, max: 2 } }),
    "400 invalid_request manifest.functions.0.scale.min",
    /max/,
  ],
  [
    "a cron of three fields",
    DEPLOY,
    scheduled("1 2 3"),
    "400 invalid_request manifest.functions.0.schedules.0.cron",
    /five fields/,
  ],
  [
    "a cron of nonsense",
    DEPLOY,
    scheduled("every day at 3 o'clock"),
    "400 invalid_request manifest.functions.0.schedules.0.cron",
  ],
  [
    "a cron with minute 77",
    DEPLOY,
    scheduled("77 * * * *"),
    "400 invalid_request manifest.functions.0.schedules.0.cron",
  ],
  [
    "a date that never comes",
    DEPLOY,
    scheduled("0 0 31 2 *"),
    "400 invalid_request manifest.functions.0.schedules.0.cron",
    /no date/,
  ],
  [
    "an unknown time zone",
    DEPLOY,
    scheduled("0 3 * * *", "Mars/Olympus"),
    "400 invalid_request manifest.functions.0.schedules.0.timeZone",
    /Mars/,
  ],
  [
    "a schedule of no method",
    DEPLOY,
    work({ schedules: [{ method: "wrk", cron: "* * * * *" }] }),
    "400 invalid_request manifest.functions.0.schedules.0.method",
    /did you mean "work"/,
  ],
  [
    "two functions of one name",
    DEPLOY,
    json(manifest("work", "work")),
    "400 invalid_request manifest.functions.1.name",
    /two functions/,
  ],
  [
    "two endpoints of one name",
    DEPLOY,
    json(manifest(endpoint("a", "x"), endpoint("b", "x"))),
    "400 invalid_request manifest.functions.1.methods.0.endpoint.name",
    /two endpoints/,
  ],
  [
    "a method of another class",
    DEPLOY,
    work({ kind: "class", methods: [{ name: "Other.go", kind: "call" }] }),
    "400 invalid_request manifest.functions.0.methods.0.name",
    /work\.METHOD/,
  ],
  ["a node that sends no token", "/v1/nodes", { ...json({}), key: null }, "400 invalid_request token"],
  ["a node whose token is unknown", "/v1/nodes", {
    body: { token: "x", name: "n", session: "s", host: "h", cpu: 1, memory: 1, gpus: [] },
    key: null,
  }, "401 unauthorized "],
];

function endpoint(name: string, at: string) {
  return { name, methods: [{ name, kind: "endpoint", endpoint: { name: at } }] as never };
}

describe("the api refuses", () => {
  it("each bad input with the status, the code and the field that are to blame", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    for (const [what, path, asking, answer, names = /./] of CASES) {
      const { status, code, field, message } = await refused(path, asking);
      assert.equal(`${status} ${code} ${field ?? ""}`, answer, `${what}: ${message}`);
      assert.match(message, names, what);
    }
  });

  it("a body over the limit, announced or not", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    const big = `{"input":"${"x".repeat(LIMITS.bodyBytes)}"}`;
    const announced = { raw: big, headers: { "content-length": String(big.length) } };
    for (const asking of [announced, { raw: new Blob([big]).stream() }]) {
      const { status, code } = await refused(CALLS, asking);
      assert.deepEqual([status, code], [413, "too_large"]);
    }
  });

  it("an input over the limit, naming it", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    const inputs = ["small", "é".repeat(LIMITS.inputBytes / 2)];
    const { status, code, field } = await refused(CALLS, json({ inputs }));
    assert.deepEqual([status, code, field], [413, "too_large", "inputs.1"]);
    assert.equal((await api.call("demo/work", { input: "x".repeat(LIMITS.inputBytes - 2) })).status, 202);
  });

  it("headers over the limit, even on a route without a key", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    const headers = { "x-big": "x".repeat(LIMITS.headerBytes) };
    for (const path of ["/healthz", CALLS, "/e/demo/x", "/nowhere"]) {
      const { status, code } = await refused(path, { headers });
      assert.deepEqual([status, code], [431, "headers_too_large"], path);
    }
  });

  it("a bundle whose digest lies, and keeps nothing of it", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    const lie = "a".repeat(64);
    const { status, field, message } = await refused(`/v1/bundles/${lie}`, { method: "PUT", raw: BUNDLE });
    assert.deepEqual([status, field], [400, "digest"]);
    assert.match(message, new RegExp(await sha256(BUNDLE)));
    const [row] = await api.deps.sql<
      { n: number }[]
    >`select count(*)::int as n from bundle where digest = ${lie}`;
    assert.equal(row!.n, 0);
    assert.equal(await api.deps.blobs.get(`bundles/${lie}`), null);
  });

  it("a bundle over the limit before it is sent", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    const headers = { "content-length": String(LIMITS.bundleBytes + 1) };
    const { status, code } = await refused(`/v1/bundles/${"a".repeat(64)}`, {
      method: "PUT",
      raw: BUNDLE,
      headers,
    });
    assert.deepEqual([status, code], [413, "too_large"]);
  });

  it("more calls than may wait for one function", async () => {
    const { api, refused } = await setup();
    await using _ = api;
    await api.deps.sql`
      insert into ready (batch_id, lo, hi, function_id, priority, attempt, since)
      select 1000, 0, ${LIMITS.queuedCallsPerFunction - 1}, id, 50, 1, now() from function`;
    const { status, code } = await refused("/v1/apps/demo/functions/work/calls", json({ inputs: [1, 2] }));
    assert.deepEqual([status, code], [429, "quota_exceeded"]);
  });

  it("one submission of a group without harm to those stored with it", async () => {
    const { api } = await setup();
    await using _ = api;
    const bad = { input: 1, tags: { a: "\u0000" } };
    const answers = await Promise.all(
      [{ input: 1 }, { input: 2 }, bad, { input: 3 }].map((body) => api.call("demo/work", body)),
    );
    assert.deepEqual(answers.map((answer) => answer.status), [202, 202, 400, 202]);
  });
});

describe("the api, when something is wrong inside", () => {
  it("answers 503 with Retry-After while the database is away, and says so in /healthz", async () => {
    const { api } = await setup();
    await using _ = api;
    await api.deps.sql.end({ timeout: 0 });
    const { status, body, headers } = await api.ask("/v1/calls");
    assert.deepEqual([status, body.error.code, headers.get("retry-after")], [503, "unavailable", "1"]);
    assert.doesNotMatch(body.error.message, /CONNECTION|postgres/i);
    const health = await api.ask("/healthz", { key: null });
    assert.deepEqual([health.status, health.body.database], [503, false]);
  });

  it("answers 500 without showing what, and logs it once under the request's id", async () => {
    const { api } = await setup();
    await using _ = api;
    await api.deps.sql`drop table pool cascade`;
    const { status, body } = await api.ask("/v1/pools", { headers: { "x-request-id": "mine-1" } });
    assert.deepEqual([status, body.error.code, body.error.requestId], [500, "internal", "mine-1"]);
    assert.doesNotMatch(body.error.message, /pool|relation/);
    assert.deepEqual(api.logged, ["api.failed"]);
  });
});
