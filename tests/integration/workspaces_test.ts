import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Submission } from "../../scheduler/store/calls.ts";
import { connect } from "../../scheduler/store/connect.ts";
import { enqueueWithinLimits } from "../../scheduler/store/quotas.ts";
import { insertWorkspace, noteUsage } from "../../scheduler/store/workspaces.ts";
import type { ApiKey, CreatedKey, PageOf, Workspace } from "../../sdk/protocol.ts";
import { type ErrorAnswer, TestApi } from "../setup/api.ts";
import { testDatabase } from "../setup/postgres.ts";
import { insertContainers, insertFunction, NOW, submission } from "../setup/world.ts";

const NOTHING_USED = { gpus: 0, cpu: 0, containers: 0, queued: 0, running: 0, gpuSeconds: 0 };

describe("/v1/workspaces", () => {
  it("makes, changes, shows and lists workspaces, page by page", async () => {
    await using api = await TestApi.start();
    const settings = { weight: 300, gpus: 2.5, maxGpus: 8, cpu: 4, maxCpu: null, maxQueued: 1_000 };
    const made = await api.ask<Workspace>("/v1/workspaces", { body: { name: "research", ...settings } });
    assert.equal(made.status, 201);
    const { createdAt: _, ...rest } = made.body;
    assert.deepEqual(rest, { name: "research", ...settings, usage: NOTHING_USED });

    const some = { maxGpus: null, weight: 50 };
    const changed = await api.ask<Workspace>("/v1/workspaces/research", { body: some });
    assert.deepEqual({ ...changed.body }, { ...made.body, ...some });
    assert.deepEqual((await api.ask<Workspace>("/v1/workspaces/research")).body, changed.body);

    const first = await api.ask<PageOf<Workspace>>("/v1/workspaces?limit=1");
    assert.deepEqual(first.body.items.map(({ name }) => name), ["default"]);
    const next = await api.ask<PageOf<Workspace>>(`/v1/workspaces?cursor=${first.body.nextCursor}`);
    assert.deepEqual(next.body.items.map(({ name }) => name), ["research"]);
  });

  it("refuses a second one of a name, one that is not there, and quotas beyond limits", async () => {
    await using api = await TestApi.start();
    const refusal = async (path: string, body: unknown) => {
      const { status, body: { error } } = await api.ask(path, { body });
      return [status, error.code, error.field];
    };
    assert.deepEqual(await refusal("/v1/workspaces", { name: "default" }), [409, "conflict", "name"]);
    assert.deepEqual(await refusal("/v1/workspaces/other", { weight: 1 }), [404, "not_found", "workspace"]);
    const much = { name: "much", gpus: 4, maxGpus: 2 };
    assert.deepEqual(await refusal("/v1/workspaces", much), [400, "invalid_request", "gpus"]);
    assert.deepEqual(await refusal("/v1/workspaces", { name: "w", weight: 0 }), [
      400,
      "invalid_request",
      "weight",
    ]);
    await api.ask("/v1/workspaces", { body: { name: "ok", cpu: 2 } });
    assert.deepEqual(await refusal("/v1/workspaces/ok", { maxCpu: 1 }), [400, "invalid_request", "cpu"]);
  });

  it("is for admins of workspace default alone, and says so", async () => {
    await using api = await TestApi.start();
    const tenant = await api.keyOf("tenant");
    const deployer = await api.keyOf("default", "deploy");
    for (
      const [path, body] of [["/v1/workspaces", undefined], ["/v1/workspaces/tenant", { weight: 9 }]] as const
    ) {
      const foreign = await api.ask(path, { key: tenant, body });
      assert.equal(foreign.status, 403);
      assert.match(foreign.body.error.message, /admin key of workspace "default" is needed/);
      assert.equal((await api.ask(path, { key: deployer, body })).status, 403);
    }
    assert.equal((await api.ask<Workspace>("/v1/workspaces/tenant", { key: tenant })).body.name, "tenant");
  });

  it("tells what is used at this moment", async () => {
    await using api = await TestApi.start();
    const { sql } = api.deps;
    const fn = await insertFunction(sql, { name: "work" });
    await insertContainers(sql, fn, ["ctr_1", "ctr_2"]);
    await sql`update container set gpu_milli = 500 where id = 'ctr_1'`;
    await noteUsage(sql, NOW, [{ workspace: "default", used: 7 }]);
    await noteUsage(sql, NOW, [{ workspace: "default", used: 42 }]);
    await enqueueWithinLimits(sql, NOW, [submission(fn, [1, 2]), submission(fn, [3], { dueAt: new Date() })]);
    const { body } = await api.ask<Workspace>("/v1/workspaces/default");
    assert.deepEqual(body.usage, {
      gpus: 0.5,
      cpu: 0.2,
      containers: 2,
      queued: 3,
      running: 0,
      gpuSeconds: 42,
    });
  });
});

