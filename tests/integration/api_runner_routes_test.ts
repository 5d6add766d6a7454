import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Sweeper } from "../../api/sweeper.ts";
import { type Call, type EventItem, LIMITS } from "../../sdk/protocol.ts";
import { BUNDLE, TestApi } from "../setup/api.ts";
import { ApiRunner, THREW } from "../setup/api_runner.ts";

/** Those that are left once what was given up has gone. */
async function blobsOf(api: TestApi): Promise<string[]> {
  await new Sweeper({ ...api.deps, retentionMs: 0 }).round();
  return await Array.fromAsync(api.deps.blobs.list("checkpoints/"));
}

async function setup() {
  const api = await TestApi.start();
  await api.deploy("demo", [{ name: "work", retries: { max: 3, backoff: "0s" } as never }, "other"]);
  const runner = await ApiRunner.join(api);
  const container = await runner.container("demo", "work");
  const create = async (inputs: unknown[]) =>
    (await api.call("demo/work", { inputs })).body.calls.map((call) => call.id);
  return { api, runner, container, create };
}

describe("GET /v1/nodes/{node}/bundles/{digest}", () => {
  it("gives a node the bundles that its containers run, and no others", async () => {
    const { api, runner } = await setup();
    await using _ = api;
    const digest = await api.upload();
    assert.equal(await (await runner.follow(`/bundles/${digest}`)).text(), BUNDLE);
    const idle = await ApiRunner.join(api, "idle");
    assert.equal((await idle.fetch(`/bundles/${digest}`)).status, 404);
    assert.equal((await runner.fetch(`/bundles/${"b".repeat(64)}`)).status, 404);
    assert.equal((await runner.fetch(`/bundles/nonsense`)).status, 400);
  });
});

describe("checkpoints", () => {
  const save = (runner: ApiRunner, lease: number, text: string, name?: string) =>
    runner.save({ lease, ...name && { name } }, text);
  const load = async (runner: ApiRunner, lease: number, more = "") => {
    const response = await runner.follow(`/checkpoints?lease=${lease}&index=0${more}`);
    return response.status === 200 ? await response.text() : response.status;
  };

  it("are given to the next attempt, the last one first", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    const [id] = await create([1]);
    const [first] = await runner.take(container);
    assert.equal(await load(runner, first!.lease), 204);
    assert.deepEqual(await (await save(runner, first!.lease, "epoch 1")).json(), { id: 1, size: 7 });
    await save(runner, first!.lease, "epoch 2");
    await runner.report(first!, () => ({ failure: THREW }));
    const [second] = await runner.take(container);
    assert.equal(await load(runner, second!.lease), "epoch 2");
    const events = (await api.ask<{ items: EventItem[] }>(`/v1/calls/${id}/events`)).body.items;
    assert.deepEqual(events.filter(({ kind }) => kind === "checkpoint").map(({ id, size }) => [id, size]), [[
      1,
      7,
    ], [2, 7]]);
  });

  it("are a call's own unless they have a name, which the app shares", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1]);
    await create([2]);
    const [one, two] = await runner.take(container);
    await save(runner, one!.lease, "own");
    await save(runner, one!.lease, "shared", "weights");
    assert.equal(await load(runner, two!.lease), 204);
    assert.equal(await load(runner, two!.lease, "&name=weights"), "shared");
    assert.equal(await load(runner, one!.lease), "own");
    assert.equal(await load(runner, one!.lease, "&name=other"), 204);
  });

  it("are refused when the lease is over or another node's, and nothing is kept of them", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1, 2]);
    const [claim] = await runner.take(container);
    const stranger = await ApiRunner.join(api, "two");
    assert.equal((await save(stranger, claim!.lease, "x")).status, 409);
    assert.equal((await save(runner, claim!.lease + 99, "x")).status, 409);
    await runner.exchange({ reports: [{ lease: claim!.lease, done: [[0, 1, THREW, 1, 2, 0]] }] });
    assert.equal(
      (await save(runner, claim!.lease, "late")).status,
      409,
      "its attempt is over, though the lease is open",
    );
    assert.equal(await load(runner, claim!.lease), 409);
    assert.equal((await runner.fetch("/checkpoints?lease=x&index=0")).status, 400);
    assert.deepEqual(await blobsOf(api), []);
  });

  it("are refused when the lease ended during the upload, and nothing is kept of them", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1]);
    const [claim] = await runner.take(container);
    const { lease } = claim!;
    const upload = await runner.upload({ lease }, "too late") as string;
    assert.equal((await blobsOf(api)).length, 1);
    await runner.report(claim!, () => ({ failure: THREW }));
    assert.equal((await runner.commit({ lease }, upload)).status, 409);
    assert.deepEqual(await blobsOf(api), []);
    assert.equal((await runner.commit({ lease }, upload)).status, 409);
  });

  it("are committed once, however often that is asked, and stay when the lease ends between", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1]);
    const [claim] = await runner.take(container);
    const { lease } = claim!;
    for (const name of [undefined, "weights"]) {
      const of = { lease, ...name && { name } };
      const upload = await runner.upload(of, "once") as string;
      const first = await (await runner.commit(of, upload)).json();
      assert.deepEqual(await (await runner.commit(of, upload)).json(), first);
    }
    const own = await runner.upload({ lease }, "own") as string;
    const shared = await runner.upload({ lease, name: "weights" }, "shared") as string;
    assert.equal((await runner.commit({ lease }, own)).status, 200);
    assert.equal((await runner.commit({ lease, name: "weights" }, shared)).status, 200);
    await runner.report(claim!, () => ({ failure: THREW }));
    assert.equal((await runner.commit({ lease }, own)).status, 409);
    assert.equal((await runner.commit({ lease, name: "weights" }, shared)).status, 409);
    const [next] = await runner.take(container);
    assert.equal(await load(runner, next!.lease), "own");
    assert.equal(await load(runner, next!.lease, "&name=weights"), "shared");
    const [row] = await api.deps.sql<{ n: number }[]>`select count(*)::int as n from checkpoint`;
    assert.equal(row!.n, 2, "the newest of each");
    const states = await api.deps.sql<
      { state: string }[]
    >`select state from blob where key like 'checkpoints/%'`;
    const newest = states.filter(({ state }) => state === "kept");
    assert.deepEqual([newest.length, states.length], [2, 4], "who reads the others may end");
  });

  it("are committed only by the call that uploaded them, and only what was uploaded", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1]);
    await create([2]);
    const [one, two] = await runner.take(container);
    const upload = await runner.upload({ lease: one!.lease }, "of one") as string;
    const committed = async (lease: number, upload: string) => {
      const response = await runner.commit({ lease }, upload);
      return [response.status, (await response.json()).error?.field];
    };
    assert.deepEqual(await committed(two!.lease, upload), [409, "upload"]);
    assert.deepEqual(await committed(one!.lease, "0".repeat(32)), [409, "upload"]);
    assert.deepEqual(await committed(one!.lease, `../${upload.slice(3)}`), [400, "upload"]);
    assert.deepEqual((await committed(one!.lease, upload))[0], 200);
  });

  it("take no more bytes than were said, nor than are allowed", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1]);
    const [claim] = await runner.take(container);
    const begin = async (size: number) => {
      const body = { lease: claim!.lease, index: 0, size };
      const response = await runner.fetch("/checkpoints/uploads", { method: "POST", body });
      return { status: response.status, body: await response.json() };
    };
    const { status, body } = await begin(LIMITS.checkpointBytes + 1);
    assert.deepEqual([status, body.error.field], [400, "size"]);
    const { url } = (await begin(4)).body;
    for (const raw of ["fiver", "two", ""]) {
      const response = await api.fetch(url, { method: "PUT", raw, key: null });
      assert.ok([400, 413].includes(response.status), raw);
    }
    assert.equal(
      (await api.fetch(url.replace("size=4", "size=5"), { method: "PUT", raw: "fiver", key: null })).status,
      403,
    );
    assert.deepEqual(await blobsOf(api), []);
  });
});

