import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { createKey } from "../../api/auth.ts";
import { revokeKeys } from "../../scheduler/store/keys.ts";
import type { Clock } from "../../sdk/ports.ts";
import type { Scope } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

describe("keys", () => {
  it("are needed, must be known, and must be sent as a bearer token", async () => {
    await using api = await TestApi.start();
    for (const authorization of [undefined, "Bearer berth_unknown", "Basic abc", "Bearer", api.key]) {
      const headers = authorization === undefined ? {} : { authorization };
      const { status, body, headers: answered } = await api.ask("/v1/calls", { key: null, headers });
      assert.deepEqual([status, body.error.code], [401, "unauthorized"], authorization);
      assert.equal(answered.get("www-authenticate"), "Bearer");
    }
    assert.equal((await api.ask("/healthz", { key: null })).status, 200);
  });

  it("may do what their scope includes, and are told which scope is needed", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", ["work"]);
    const asks = {
      read: () => ({ path: "/v1/calls" }),
      invoke: () => ({ path: "/v1/apps/demo/functions/work/calls", body: { input: 1 } }),
      deploy: () => ({ path: "/v1/apps/demo", method: "DELETE" }),
    };
    const allowed: Record<Scope, (keyof typeof asks)[]> = {
      read: ["read"],
      invoke: ["read", "invoke"],
      deploy: ["read", "invoke", "deploy"],
      admin: ["read", "invoke"],
    };
    for (const [scope, may] of Object.entries(allowed) as [Scope, (keyof typeof asks)[]][]) {
      const key = await api.keyOf("default", scope);
      for (const need of ["read", "invoke", "deploy"] as const) {
        if (scope === "admin" && need === "deploy") continue;
        const { path, ...asking } = asks[need]();
        const { status, body } = await api.ask(path, { ...asking, key });
        assert.equal(status === 403, !may.includes(need), `${scope} asks for ${need}: ${status}`);
        if (status === 403) assert.match(body.error.message, new RegExp(`"${scope}".*"${need}"`));
      }
    }
  });

  it("see nothing of another workspace", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", [{ name: "work", schedules: [{ method: "work", cron: "0 3 * * *" }] as never }]);
    const { batch, calls } = (await api.call("demo/work", { input: 1 })).body;
    const runner = await ApiRunner.join(api);
    await runner.container("demo", "work");
    const schedule = (await api.ask<{ items: { id: string }[] }>("/v1/schedules")).body.items[0]!.id;
    const key = await api.keyOf("other");
    const id = calls[0]!.id;
    for (
      const [path, method] of [
        [`/v1/calls/${id}`, "GET"],
        [`/v1/calls/${id}/logs`, "GET"],
        [`/v1/calls/${id}/events`, "GET"],
        [`/v1/calls/${id}/attempts`, "GET"],
        [`/v1/calls/${id}/cancel`, "POST"],
        [`/v1/batches/${batch}/cancel`, "POST"],
        [`/v1/batches/${batch}/results`, "GET"],
        [`/v1/apps/demo`, "GET"],
        [`/v1/apps/demo`, "DELETE"],
        [`/openapi.json?app=demo`, "GET"],
        [`/v1/schedules/${schedule}/pause`, "POST"],
        [`/v1/schedules/${schedule}/run`, "POST"],
      ] as const
    ) {
      assert.equal((await api.ask(path, { method, key })).status, 404, `${method} ${path}`);
    }
    const called = await api.ask("/v1/apps/demo/functions/work/calls", { body: { input: 1 }, key });
    assert.equal(called.status, 404);
    for (const list of ["apps", "calls", "containers", "schedules"]) {
      assert.deepEqual((await api.ask(`/v1/${list}`, { key })).body.items, [], list);
    }
  });

  it("stop working within seconds of being revoked", async () => {
    let nowMs = Date.UTC(2026, 0, 1);
    const clock: Clock = { now: () => nowMs, sleep: () => Promise.resolve() };
    await using api = await TestApi.start({ clock });
    const { key } = await createKey(api.deps, { workspace: "default", name: "leaked", scope: "read" });
    const status = async () => (await api.ask("/v1/calls", { key })).status;
    assert.equal(await status(), 200);
    assert.equal(
      await revokeKeys(api.deps.sql, new Date(nowMs), { workspace: "default", name: "leaked" }),
      1,
    );
    nowMs += 5_000;
    assert.equal(await status(), 401);
  });

  it("are not kept: the store holds their SHA-256", async () => {
    await using api = await TestApi.start();
    const rows = await api.deps.sql<{ row: string }[]>`select k::text as row from api_key k`;
    assert.ok(rows.length > 0 && rows.every(({ row }) => !row.includes(api.key)));
  });
});

describe("node credentials", () => {
  it("act for their own node only", async () => {
    await using api = await TestApi.start();
    const [one, two] = [await ApiRunner.join(api, "one"), await ApiRunner.join(api, "two")];
    const ask = (node: string, key: string) =>
      api.ask(`/v1/nodes/${node}/exchange`, {
        body: { session: "s1", seq: 1, free: [], reports: [], waitMs: 0 },
        key,
      });
    assert.equal((await ask(one.node, one.credential)).status, 200);
    assert.equal((await ask(two.node, one.credential)).status, 403);
    assert.equal((await ask(one.node, api.key)).status, 401);
  });

  it("are no keys", async () => {
    await using api = await TestApi.start();
    const { credential } = await ApiRunner.join(api);
    assert.equal((await api.ask("/v1/calls", { key: credential })).status, 401);
  });
});
