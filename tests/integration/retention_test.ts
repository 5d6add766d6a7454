/** What has ended long ago goes, with all that belongs to it; what runs, waits, is young or has made something stays. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Sweeper } from "../../api/sweeper.ts";
import { realClock } from "../../sdk/ports.ts";
import type { CreatedValue } from "../../sdk/protocol.ts";
import { type ErrorAnswer, manifestOf, TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

const DAY_MS = 24 * 3_600_000;
/** All that hangs on a batch. */
const TABLES = ["batch", "call", "result", "lease", "log", "event", "checkpoint", "value_use", "retired"];

async function setup() {
  const clock = { ...realClock, ahead: 0, now: () => Date.now() + clock.ahead };
  const api = await TestApi.start({ clock });
  await api.deploy("demo", ["work"]);
  const runner = await ApiRunner.join(api);
  const container = await runner.container("demo", "work");
  const sweeper = new Sweeper({ ...api.deps, retentionMs: 30 * DAY_MS });
  const sweep = async () => {
    while (await sweeper.round());
  };
  /** A value that is too large to travel, by its reference. */
  const value = async (json: string) => {
    const { body } = await api.ask<CreatedValue>("/v1/values", { body: { size: json.length } });
    await api.fetch(body.url, { method: "PUT", raw: json, key: null });
    return { $blob: body.id };
  };
  const call = async (input: unknown) => (await api.call("demo/work", { input })).body.calls[0]!.id;
  const run = async (result: unknown = null) => {
    const claims = await runner.take(container);
    for (const claim of claims) await runner.report(claim, () => result as never);
    return claims;
  };
  const status = async (id: string) => (await api.fetch(`/v1/calls/${id}`)).status;
  const values = () => Array.fromAsync(api.deps.blobs.list("values/"));
  const counts = async () => {
    const rows = await Promise.all(TABLES.map(async (table) => {
      const [row] = await api.deps.sql<{ n: number }[]>`select count(*)::int as n from ${
        api.deps.sql(table)
      }`;
      return [table, row!.n] as const;
    }));
    return Object.fromEntries(rows.filter(([, n]) => n > 0));
  };
  return { api, clock, runner, container, sweep, value, call, run, status, values, counts };
}

