/** What has ended long ago goes, with all that belongs to it; what runs, waits, is young or has made something stays. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Sweeper } from "../../api/sweeper.ts";
import { realClock } from "../../sdk/ports.ts";
import type { CreatedValue } from "../../sdk/protocol.ts";
import { type ErrorAnswer, TestApi } from "../setup/api.ts";
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
});
