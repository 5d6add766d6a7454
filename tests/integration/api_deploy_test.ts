import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { App, Call, FunctionSpec, Schedule } from "../../sdk/protocol.ts";
import { BUNDLE, manifestOf, sha256, TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

const nightly = (cron = "0 3 * * *", more = {}) =>
  ({ name: "nightly", schedules: [{ method: "nightly", cron, timeZone: "Asia/Seoul", ...more }] }) as Partial<
    FunctionSpec
  >;

const schedules = async (api: TestApi) => (await api.ask<{ items: Schedule[] }>("/v1/schedules")).body.items;
const call = async (api: TestApi, id: string) => (await api.ask<Call>(`/v1/calls/${id}`)).body;

describe("PUT /v1/bundles/{sha256}", () => {
  it("keeps a bundle, and answers 200 when it was there", async () => {
    await using api = await TestApi.start();
    const digest = await sha256(BUNDLE);
    const put = () => api.ask<{ size: number }>(`/v1/bundles/${digest}`, { method: "PUT", raw: BUNDLE });
    const [first, second] = [await put(), await put()];
    assert.deepEqual([first.status, second.status], [201, 200]);
    assert.deepEqual([first.body.size, second.body.size], [BUNDLE.length, BUNDLE.length]);
  });

  it("is each workspace's own: another must upload it before deploying it", async () => {
    await using api = await TestApi.start();
    const bundle = await api.upload();
    const key = await api.keyOf("other");
    const body = { bundle, manifest: manifestOf(["work"]) };
    assert.equal((await api.ask("/v1/apps/demo/deployments", { body, key })).status, 400);
    await api.upload(BUNDLE, key);
    assert.equal((await api.ask("/v1/apps/demo/deployments", { body, key })).status, 201);
  });
});

describe("POST /v1/apps/{app}/deployments", () => {
  it("answers what was deployed, with the addresses of its endpoints", async () => {
    await using api = await TestApi.start();
    const hello = {
      name: "hello",
      methods: [{ name: "hello", kind: "endpoint", endpoint: { name: "hi", auth: "public" } }],
    };
    const { status, body } = await api.deploy("demo", ["work", hello as never]);
    assert.equal(status, 201);
    assert.equal(body.version, 1);
    assert.deepEqual(body.functions, ["work", "hello"]);
    assert.deepEqual(body.endpoints, [{ name: "hi", auth: "public", url: "http://berth.test/e/demo/hi" }]);
  });

  it("may be repeated: only a difference makes a new version", async () => {
    await using api = await TestApi.start();
    const first = await api.deploy("demo", ["work"]);
    const again = await api.deploy("demo", ["work"]);
    assert.deepEqual(again.body, first.body);
    const other = await api.deploy("demo", [{ name: "work", memory: 1024 }]);
    assert.equal(other.body.version, 2);
    assert.notEqual(other.body.deployment, first.body.deployment);
  });

  it("makes one version of deploys that come at once", async () => {
    await using api = await TestApi.start();
    await api.upload();
    const answers = await Promise.all(Array.from({ length: 8 }, () => api.deploy("demo", ["work"])));
    assert.deepEqual(
      new Set(answers.map(({ status, body }) => `${status} ${body.version}`)),
      new Set(["201 1"]),
    );
  });

  it("cancels what waits for a function that it no longer has, saying why, and lets the rest be", async () => {
    await using api = await TestApi.start();
    const digits = (methods: string[]) => ({
      name: "Digits",
      kind: "class" as const,
      methods: methods.map((name) => ({ name, kind: "call" })) as never,
    });
    await api.deploy("demo", ["work", "gone", digits(["Digits.a", "Digits.b"])]);
    const ids: string[] = [];
    for (const name of ["work", "gone", "Digits.a", "Digits.b"]) {
      ids.push((await api.call(`demo/${name}`, { input: 1 })).body.calls[0]!.id);
    }
    const { body } = await api.deploy("demo", ["work", digits(["Digits.a"])]);
    const calls = await Promise.all(ids.map((id) => call(api, id)));
    assert.deepEqual(calls.map(({ state }) => state), ["queued", "cancelled", "queued", "cancelled"]);
    assert.equal(calls[1]!.failure!.kind, "cancelled");
    assert.match(calls[1]!.failure!.message, new RegExp(body.deployment));
    assert.equal((await api.call("demo/gone", { input: 1 })).status, 404);
    assert.equal((await api.call("demo/Digits.b", { input: 1 })).status, 404);
  });

  it("runs waiting calls on the new deployment", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", ["work"]);
    const { id } = (await api.call("demo/work", { input: 1 })).body.calls[0]!;
    const { body } = await api.deploy("demo", [{ name: "work", memory: 1024 }]);
    assert.equal((await call(api, id)).deployment, body.deployment);
  });
});