describe("/v1/nodes/{node}/as/{container}/v1/…", () => {
  it("calls, waits and reads for the workspace of the container", async () => {
    const { api, runner, container } = await setup();
    await using _ = api;
    const created = await runner.fetch(`/as/${container}/v1/apps/demo/functions/other/calls`, {
      method: "POST",
      body: { input: 7 },
    });
    assert.equal(created.status, 202);
    const { batch, calls } = await created.json();
    const [claim] = await runner.take(await runner.container("demo", "other"));
    await runner.report(claim!, (_, input) => input);
    const call: Call = await (await runner.fetch(`/as/${container}/v1/calls/${calls[0].id}`)).json();
    assert.deepEqual([call.state, call.result], ["succeeded", 7]);
    const results = await runner.fetch(`/as/${container}/v1/batches/${batch}/results?from=0`);
    assert.equal(await results.text(), '[0,"succeeded",7,null]\n');
    const app = await (await runner.fetch(`/as/${container}/v1/apps/demo`)).json();
    assert.equal(app.name, "demo");
  });

  it("may not do more than invoke, nor ask for anything but calls, batches and apps", async () => {
    const { api, runner, container } = await setup();
    await using _ = api;
    const status = async (path: string, init = {}) =>
      (await runner.fetch(`/as/${container}${path}`, init)).status;
    assert.equal(await status("/v1/apps/demo", { method: "DELETE" }), 403);
    assert.equal(await status("/v1/nodes"), 403);
    assert.equal(await status(`/v1/nodes/${runner.node}/exchange`, { method: "POST", body: {} }), 403);
    assert.equal(await status("/healthz"), 403);
    assert.equal(await status("/v1/calls/call_0000000001_0"), 404);
  });

  it("is refused for a container that is not on the node, or has ended", async () => {
    const { api, runner, container } = await setup();
    await using _ = api;
    const stranger = await ApiRunner.join(api, "two");
    assert.equal((await stranger.fetch(`/as/${container}/v1/calls`)).status, 404);
    await api.deps.sql`update container set observed = 'exited', exited_at = now()`;
    assert.equal((await runner.fetch(`/as/${container}/v1/calls`)).status, 404);
  });
});

describe("sync and exchange", () => {
  it("refuse what they cannot read, naming the field", async () => {
    const { api, runner } = await setup();
    await using _ = api;
    for (
      const [path, body, field] of [
        ["/sync", { session: "s1", containers: 1, leases: [], revision: 0 }, "containers"],
        ["/exchange", { session: "s1", seq: 0, free: [], reports: [] }, "seq"],
        ["/exchange", {
          session: "s1",
          seq: 1,
          free: [],
          reports: [{ lease: 1, done: [[0, 9, null, 0, 0, 0]] }],
        }, "reports.0.done.0"],
      ] as const
    ) {
      const response = await runner.fetch(path, { method: "POST", body });
      assert.equal(response.status, 400);
      assert.equal((await response.json()).error.field, field);
    }
  });

  it("are released when the platform closes", async () => {
    const { api, runner, container } = await setup();
    await using _ = api;
    const parked = runner.exchange({ free: [{ container, calls: 1 }], waitMs: 30_000 });
    api.close();
    assert.deepEqual(await parked, { claims: [], cancels: [] });
  });
});
