import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Pool } from "../../scheduler/store/connect.ts";
import { forgetDemand, reportDemand } from "../../scheduler/store/demand.ts";
import { loadRoutes } from "../../scheduler/store/routes.ts";
import type { FunctionSpec } from "../../sdk/protocol.ts";
import { testDatabase } from "../setup/postgres.ts";
import { insertFunction, NOW } from "../setup/world.ts";

const ENDPOINTS: Partial<FunctionSpec> & { name: string } = {
  name: "Digits",
  kind: "class",
  concurrency: 8,
  startTimeout: "90s",
  timeout: "10s",
  methods: [
    { name: "Digits.classify", kind: "call", stream: false },
    { name: "Digits.http", kind: "endpoint", stream: false, endpoint: { name: "classify", auth: "key" } },
    { name: "Digits.health", kind: "endpoint", stream: false, endpoint: { name: "health", auth: "public" } },
  ],
};

async function setup() {
  const db = await testDatabase();
  const functionId = await insertFunction(db.sql, ENDPOINTS);
  await insertFunction(db.sql, { name: "train" });
  await db.sql`
    insert into node (id, name, pool, credential_hash, session, host, state, cpu_milli, memory_mib, cpu_milli_free, memory_mib_free,
      joined_at, seen_at, lease_until)
    values ('node_1', 'n', 'default', 'h', 's', 'here', 'up', 1, 1, 1, 1, ${NOW}, ${NOW}, ${NOW})`;
  const containersOf = async () => (await loadRoutes(db.sql))[0]?.containers.map(({ id }) => id);
  return { ...db, functionId, containersOf, [Symbol.asyncDispose]: () => db[Symbol.asyncDispose]() };
}

async function insertContainer(
  sql: Pool,
  functionId: number,
  id: string,
  more: Record<string, unknown> = {},
) {
  const row = {
    id,
    functionId,
    deploymentId: "dep_1",
    nodeId: "node_1",
    session: "s",
    desired: "run",
    observed: "ready",
    gpus: "[]",
    gpuMilli: 0,
    cpuMilli: 1,
    memoryMib: 1,
    reason: "test",
    address: `/${id}.sock`,
    createdAt: NOW,
    busyAt: NOW,
    ...more,
  };
  await sql`insert into container ${sql(row)}`;
}

describe("loadRoutes()", () => {
  it("loadRoutes() gives every endpoint with what the gateway must know of its function", async () => {
    await using world = await setup();
    await insertContainer(world.sql, world.functionId, "ctr_1");
    const route = {
      workspace: "default",
      app: "demo",
      functionId: world.functionId,
      functionName: "Digits",
      body: "ts",
      concurrency: 8,
      startTimeoutMs: 90_000,
      timeoutMs: 10_000,
      containers: [{ id: "ctr_1", address: "/ctr_1.sock", host: "here", relay: null }],
    };
    assert.deepEqual(await loadRoutes(world.sql), [
      { ...route, endpoint: "classify", auth: "key" },
      { ...route, endpoint: "health", auth: "public" },
    ]);
  });

  it("loadRoutes() tells how a container is reached from other machines, where its runner has a port", async () => {
    await using world = await setup();
    await insertContainer(world.sql, world.functionId, "ctr_1");
    await world.sql`update node set address = 'box', relay_port = 7979, relay_key = 'k'`;
    const [route] = await loadRoutes(world.sql);
    assert.deepEqual(route?.containers[0]?.relay, { hostname: "box", port: 7_979, key: "k" });
  });

  it("loadRoutes() gives only containers that are ready, wanted and of the current deployment", async () => {
    await using world = await setup();
    const { sql, functionId } = world;
    await sql`
      insert into deployment (id, app_id, version, digest, manifest, created_at)
      select 'dep_0', app_id, 0, digest, '{}', ${NOW} from deployment`;
    const others = {
      pending: { observed: "pending" },
      starting: { observed: "starting" },
      draining: { desired: "drain" },
      stopping: { desired: "stop" },
      exited: { observed: "exited", exitedAt: NOW },
      lost: { observed: "lost", exitedAt: NOW },
      older: { deploymentId: "dep_0" },
      unreachable: { address: null },
    };
    for (const [id, more] of Object.entries(others)) await insertContainer(sql, functionId, id, more);
    assert.deepEqual(await world.containersOf(), []);
    await insertContainer(sql, functionId, "good_2");
    await insertContainer(sql, functionId, "good_1");
    assert.deepEqual(await world.containersOf(), ["good_1", "good_2"]);
  });

  it("loadRoutes() knows nothing of removed functions and deleted apps", async () => {
    await using world = await setup();
    await world.sql`update function set removed_at = ${NOW} where id = ${world.functionId}`;
    assert.deepEqual(await loadRoutes(world.sql), []);
    await world.sql`update function set removed_at = null`;
    assert.equal((await loadRoutes(world.sql)).length, 2);
    await world.sql`update app set deleted_at = ${NOW}`;
    assert.deepEqual(await loadRoutes(world.sql), []);
  });
});

describe("reportDemand()", () => {
  const later = (ms: number) => new Date(NOW.getTime() + ms);
  const row = (functionId: number) => (
    { functionId, inFlight: 2, waiting: 1, oldestAt: NOW.getTime() + 0.5, activeAt: NOW.getTime() }
  );

  it("reportDemand() keeps one row per gateway and function, the newest word", async () => {
    await using db = await testDatabase();
    const [one, two] = [
      await insertFunction(db.sql, { name: "one" }),
      await insertFunction(db.sql, { name: "two" }),
    ];
    await reportDemand(db.sql, NOW, { gateway: "gw_1", rows: [row(one), row(two)] });
    await reportDemand(db.sql, NOW, { gateway: "gw_2", rows: [row(one)] });
    const said = { functionId: one, inFlight: 0, waiting: 0, oldestAt: null, activeAt: NOW.getTime() + 700 };
    await reportDemand(db.sql, later(1_000), { gateway: "gw_1", rows: [said] });
    const rows = await db.sql`
      select gateway, function_id, in_flight, waiting, oldest_at, active_at, updated_at
      from demand
      order by gateway, function_id`;
    const whole = { functionId: one, inFlight: 2, waiting: 1, oldestAt: NOW, activeAt: NOW, updatedAt: NOW };
    assert.deepEqual(rows.map((found) => ({ ...found })), [
      {
        ...whole,
        gateway: "gw_1",
        inFlight: 0,
        waiting: 0,
        oldestAt: null,
        activeAt: later(700),
        updatedAt: later(1_000),
      },
      { ...whole, gateway: "gw_1", functionId: two },
      { ...whole, gateway: "gw_2" },
    ]);
  });

  it("forgetDemand() removes the rows of those who have said nothing since", async () => {
    await using db = await testDatabase();
    const id = await insertFunction(db.sql);
    await reportDemand(db.sql, NOW, { gateway: "gw_1", rows: [row(id)] });
    await reportDemand(db.sql, later(1_000), { gateway: "gw_2", rows: [row(id)] });
    await forgetDemand(db.sql, later(1));
    assert.deepEqual((await db.sql`select gateway from demand`).map(({ gateway }) => gateway), ["gw_2"]);
  });
});
