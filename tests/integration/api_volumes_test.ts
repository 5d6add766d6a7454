import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { LABEL_VOLUMES } from "../../sdk/labels.ts";
import type { FunctionSpec, PageOf, SyncReply, Volume } from "../../sdk/protocol.ts";
import { type ErrorAnswer, TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

type Answer = Volume & ErrorAnswer;

const create = (api: TestApi, name: string, body: Record<string, unknown> = {}, key = api.key) =>
  api.ask<Answer>(`/v1/volumes/${name}`, { body, key });
const remove = (api: TestApi, name: string, query = "", key = api.key) =>
  api.ask(`/v1/volumes/${name}${query}`, { method: "DELETE", key });
const mounting = (name: string, volumes: Record<string, unknown>, more = {}) =>
  ({ name, volumes, ...more }) as Partial<FunctionSpec>;

/** A node that sees a shared path. */
async function shares(api: TestApi, { node }: ApiRunner, path = "vols_1"): Promise<void> {
  const labels = JSON.stringify({ [LABEL_VOLUMES]: path });
  await api.deps.sql`update node set labels = ${labels}::text::jsonb where id = ${node}`;
}

async function sync(runner: ApiRunner, more: Record<string, unknown> = {}): Promise<SyncReply> {
  const { node, session } = runner;
  const body = { node, session, containers: [], leases: [], revision: -1, ...more };
  const response = await runner.fetch("/sync", { method: "POST", body });
  assert.equal(response.status, 200, await response.clone().text());
  return await response.json();
}

describe("/v1/volumes", () => {
  it("makes, finds, shows and lists volumes, each workspace its own", async () => {
    await using api = await TestApi.start();
    const made = await create(api, "data");
    assert.equal(made.status, 200);
    const { createdAt: _, ...rest } = made.body;
    assert.deepEqual(rest, {
      name: "data",
      storage: "node",
      home: null,
      node: null,
      size: null,
      measuredAt: null,
    });
    assert.deepEqual((await create(api, "data")).body, made.body);
    assert.deepEqual((await api.ask("/v1/volumes/data")).body, made.body);
    assert.match(
      (await create(api, "data", { storage: "shared" })).body.error.message,
      /already, on a node$/,
    );

    const runner = await ApiRunner.join(api);
    const placed = await create(api, "weights", { node: "one" });
    assert.deepEqual([placed.body.home, placed.body.node, placed.body.storage], [runner.node, "one", "node"]);
    assert.match((await create(api, "w", { node: "on" })).body.error.message, /Cannot find node "on"/);
    const both = await create(api, "w", { node: "one", storage: "shared" });
    assert.deepEqual([both.status, both.body.error.field], [400, "node"]);

    const first = await api.ask<PageOf<Volume>>("/v1/volumes?limit=1");
    assert.deepEqual(first.body.items, [made.body]);
    const next = await api.ask<PageOf<Volume>>(`/v1/volumes?cursor=${first.body.nextCursor}`);
    assert.deepEqual(next.body.items, [placed.body]);

    const key = await api.keyOf("other");
    assert.deepEqual((await api.ask("/v1/volumes", { key })).body, { items: [] });
    assert.equal((await api.ask("/v1/volumes/data", { key })).status, 404);
    assert.equal((await api.ask("/v1/volumes/data/files", { key })).status, 404);
    assert.equal((await remove(api, "data", "", key)).status, 404);
    assert.match((await remove(api, "dta")).body.error.message, /did you mean "data"/);
    for (const scope of ["deploy", "invoke", "read"] as const) {
      const key = await api.keyOf("default", scope), may = scope === "deploy";
      assert.equal((await create(api, "data", {}, key)).status, may ? 200 : 403);
      assert.equal((await api.ask("/v1/volumes/data/files", { key })).status, may ? 400 : 403); // not a WebSocket
      assert.equal((await api.ask("/v1/volumes", { key })).status, 200);
      assert.equal((await remove(api, "nothing", "", key)).status, may ? 404 : 403);
    }
  });

  it("are made on a shared path where a node has one, unless they are asked for elsewhere", async () => {
    await using api = await TestApi.start();
    await shares(api, await ApiRunner.join(api));
    assert.equal((await create(api, "a")).body.storage, "shared");
    assert.equal((await create(api, "b", { storage: "node" })).body.storage, "node");
    const deployed = await api.deploy("demo", [
      mounting("gang", { "/c": { name: "c", create: true } }, { nodes: 2 }),
    ]);
    assert.equal(deployed.status, 201);
    assert.equal((await api.ask<Volume>("/v1/volumes/c")).body.storage, "shared");
    const refused = await api.deploy("demo", [mounting("gang", { "/b": { name: "b" } }, { nodes: 2 })]);
    assert.deepEqual([refused.status, refused.body.error.field], [400, "manifest.functions.0.volumes./b"]);
    assert.match(refused.body.error.message, /"b" lies on one node and "gang" runs on 2 at once/);
  });

  it("must be there when they are deployed, or be made by that; and be mounted where they may", async () => {
    await using api = await TestApi.start();
    const refusal = async (...functions: Partial<FunctionSpec>[]) => {
      const { status, body } = await api.deploy("demo", functions);
      assert.equal(status, 400);
      return `${body.error.field}: ${body.error.message}`;
    };
    await create(api, "data");
    assert.match(
      await refusal(mounting("work", { "/d": { name: "dta" } })),
      /^manifest\.functions\.0\.volumes\./,
    );
    assert.match(
      await refusal(mounting("work", { "/d": { name: "dta" } })),
      /no volume "dta", make it with `berth volume create dta`.*did you mean "data"/,
    );
    assert.match(await refusal(mounting("work", { "/tmp": { name: "data" } })), /volumes\.\/tmp: .*own/);
    assert.match(await refusal(mounting("work", { "/d": { name: "data", mode: 1 } })), /mode/);
    const secrets = [{ name: "db", as: "files", path: "/d/secrets" }];
    await api.ask("/v1/secrets/db", { body: { values: { A: "aaaaaaaa" } } });
    assert.match(
      await refusal(mounting("work", { "/d": { name: "data" } }, { secrets })),
      /must not lie in the folder of a secret/,
    );
    const two = [
      mounting("reads", { "/d": { name: "new", readOnly: true } }),
      mounting("work", { "/d": { name: "new", create: true } }),
    ];
    assert.equal((await api.deploy("demo", two)).status, 201);
    assert.equal((await api.ask("/v1/volumes/new")).status, 200);
  });

  it("stay while functions name them; then their bytes go, when nothing uses them and their node is there", async () => {
    await using api = await TestApi.start();
    const { sql } = api.deps;
    const runner = await ApiRunner.join(api), other = await ApiRunner.join(api, "two");
    await create(api, "data", { node: "one" });
    await create(api, "unused");
    await api.deploy("demo", [mounting("work", { "/d": { name: "data" } }), mounting("more", {})]);
    const refused = await remove(api, "data");
    assert.deepEqual([refused.status, refused.body.error.field], [409, "volume"]);
    assert.match(refused.body.error.message, /"data": "demo\/work" would not start any more/);

    const [{ id }] = await sql<[{ id: string }]>`select id from volume where name = 'data'`;
    const container = await runner.container("demo", "work");
    await sql`update container set volume_ids = array[${id}] where id = ${container}`;
    const [assignment] = (await sync(runner)).containers;
    assert.deepEqual(assignment?.volumes, [{
      id,
      name: "data",
      storage: "node",
      path: "/d",
      readOnly: false,
    }]);

    await sync(other, { volumeSizes: [{ id, size: 7 }] }); // it has not got it
    assert.equal((await api.ask<Volume>("/v1/volumes/data")).body.size, null);
    await sync(runner, { volumeSizes: [{ id, size: 5_000_000_000 }] });
    assert.equal((await api.ask<Volume>("/v1/volumes/data")).body.size, 5_000_000_000);

    assert.equal((await remove(api, "data", "?force=true")).status, 200);
    assert.equal((await remove(api, "unused")).status, 200);
    assert.equal((await api.ask("/v1/volumes/data")).status, 404);
    const again = await create(api, "data");
    assert.equal(again.body.home, null);
    assert.deepEqual((await sync(runner)).removeVolumes, [], "a container has it");
    const over = JSON.stringify({ kind: "stopped", message: "over" });
    await sql`update container set exited_at = now(), observed = 'exited', exit = ${over}::text::json`;
    assert.deepEqual((await sync(runner)).removeVolumes, [{ id, storage: "node" }]);
    await sync(other, { removedVolumes: [id] });
    assert.deepEqual((await sync(runner)).removeVolumes, [{ id, storage: "node" }]);
    assert.deepEqual((await sync(runner, { removedVolumes: [id] })).removeVolumes, []);
    assert.equal((await sql`select from volume`).length, 1);
  });
});
