/** Pools and tokens over the api. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { JoinedNode, JoinToken, PageOf, Pool, Provision } from "../../sdk/protocol.ts";
import { type ErrorAnswer, TestApi } from "../setup/api.ts";

const SHAPE = {
  cpu: 4,
  memory: 16_384,
  disk: 1_000,
  gpus: [{ model: "L4", vramMiB: 24_576 }],
  labels: { zone: "a" },
};
const GROWS = {
  name: "grows",
  provider: "local",
  max: 3,
  shape: SHAPE,
  costPerHour: 0.5,
  idleTimeout: "1m30s",
};

const post = <T = ErrorAnswer>(api: TestApi, path: string, body: unknown = {}) =>
  api.ask<T & ErrorAnswer>(path, { body });
const codeOf = (
  { status, body }: { status: number; body: ErrorAnswer },
) => [status, body.error?.code, body.error?.field];

/** A provision as the scheduler and a provider would have left it. */
async function insertProvision(
  api: TestApi,
  id: string,
  state: string,
  more: { error?: string; ended?: boolean } = {},
) {
  const at = new Date(Date.UTC(2026, 0, 1, 0, 0, Number(id.slice(-1))));
  await api.deps.sql`
    insert into provision (id, pool, state, reason, error, requested_at, deadline_at, ended_at)
    values (${id}, 'grows', ${state}, 'for demo/work', ${more.error ?? null}, ${at}, ${at}, ${
    more.ended ? at : null
  })`;
}

const joinBody = (token: string, more: Record<string, unknown> = {}) => ({
  token,
  name: "box",
  session: "session-1",
  host: "elsewhere",
  cpu: 2,
  memory: 1_000,
  gpus: [],
  ...more,
});

describe("POST /v1/pools", () => {
  it("makes a pool with all its settings, and others by default", async () => {
    await using api = await TestApi.start();
    const { status, body } = await post<Pool>(api, "/v1/pools", GROWS);
    assert.equal(status, 201);
    const { createdAt: _, ...rest } = body as Pool;
    assert.deepEqual(rest, {
      ...GROWS,
      state: "active",
      nodes: 0,
      starting: 0,
      gpus: 0,
      gpusFree: 0,
      min: 0,
      provisionTimeout: "5m",
      config: {},
      failure: null,
      keeper: null,
    });
    assert.deepEqual((await api.ask<Pool>("/v1/pools/grows")).body, body);
  });

  it("refuses what makes no sense, naming the field", async () => {
    await using api = await TestApi.start();
    const refused = async (some: Record<string, unknown>) =>
      codeOf(await post(api, "/v1/pools", { ...GROWS, ...some }));
    const cases: [Record<string, unknown>, string][] = [
      [{ name: "no good" }, "name"],
      [{ provider: "aws" }, "provider"],
      [{ max: -1 }, "max"],
      [{ min: 4 }, "max"],
      [{ shape: null }, "shape"],
      [{ provider: "static" }, "max"],
      [{ shape: { ...SHAPE, cpu: 0 } }, "shape.cpu"],
      [{ shape: { ...SHAPE, gpus: [{ model: "any", vramMiB: 1 }] } }, "shape.gpus.0.model"],
      [{ shape: { ...SHAPE, ram: 1 } }, "shape"],
      [{ costPerHour: -1 }, "costPerHour"],
      [{ idleTimeout: "soon" }, "idleTimeout"],
      [{ config: { device: ["0"] } }, "config"],
      [{ config: { devices: [] } }, "config.devices"],
      [{ shape: { ...SHAPE, gpus: [] }, config: { devices: ["0"] } }, "config.devices"],
    ];
    for (const [some, field] of cases) {
      assert.deepEqual(await refused(some), [400, "invalid_request", field], JSON.stringify(some));
    }
  });

  it("refuses a name that is taken, and takes that of a deleted pool", async () => {
    await using api = await TestApi.start();
    await post(api, "/v1/pools", GROWS);
    assert.deepEqual(codeOf(await post(api, "/v1/pools", GROWS)), [409, "conflict", "name"]);
    await api.ask("/v1/pools/grows", { method: "DELETE" });
    const { status, body } = await post<Pool>(api, "/v1/pools", { name: "grows", provider: "static" });
    assert.deepEqual([status, body.provider, body.max, body.shape], [201, "static", 0, null]);
  });
});

describe("POST /v1/pools/{pool}", () => {
  it("changes what it names, and checks the whole", async () => {
    await using api = await TestApi.start();
    await post(api, "/v1/pools", GROWS);
    const { body } = await post<Pool>(api, "/v1/pools/grows", { max: 7, min: 1 });
    assert.deepEqual([body.min, body.max, body.idleTimeout, body.shape], [1, 7, "1m30s", SHAPE]);
    assert.deepEqual(codeOf(await post(api, "/v1/pools/grows", { max: 0 })), [400, "invalid_request", "max"]);
    assert.deepEqual(codeOf(await post(api, "/v1/pools/none", { max: 0 })), [404, "not_found", "pool"]);
  });
});