describe("/v1/workspaces/{workspace}/keys", () => {
  it("makes keys that open the workspace, lists them without their text, and revokes them", async () => {
    await using api = await TestApi.start();
    await api.ask("/v1/workspaces", { body: { name: "tenant" } });
    const { status, body: made } = await api.ask<CreatedKey>("/v1/workspaces/tenant/keys", {
      body: { name: "ci", scope: "deploy" },
    });
    assert.equal(status, 201);
    assert.equal((await api.deploy("app", ["work"], made.key)).status, 201);
    assert.deepEqual((await api.ask<PageOf<unknown>>("/v1/apps")).body.items, []);

    const { key: _, ...listed } = made;
    const list = async (query = "") =>
      (await api.ask<PageOf<ApiKey>>(`/v1/workspaces/tenant/keys${query}`)).body.items;
    assert.deepEqual(await list(), [listed]);
    const revoked = await api.ask<ApiKey>(`/v1/workspaces/tenant/keys/${made.id}`, { method: "DELETE" });
    assert.notEqual(revoked.body.revokedAt, null);
    assert.deepEqual(await list(), []);
    assert.deepEqual(await list("?revoked=true"), [revoked.body]);
  });

  it("is for admins of the workspace, and of workspace default", async () => {
    await using api = await TestApi.start();
    const admin = await api.keyOf("tenant");
    const other = await api.keyOf("other");
    const reader = await api.keyOf("tenant", "read");
    const body = { name: "x", scope: "read" };
    const make = async (key: string) => (await api.ask("/v1/workspaces/tenant/keys", { key, body })).status;
    assert.deepEqual([await make(admin), await make(other), await make(reader)], [201, 403, 403]);
    assert.equal((await api.ask("/v1/workspaces/tenant/keys", { key: other })).status, 403);
  });

  it("finds no workspace and no key that is not there, nor one of another workspace", async () => {
    await using api = await TestApi.start();
    await api.keyOf("tenant");
    const { body } = await api.ask<CreatedKey>("/v1/workspaces/default/keys", {
      body: { name: "x", scope: "read" },
    });
    const gone = (path: string, method: string) => api.ask(path, { method }).then(({ status }) => status);
    assert.equal(await gone("/v1/workspaces/nobody/keys", "GET"), 404);
    assert.equal(await gone("/v1/workspaces/tenant/keys/key_1", "DELETE"), 404);
    assert.equal(await gone(`/v1/workspaces/tenant/keys/${body.id}`, "DELETE"), 404);
  });
});

