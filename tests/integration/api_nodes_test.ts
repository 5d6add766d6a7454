/** What operators do with nodes and GPUs, and what runners tell of them. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { hashOf } from "../../api/auth.ts";
import { insertJoinToken } from "../../scheduler/store/keys.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import type { JoinedNode, Node, PageOf, SyncReply } from "../../sdk/protocol.ts";
import { type ErrorAnswer, TestApi } from "../setup/api.ts";

interface Box {
  readonly api: TestApi;
  readonly id: string;
  sync(more?: Record<string, unknown>): Promise<{ status: number; body: SyncReply & ErrorAnswer }>;
  join(more?: Record<string, unknown>): Promise<{ status: number; body: JoinedNode & ErrorAnswer }>;
  /** Its runner is started anew, and joins with the credential of the node. */
  restart(more?: Record<string, unknown>): Promise<{ status: number; body: JoinedNode & ErrorAnswer }>;
  /** What the scheduler sees of it. */
  seen(): Promise<{ state: string; cordoned: boolean; healthy: boolean[] } | undefined>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A machine `box` with two GPUs that has joined; of a provision, when there is one. */
async function box(provision?: string): Promise<Box> {
  const api = await TestApi.start();
  const { sql, clock } = api.deps;
  const now = new Date(clock.now());
  if (provision !== undefined) {
    await sql`
      insert into provision (id, pool, state, reason, requested_at, deadline_at)
      values (${provision}, 'default', 'starting', 'test', ${now}, ${now})`;
  }
  const more = provision === undefined ? {} : { provision };
  await insertJoinToken(sql, now, { hash: hashOf("join_x"), pool: "default", expiresAt: null, ...more });
  const gpus = [0, 1].map((index) => ({ index, model: "L4", vramMiB: 24_576, uuid: `GPU-${index}` }));
  const machine = { token: "join_x", name: "box", session: "s1", host: "here", cpu: 2, memory: 1_000, gpus };
  const join = (some = {}) =>
    api.ask<JoinedNode & ErrorAnswer>("/v1/nodes", { body: { ...machine, ...some }, key: null });
  const { body: { id, credential } } = await join();
  let session = "s1";
  return {
    api,
    id,
    join,
    restart: (some = {}) => {
      session += "'";
      return join({ token: credential, session, ...some });
    },
    sync: (some = {}) =>
      api.ask<SyncReply & ErrorAnswer>(`/v1/nodes/${id}/sync`, {
        body: { session, containers: [], leases: [], revision: 0, ...some },
        key: credential,
      }),
    seen: async () => {
      const { nodes } = await readSnapshot(sql, new Date(clock.now()), { lastLease: null, hearingSince: 0 });
      const node = nodes.find((one) => one.id === id);
      return node &&
        { state: node.state, cordoned: node.cordoned, healthy: node.gpus.map(({ healthy }) => healthy) };
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  };
}

const post = (api: TestApi, path: string, body: unknown = {}) => api.ask<Node & ErrorAnswer>(path, { body });

describe("nodes", () => {
  it("are found by name and by id; a name of several is refused", async () => {
    await using world = await box();
    const { api, id, join } = world;
    assert.equal((await api.ask<Node>("/v1/nodes/box")).body.id, id);
    assert.equal((await api.ask<Node>(`/v1/nodes/${id}`)).body.name, "box");
    await join({ session: "s2" });
    const two = await api.ask("/v1/nodes/box");
    assert.equal(two.status, 409);
    assert.match(two.body.error.message, /node_\w+, node_\w+ have this name/);
    assert.equal((await api.ask("/v1/nodes/none")).status, 404);
  });

  it("are cordoned and used again, drained and used again, and the scheduler sees it", async () => {
    await using world = await box();
    const { api, seen } = world;
    await post(api, "/v1/nodes/box/cordon");
    assert.equal((await seen())?.cordoned, true);
    await post(api, "/v1/nodes/box/uncordon");
    assert.equal((await seen())?.cordoned, false);
    assert.equal((await post(api, "/v1/nodes/box/drain")).body.state, "draining");
    assert.equal((await seen())?.state, "draining");
    assert.equal((await post(api, "/v1/nodes/box/resume")).body.state, "up");
  });

  it("are forgotten only when they are lost, and come back with their runner", async () => {
    await using world = await box();
    const { api, id, restart } = world;
    assert.equal((await api.ask("/v1/nodes/box", { method: "DELETE" })).status, 409);
    await api.deps.sql`update node set state = 'lost'`;
    assert.equal((await api.ask<Node>("/v1/nodes/box", { method: "DELETE" })).body.state, "left");
    const list = async (query = "") => (await api.ask<PageOf<Node>>(`/v1/nodes${query}`)).body.items.length;
    assert.deepEqual([await list(), await list("?left=true")], [0, 1]);
    assert.equal((await world.sync()).status, 401);
    assert.equal((await restart()).body.id, id);
    assert.equal(await list(), 1);
  });

  it("are changed by operators alone", async () => {
    await using world = await box();
    const key = await world.api.keyOf("tenant");
    for (const what of ["cordon", "uncordon", "drain", "resume", "gpus/0"]) {
      const body = what === "gpus/0" ? { out: true } : {};
      assert.equal((await world.api.ask(`/v1/nodes/box/${what}`, { body, key })).status, 403, what);
    }
    assert.equal((await world.api.ask("/v1/nodes/box", { method: "DELETE", key })).status, 403);
  });
});

describe("a container engine", () => {
  it("that is away takes nothing until it is back: the scheduler sees it, and `berth nodes` shows why", async () => {
    await using world = await box();
    const { api, sync } = world;
    const away = async () => {
      const { nodes } = await readSnapshot(api.deps.sql, new Date(api.deps.clock.now()), {
        lastLease: null,
        hearingSince: 0,
      });
      return { engineAway: nodes[0]!.engineAway, labels: nodes[0]!.labels };
    };
    await sync();
    assert.deepEqual(await away(), { engineAway: null, labels: {} });
    let ticks = 0;
    api.deps.wakes.on("tick", "*", () => ticks++);
    const labels = { "berth.oci": "yes" };
    await sync({ engine: { away: null, only: false } }); // it came after the runner
    assert.deepEqual(await away(), { engineAway: null, labels });
    await sync({ engine: { away: "/run/x.sock: gone", only: false } });
    assert.deepEqual(await away(), { engineAway: "images", labels });
    assert.equal((await api.ask<Node>("/v1/nodes/box")).body.engineAway, "/run/x.sock: gone");
    await sync({ engine: { away: "/run/x.sock: gone", only: true } });
    assert.deepEqual(await away(), { engineAway: "all", labels });
    await sync({ engine: { away: null, only: true } });
    assert.deepEqual(await away(), { engineAway: null, labels });
    const before = ticks;
    assert.ok(before >= 4);
    await sync({ engine: { away: null, only: true } });
    assert.equal(ticks, before, "no news");
  });
});

describe("GPU health", () => {
  it("goes from the runner to the scheduler, and back to well", async () => {
    await using world = await box();
    const { api, seen, sync } = world;
    let ticks = 0;
    api.deps.wakes.on("tick", "*", () => ticks++);
    await sync({ ailingGpus: [{ index: 1, ailment: "it has fallen off the bus" }] });
    assert.deepEqual((await seen())?.healthy, [true, false]);
    assert.ok(ticks > 0, "news wake the scheduler");
    const { gpus } = (await api.ask<Node>("/v1/nodes/box")).body;
    assert.deepEqual(gpus.map(({ healthy, ailment }) => [healthy, ailment]), [
      [true, undefined],
      [false, "it has fallen off the bus"],
    ]);
    ticks = 0;
    await sync({ ailingGpus: [{ index: 1, ailment: "it has fallen off the bus" }] });
    assert.equal(ticks, 0, "what is no news wakes nobody");
    await sync();
    assert.deepEqual((await seen())?.healthy, [true, true]);
  });

  it("yields to an operator who takes a GPU out, over restarts of the runner, while it is the same", async () => {
    await using world = await box();
    const { api, seen, sync, restart } = world;
    const { body } = await post(api, "/v1/nodes/box/gpus/0", { out: true, reason: "noisy fan" });
    assert.deepEqual([body.gpus[0]!.healthy, body.gpus[0]!.ailment], [false, "noisy fan"]);
    await sync();
    assert.deepEqual((await seen())?.healthy, [false, true]);
    await restart();
    assert.deepEqual((await seen())?.healthy, [false, true]);
    await post(api, "/v1/nodes/box/gpus/0", { out: false });
    assert.deepEqual((await seen())?.healthy, [true, true]);
    await post(api, "/v1/nodes/box/gpus/0", { out: true });
    await restart({ gpus: [{ index: 0, model: "L4", vramMiB: 24_576, uuid: "GPU-new" }] });
    assert.deepEqual((await seen())?.healthy, [true]);
    assert.equal((await post(api, "/v1/nodes/box/gpus/7", { out: true })).status, 404);
  });
});

describe("a node of a provision", () => {
  it("makes it joined, once however often it joins", async () => {
    await using world = await box("prov_1");
    const { api, id, join } = world;
    assert.equal((await join({ session: "another" })).body.id, id);
    const [row] = await api.deps.sql`select state, node_id from provision`;
    assert.deepEqual(row, { state: "joined", nodeId: id });
    assert.equal((await api.ask<Node>("/v1/nodes/box")).body.provision, "prov_1");
  });

  it("is of no use without the GPUs that its pool promises: the provision has failed", async () => {
    await using world = await box("prov_1");
    const { sql } = world.api.deps;
    const shape = {
      cpuMilli: 1,
      memoryMiB: 1,
      diskMiB: 0,
      labels: {},
      gpus: Array(3).fill({ model: "l4", vramMiB: 1 }),
    };
    await sql`update pool set shape = ${sql.json(shape)}`;
    await sql`update provision set state = 'starting', node_id = null`;
    const { status, body } = await world.join({ session: "s9" });
    assert.deepEqual([status, body.error.code], [403, "forbidden"]);
    assert.match(body.error.message, /the node has 2 × l4, and those of pool "default" have 3/);
    const [row] = await sql`select state, error from provision`;
    assert.equal(row!.state, "failed");
    assert.match(row!.error, /the node has 2 × l4/);
  });

  it("is told to leave when it is given back, and can't come back", async () => {
    await using world = await box("prov_1");
    assert.equal((await world.sync()).body.leave, false);
    await world.api.deps.sql`update provision set state = 'releasing'`;
    assert.equal((await world.sync()).body.leave, true);
    const again = await world.join();
    assert.equal(again.status, 403);
    assert.match(again.body.error.message, /no longer wanted/);
  });
});