describe("pools", () => {
  it("are listed by name, page by page", async () => {
    await using api = await TestApi.start();
    for (const name of ["b", "a", "c"]) await post(api, "/v1/pools", { ...GROWS, name });
    const first = await api.ask<PageOf<Pool>>("/v1/pools?limit=2");
    assert.deepEqual(first.body.items.map(({ name }) => name), ["a", "b"]);
    const second = await api.ask<PageOf<Pool>>(`/v1/pools?cursor=${first.body.nextCursor}`);
    assert.deepEqual(second.body.items.map(({ name }) => name), ["c", "default"]);
  });

  it("drain, go on, and are deleted once nothing of them is there", async () => {
    await using api = await TestApi.start();
    await post(api, "/v1/pools", GROWS);
    await insertProvision(api, "prov_1", "starting");
    const states = [];
    for (const move of ["drain", "drain", "resume", "drain"]) {
      states.push((await post<Pool>(api, `/v1/pools/grows/${move}`)).body.state);
    }
    assert.deepEqual(states, ["draining", "draining", "active", "draining"]);
    const early = await api.ask("/v1/pools/grows", { method: "DELETE" });
    assert.deepEqual(codeOf(early), [409, "conflict", "pool"]);
    assert.match(early.body.error.message, /drain it with `berth pools drain grows`/);
    await api.deps.sql`update provision set state = 'released', ended_at = requested_at`;
    assert.equal((await api.ask("/v1/pools/grows", { method: "DELETE" })).status, 200);
    assert.equal((await api.ask("/v1/pools/grows")).status, 404);
  });

  it("show the nodes they were asked for, newest first, and how the last came to nothing", async () => {
    await using api = await TestApi.start();
    await post(api, "/v1/pools", GROWS);
    await insertProvision(api, "prov_1", "released", { ended: true });
    await insertProvision(api, "prov_2", "failed", { error: "no capacity", ended: true });
    await insertProvision(api, "prov_3", "requested");
    const { body } = await api.ask<PageOf<Provision>>("/v1/pools/grows/provisions?limit=2");
    assert.deepEqual(body.items.map(({ id, state, error }) => [id, state, error]), [
      ["prov_3", "requested", null],
      ["prov_2", "failed", "no capacity"],
    ]);
    const rest = await api.ask<PageOf<Provision>>(`/v1/pools/grows/provisions?cursor=${body.nextCursor}`);
    assert.deepEqual(rest.body.items.map(({ id }) => id), ["prov_1"]);
    const { starting, failure } = (await api.ask<Pool>("/v1/pools/grows")).body;
    assert.deepEqual([starting, failure?.message], [1, "no capacity"]);
  });

  it("are changed by operators alone: admins of workspace default", async () => {
    await using api = await TestApi.start();
    await post(api, "/v1/pools", GROWS);
    const keys = [await api.keyOf("tenant"), await api.keyOf("default", "deploy")];
    for (const key of keys) {
      for (
        const path of ["/v1/pools", "/v1/pools/grows", "/v1/pools/grows/drain", "/v1/pools/grows/resume"]
      ) {
        assert.equal((await api.ask(path, { body: GROWS, key })).body.error.code, "forbidden", path);
      }
      assert.equal((await api.ask("/v1/pools/grows/tokens", { body: {}, key })).status, 403);
      assert.equal((await api.ask("/v1/pools/grows", { method: "DELETE", key })).status, 403);
      assert.equal((await api.ask("/v1/pools/grows", { key })).status, 200);
    }
  });
});

describe("join tokens", () => {
  async function withToken(expiresIn = "1h") {
    const api = await TestApi.start();
    await post(api, "/v1/pools", { name: "office", provider: "static" });
    const { status, body } = await post<JoinToken>(api, "/v1/pools/office/tokens", { expiresIn });
    assert.equal(status, 201);
    return { api, token: body.token, [Symbol.asyncDispose]: () => api[Symbol.asyncDispose]() };
  }
  const join = (api: TestApi, body: unknown) =>
    api.ask<JoinedNode & ErrorAnswer>("/v1/nodes", { body, key: null });

  it("let machines join their pool until they expire, and are kept hashed", async () => {
    await using world = await withToken();
    const { api, token } = world;
    for (const session of ["session-1", "session-2"]) {
      const { status, body } = await join(api, joinBody(token, { session }));
      assert.deepEqual([status, body.pool], [200, "office"]);
    }
    assert.equal((await api.ask<Pool>("/v1/pools/office")).body.nodes, 2);
    const rows = await api.deps.sql`select * from join_token`;
    assert.doesNotMatch(JSON.stringify(rows), new RegExp(token));
    await api.deps.sql`update join_token set expires_at = ${new Date(api.deps.clock.now() - 1)}`;
    const late = await join(api, joinBody(token, { session: "session-3" }));
    assert.equal(late.status, 401);
    assert.match(
      late.body.error.message,
      /the token expired at .*make a new one with `berth pools token office`/,
    );
  });

  it("make one node of a join whose answer was lost", async () => {
    await using world = await withToken();
    const { api, token } = world;
    const first = await join(api, joinBody(token)), second = await join(api, joinBody(token));
    assert.equal(first.body.id, second.body.id);
    assert.notEqual(first.body.credential, second.body.credential);
    const sync = (credential: string) =>
      api.ask(`/v1/nodes/${first.body.id}/sync`, {
        body: { session: "session-1", containers: [], leases: [], revision: 0 },
        key: credential,
      });
    assert.equal((await sync(second.body.credential)).status, 200);
    assert.equal((await sync(first.body.credential)).status, 401);
  });

  it("are refused for another pool, for one that drains, and once it is deleted", async () => {
    await using world = await withToken();
    const { api, token } = world;
    assert.deepEqual(codeOf(await join(api, joinBody(token, { pool: "grows" }))), [
      400,
      "invalid_request",
      "pool",
    ]);
    await post(api, "/v1/pools/office/drain");
    assert.equal((await join(api, joinBody(token))).status, 409);
    assert.equal((await post(api, "/v1/pools/office/tokens")).status, 409);
    await api.ask("/v1/pools/office", { method: "DELETE" });
    const unknown = await join(api, joinBody(token));
    assert.equal(unknown.status, 401);
    assert.match(unknown.body.error.message, /the token is unknown, make one with `berth pools token POOL`/);
  });
});