describe("GET /v1/apps", () => {
  it("lists the apps of the workspace with their functions", async () => {
    await using api = await TestApi.start();
    for (const name of ["b", "a", "c"]) await api.deploy(name, ["work"]);
    const first = (await api.ask<{ items: App[]; nextCursor: string }>("/v1/apps?limit=2")).body;
    const second =
      (await api.ask<{ items: App[]; nextCursor?: string }>(`/v1/apps?cursor=${first.nextCursor}`)).body;
    assert.deepEqual([...first.items, ...second.items].map((app) => app.name), ["a", "b", "c"]);
    assert.equal(second.nextCursor, undefined);
    assert.equal(first.items[0]!.functions[0]!.timeout, "5m");
  });
});

describe("DELETE /v1/apps/{app}", () => {
  it("cancels what waits and what runs, ends its schedules, and lets the name be used anew", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", ["work", nightly()]);
    const runner = await ApiRunner.join(api);
    const { calls } = (await api.call("demo/work", { inputs: [1, 2] })).body;
    await runner.take(await runner.container("demo", "work"), 1);
    const { status, body } = await api.ask<{ cancelledCalls: number }>("/v1/apps/demo", { method: "DELETE" });
    assert.deepEqual([status, body.cancelledCalls], [200, 2]);
    assert.equal((await runner.exchange({})).cancels.length, 1);
    assert.match((await call(api, calls[1]!.id)).failure!.message, /"demo" was deleted/);
    assert.deepEqual(await schedules(api), []);
    assert.equal((await api.ask("/v1/apps/demo")).status, 404);
    assert.equal((await api.call("demo/work", { input: 1 })).status, 404);
    assert.equal((await api.deploy("demo", ["work"])).body.version, 1);
  });
});

describe("schedules", () => {
  it("are there after a deploy, with their next tick in their own time zone", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", ["work", nightly("0 3 * * *", { input: { epochs: 1 } })]);
    const [schedule] = await schedules(api);
    assert.deepEqual([schedule!.function, schedule!.app, schedule!.input], ["nightly", "demo", {
      epochs: 1,
    }]);
    assert.match(schedule!.nextAt!, /T18:00:00/); // 03:00 in Seoul
  });

  it("keep their id and their pause over a deploy, and go when a deployment has them no longer", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", ["work", nightly()]);
    const [before] = await schedules(api);
    await api.ask(`/v1/schedules/${before!.id}/pause`, { method: "POST" });
    await api.deploy("demo", ["work", { ...nightly(), memory: 1024 }]);
    const [after] = await schedules(api);
    assert.deepEqual([after!.id, after!.paused, after!.nextAt], [before!.id, true, null]);
    await api.deploy("demo", ["work", nightly("0 4 * * *")]);
    const now = await schedules(api);
    assert.deepEqual(now.map(({ cron, paused }) => [cron, paused]), [["0 4 * * *", false]]);
    await api.deploy("demo", ["work"]);
    assert.deepEqual(await schedules(api), []);
  });

  it("stop at a pause and go on at the next tick after a resume", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", [nightly()]);
    const [{ id, nextAt }] = await schedules(api) as [Schedule];
    const ask = async (verb: string) =>
      (await api.ask<Schedule>(`/v1/schedules/${id}/${verb}`, { method: "POST" })).body;
    assert.deepEqual([(await ask("pause")).nextAt, (await ask("pause")).paused], [null, true]);
    assert.deepEqual([(await ask("resume")).nextAt, (await ask("resume")).paused], [nextAt, false]);
  });

  it("fire by hand with their input, and show the call", async () => {
    await using api = await TestApi.start();
    await api.deploy("demo", [nightly("0 3 * * *", { input: { epochs: 1 } })]);
    const [{ id }] = await schedules(api) as [Schedule];
    const fired = await Promise.all(
      [1, 2].map(() => api.ask<{ calls: { id: string }[] }>(`/v1/schedules/${id}/run`, { method: "POST" })),
    );
    assert.deepEqual(fired.map(({ status }) => status), [202, 202]);
    const ids = fired.map(({ body }) => body.calls[0]!.id);
    assert.equal(new Set(ids).size, 2);
    assert.ok(ids.includes((await schedules(api))[0]!.lastCall!));
    const runner = await ApiRunner.join(api);
    const [claim] = await runner.take(await runner.container("demo", "nightly"));
    assert.deepEqual(claim!.inputs, [{ epochs: 1 }]);
  });
});