describe("a limit for calls that wait", () => {
  const limited = { weight: 100, gpus: null, maxGpus: null, cpu: null, maxCpu: null, maxQueued: 10 };

  async function setup() {
    const db = await testDatabase();
    const { sql } = db;
    await insertWorkspace(sql, NOW, "tenant", limited);
    const functionId = await insertFunction(sql);
    await sql`update app set workspace_id = 'tenant'`;
    const create = (size: number, more: Partial<Submission> = {}) =>
      submission(functionId, Array(size).fill(0), { workspaceId: "tenant", ...more });
    const waiting = async () =>
      Number((await sql<{ n: string }[]>`select coalesce(sum(hi - lo), 0) as n from ready`)[0]!.n);
    return { db, sql, functionId, create, waiting };
  }

  it("refuses what does not fit, whole, and lets the rest of the same statement pass", async () => {
    const { db, sql, create, waiting } = await setup();
    await using _ = db;
    const outcomes = await enqueueWithinLimits(sql, NOW, [create(4), create(7), create(6), create(1)]);
    assert.deepEqual(outcomes.map((one) => typeof one === "number" ? "stored" : one), [
      "stored",
      { limit: 10, queued: 4 },
      "stored",
      { limit: 10, queued: 10 },
    ]);
    assert.equal(await waiting(), 10);
    assert.equal((await sql`select from batch`).length, 2);
  });

  it("counts calls with a delay and with a key", async () => {
    const { db, sql, create } = await setup();
    await using _ = db;
    const dueAt = new Date(NOW.getTime() + 60_000);
    await enqueueWithinLimits(sql, NOW, [create(4, { dueAt }), create(5, { concurrencyKey: "a" })]);
    assert.deepEqual(await enqueueWithinLimits(sql, NOW, [create(2)]), [{ limit: 10, queued: 9 }]);
  });

  it("answers a repeated request as before, though the queue is full", async () => {
    const { db, sql, create } = await setup();
    await using _ = db;
    const keyed = create(10, { idempotencyKey: "k", requestHash: "h" });
    await enqueueWithinLimits(sql, NOW, [keyed]);
    assert.deepEqual(await enqueueWithinLimits(sql, NOW, [keyed]), [null]);
  });

  it("holds exactly, however many processes create at once", async () => {
    const { db, sql, create, waiting } = await setup();
    await using _ = db;
    const pools = Array.from(
      { length: 6 },
      (_, i) => connect(db.url, { max: 1, name: `api ${i}`, pinned: true }),
    );
    const rounds = await Promise.all(
      pools.flatMap((pool) => [1, 2, 3].map((size) => enqueueWithinLimits(pool, NOW, [create(size)]))),
    );
    assert.equal(await waiting(), 10);
    const stored = rounds.flat().filter((one) => typeof one === "number").length;
    assert.equal((await sql`select from batch`).length, stored);
    await Promise.all(pools.map((pool) => pool.end()));
  });

  it("leaves workspaces without one alone, in the same statement", async () => {
    const { db, sql, create, functionId } = await setup();
    await using _ = db;
    const outcomes = await enqueueWithinLimits(sql, NOW, [
      create(11),
      submission(functionId, Array(50).fill(0)),
    ]);
    assert.deepEqual(outcomes.map((one) => typeof one), ["object", "number"]);
  });

  it("is answered with 429, the limit and the number, and nothing is half done", async () => {
    await using api = await TestApi.start();
    await api.deploy("app", ["work"]);
    await api.ask("/v1/workspaces/default", { body: { maxQueued: 5 } });
    assert.equal((await api.call("app/work", { inputs: [1, 2, 3] })).status, 202);
    const { status, body, headers } = await api.call("app/work", { inputs: [4, 5, 6] });
    assert.equal(status, 429);
    assert.deepEqual((body as ErrorAnswer).error.code, "quota_exceeded");
    assert.match(
      (body as ErrorAnswer).error.message,
      /Cannot queue 3 more calls: of workspace "default" at most 5 may wait and 3 do, try again/,
    );
    assert.equal(headers.get("retry-after"), "1");
    assert.equal((await api.call("app/work", { inputs: [4, 5] })).status, 202);
    const { body: list } = await api.ask<PageOf<unknown>>("/v1/calls");
    assert.equal(list.items.length, 5);
  });
});