describe("retention", () => {
  it("takes calls that ended long ago, with values, logs and checkpoints; not what waits, runs or is young", async () => {
    const { api, clock, runner, sweep, value, call, run, status, values, counts, container } = await setup();
    await using _ = api;
    const [input, output] = [await value(`"in"`), await value(`"out"`)];
    const old = await call(input);
    const [claim] = await runner.take(container);
    const { lease } = claim!;
    await runner.save({ lease }, "weights");
    await runner.exchange({
      logs: [[lease, 0, 0, clock.now(), "log", "a line"]],
      events: [[lease, 0, 1, clock.now(), "report", { loss: 1 }]],
    });
    await runner.report(claim!, () => output as never);
    clock.ahead = 20 * DAY_MS;
    const young = await call(1);
    await run();
    const waiting = await call(input);
    clock.ahead = 31 * DAY_MS;
    await sweep();
    assert.deepEqual([await status(old), await status(young), await status(waiting)], [404, 200, 200]);
    assert.deepEqual(await counts(), { batch: 2, call: 2, result: 1, lease: 1, value_use: 1 });
    clock.ahead += DAY_MS;
    await sweep();
    assert.deepEqual(await values(), [`values/default/${input.$blob}`], "the call that waits has it too");
    assert.deepEqual(await Array.fromAsync(api.deps.blobs.list("checkpoints/")), []);

    const [running] = await runner.take(container);
    clock.ahead = 100 * DAY_MS;
    await sweep();
    assert.deepEqual([await status(young), await status(waiting)], [404, 200], "it runs");
    await runner.report(running!, () => null);
    clock.ahead = 140 * DAY_MS;
    await sweep();
    assert.deepEqual(await counts(), {});
    clock.ahead += DAY_MS;
    await sweep();
    assert.deepEqual(await values(), []);
  });

  it("keeps a call that has made an artifact, as long as there is the artifact", async () => {
    const { api, clock, runner, container, sweep, call, status } = await setup();
    await using _ = api;
    const id = await call(1);
    const [claim] = await runner.take(container);
    await runner.publish({ lease: claim!.lease, index: 0, name: "model" }, "weights");
    await runner.save({ lease: claim!.lease, name: "shared" }, "shared");
    await runner.report(claim!, () => null);
    clock.ahead = 40 * DAY_MS;
    await sweep();
    assert.equal(await status(id), 200);
    await api.ask("/v1/artifacts/model@1", { method: "DELETE" });
    clock.ahead = 41 * DAY_MS;
    await sweep();
    assert.equal(await status(id), 404);
    clock.ahead = 80 * DAY_MS;
    await sweep();
    const shared = await api.deps.sql<{ name: string }[]>`select name from checkpoint`;
    assert.deepEqual(shared.map(({ name }) => name), ["shared"]);
    assert.equal((await Array.fromAsync(api.deps.blobs.list("checkpoints/"))).length, 1);
    assert.deepEqual(await Array.fromAsync(api.deps.blobs.list("artifacts/")), []);
  });

  it("refuses an input whose value has gone, and keeps what is used of what was uploaded", async () => {
    const { api, clock, runner, container, sweep, value, call, values, status } = await setup();
    await using _ = api;
    const [used, unused, late] = [await value("1"), await value("2"), await value("3")];
    const [returned, yielded] = [await value("4"), await value("5")];
    const id = await call(used);
    const [claim] = await runner.take(container);
    await runner.exchange({ events: [[claim!.lease, 0, 0, clock.now(), "yield", { value: yielded }]] });
    await runner.report(claim!, () => returned as never);
    clock.ahead = 2 * DAY_MS;
    // The moment between a look into the store and the row: the bytes are still there, and it is too late.
    await api.deps.sql`update blob set state = 'going' where key = ${`values/default/${late.$blob}`}`;
    const refused = await api.ask<ErrorAnswer>("/v1/apps/demo/functions/work/calls", {
      body: { input: late },
    });
    assert.deepEqual([refused.status, refused.body.error.field], [400, "input"]);
    await sweep();
    const kept = [used, returned, yielded].map(({ $blob }) => `values/default/${$blob}`);
    assert.deepEqual((await values()).sort(), kept.sort());
    const gone = await api.ask<ErrorAnswer>("/v1/apps/demo/functions/work/calls", {
      body: { input: unused },
    });
    assert.deepEqual([gone.status, gone.body.error.field], [400, "input"]);
    assert.equal(await status(id), 200);
  });

  it("lets lines of containers without calls go, and bundles that nobody deployed", async () => {
    const { api, clock, runner, container, sweep } = await setup();
    await using _ = api;
    const line = (n: number) =>
      runner.exchange({ containerLogs: [[container, n, clock.now(), "stdout", "x"]] });
    await line(0);
    await api.upload("a bundle that is never deployed");
    clock.ahead = 40 * DAY_MS;
    await line(1);
    await sweep();
    const lines = await api.deps.sql<{ n: number }[]>`select n from container_log`;
    assert.deepEqual(lines.map(({ n }) => n), [1]);
    assert.equal((await Array.fromAsync(api.deps.blobs.list("bundles/"))).length, 1);
    assert.equal((await api.deploy("demo", ["work", "more"])).status, 201);
    const again = await api.upload("a bundle that is never deployed");
    assert.equal((await api.fetch(`/v1/bundles/${again}`, { method: "PUT", raw: "" })).status, 200);
  });

  it("lets containers go that ended long ago, unless a call is kept that ran there, or what they left", async () => {
    const { api, clock, runner, container, sweep, call } = await setup();
    await using _ = api;
    const { sql } = api.deps;
    const [other, third, live] = [
      await runner.container("demo", "work"),
      await runner.container("demo", "work"),
      await runner.container("demo", "work"),
    ];
    const made = await call(1);
    const [claim] = await runner.take(container);
    await runner.publish({ lease: claim!.lease, index: 0, name: "model" }, "weights");
    await runner.report(claim!, () => null);
    await call(2);
    for (const one of await runner.take(other)) await runner.report(one, () => null);
    await runner.exchange({ containerLogs: [[third, 0, clock.now(), "stdout", "x"]] });
    await sql`insert into gang (id, function_id, size, port, created_at) select 'gang_1', id, 2, 1, now() from function`;
    await sql`
      update container set observed = 'exited', exited_at = ${new Date(clock.now())}, exit = '{}'
      where id <> ${live}`;
    await sql`update container set gang_id = 'gang_1' where id in (${other}, ${third})`;
    await sql`update container set kept_until = ${new Date(clock.now() + 90 * DAY_MS)} where id = ${third}`;
    const there = async () =>
      (await sql<{ id: string }[]>`select id from container`).map(({ id }) => id).sort();
    const hours = async (n: number) => {
      clock.ahead += n * 3_600_000;
      await sweep();
    };
    await hours(29 * 24);
    assert.equal((await there()).length, 4, "they are young");
    const shown = async () => (await api.ask(`/v1/calls/${made}`)).body;
    const before = await shown();
    await hours(2 * 24);
    await hours(2); // once the calls are gone
    assert.deepEqual(await there(), [container, third, live].sort());
    assert.deepEqual(await shown(), before);
    assert.equal((await sql`select from gang`).length, 1);
    await sql`update container set kept_until = null`;
    await api.ask("/v1/artifacts/model@1", { method: "DELETE" });
    await hours(2);
    await hours(2);
    assert.deepEqual(await there(), [live]);
    assert.equal((await sql`select from gang`).length, 0);
  });

  it("lets deployments go that were replaced long ago, with bundles that no other has", async () => {
    const { api, clock, sweep } = await setup();
    await using _ = api;
    const { sql } = api.deps;
    const deploy = async (app: string, text: string, functions = ["work"]) => {
      const bundle = await api.upload(text);
      const body = { bundle, manifest: manifestOf(functions) };
      const answer = await api.ask<{ version: number }>(`/v1/apps/${app}/deployments`, { body });
      assert.equal(answer.status, 201);
      return answer.body.version;
    };
    const days = async (n: number) => {
      clock.ahead += n * DAY_MS;
      await sweep();
    };
    const there = async () => {
      const rows = await sql<{ version: number; app: string }[]>`
        select app.name as app, version from deployment join app on app.id = app_id order by 1, 2`;
      return rows.map(({ app, version }) => `${app} ${version}`);
    };
    const bundles = async () => (await sql`select from bundle`).length;
    assert.deepEqual([await there(), await bundles()], [["demo 1"], 1]);
    await deploy("shop", "one", ["work", "gone"]);
    await deploy("shop", "two");
    await days(29);
    await deploy("shop", "one", ["work", "more"]); // the bytes of the first again
    await deploy("other", "two");
    await deploy("away", "three");
    assert.equal((await api.ask("/v1/apps/away", { method: "DELETE" })).status, 200);
    await days(2);
    // "gone" is still known by the first, and each current one is needed, however old
    assert.deepEqual(await there(), ["away 1", "demo 1", "other 1", "shop 1", "shop 2", "shop 3"]);
    await days(30);
    assert.deepEqual(await there(), ["away 1", "demo 1", "other 1", "shop 1", "shop 3"]);
    await days(1);
    assert.equal(await bundles(), 3, "that of the deleted app has gone");
    assert.equal(await deploy("shop", "four", ["work", "gone"]), 4);
    await days(31);
    await days(1);
    assert.deepEqual(await there(), ["away 1", "demo 1", "other 1", "shop 3", "shop 4"]);
    assert.equal(await deploy("shop", "two", ["again"]), 5);
  });

  it("keeps a deployment by which a container still runs, and a bundle that is deployed again", async () => {
    const { api, clock, sweep } = await setup();
    await using _ = api;
    const { sql } = api.deps;
    await api.deploy("demo", ["work", "more"]); // the same bundle
    const old = await api.upload("old");
    await api.ask("/v1/apps/shop/deployments", { body: { bundle: old, manifest: manifestOf(["a"]) } });
    const state = async () =>
      (await sql<{ state: string }[]>`
      select state from blob join bundle on bundle.blob = key where digest = ${old}`)[0]?.state;
    const next = await api.upload("next");
    await api.ask("/v1/apps/shop/deployments", { body: { bundle: next, manifest: manifestOf(["a"]) } });
    clock.ahead = 40 * DAY_MS;
    await sweep();
    const left = await sql<{ version: number }[]>`
      select version from deployment join app on app.id = app_id where app.name = 'demo' order by 1`;
    assert.deepEqual(left.map(({ version }) => version), [1, 2], "its container lives");
    assert.equal(await state(), "released");
    const again = await api.ask("/v1/apps/shop/deployments", {
      body: { bundle: old, manifest: manifestOf(["a"]) },
    });
    assert.deepEqual([again.status, await state()], [201, "kept"]);
    clock.ahead += DAY_MS;
    await sweep();
    assert.equal(await state(), "kept");
  });
});
