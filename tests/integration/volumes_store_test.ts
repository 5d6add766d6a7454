import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { wantedExecs } from "../../scheduler/store/execs.ts";
import { insertTransfer } from "../../scheduler/store/transfers.ts";
import { deleteVolume, findVolume, insertVolume, volumesToRemove } from "../../scheduler/store/volumes.ts";
import { LABEL_VOLUMES } from "../../sdk/labels.ts";
import { LIMITS, type VolumeStorage } from "../../sdk/protocol.ts";
import { reasons, schedulerWorld } from "../setup/scheduler.ts";
import { StoreRunner } from "../setup/store_runner.ts";

const OF = { workspace: "default", name: "data" };

/** Two nodes, one of which is fuller, and volume `data`. */
async function setup({ storage = "node" as VolumeStorage, paths = [] as string[] } = {}) {
  const world = await schedulerWorld();
  const { sql, clock } = world;
  const second = new StoreRunner(sql, clock, "node_2");
  await second.join();
  for (const [i, path] of paths.entries()) {
    const labels = JSON.stringify({ [LABEL_VOLUMES]: path });
    await sql`update node set labels = ${labels}::text::jsonb where id = ${`node_${i + 1}`}`;
  }
  await insertVolume(sql, world.now(), { ...OF, id: "vol_1", storage, home: null });
  const volumes = { "/data": { name: "data" } };
  return {
    ...world,
    volumes,
    home: async () => (await findVolume(sql, OF))?.home,
    nodesOf: async (fn: number) =>
      (await sql<{ node: string }[]>`
        select node_id as node from container where function_id = ${fn} and exited_at is null order by 1`)
        .map(({ node }) => node),
    transfer: (id: string, writes: boolean) =>
      sql.begin((tx) =>
        insertTransfer(tx, world.now(), {
          id,
          workspace: "default",
          volume: "data",
          command: ["put", ""],
          writes,
        })
      ),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

describe("volumes in a tick", () => {
  it("of a node get their home by the first container, and all that use them go there", async () => {
    await using world = await setup();
    // Each takes most of a node: two in one tick would be on both.
    const wide = { cpu: 3, scale: { min: 0, max: 1, buffer: 0 }, volumes: world.volumes };
    const first = await world.deploy({ name: "first", ...wide, cpu: 6 });
    const second = await world.deploy({ name: "second", ...wide, cpu: 6 });
    await world.call(first, [1]);
    await world.call(second, [1], { method: "second" });
    await world.tick();
    const home = await world.home();
    assert.deepEqual(await world.nodesOf(first), [home]);
    assert.deepEqual(await world.nodesOf(second), [], "there is no room for it on that node");
    await world.tick();
    assert.deepEqual(await world.nodesOf(second), []);
    assert.match((await reasons(world.sql)).join(), /of those that have volume "data"/);
    const third = await world.deploy({ name: "third", ...wide, cpu: 1 });
    await world.call(third, [1], { method: "third" });
    await world.tick();
    assert.deepEqual(await world.nodesOf(third), [home]);
    const [{ volumeIds }] = await world.sql<[{ volumeIds: string[] }]>`
      select volume_ids from container where function_id = ${third}`;
    assert.deepEqual(volumeIds, ["vol_1"]);
  });

  it("on a shared path are used from every node that sees it; a deleted one from none", async () => {
    await using world = await setup({ storage: "shared", paths: ["vols_1", "vols_1"] });
    const fn = await world.deploy({ cpu: 6, scale: { min: 2, max: 2, buffer: 0 }, volumes: world.volumes });
    await world.tick();
    assert.deepEqual(await world.nodesOf(fn), ["node_1", "node_2"]);
    assert.equal(await world.home(), "vols_1");
    assert.deepEqual(await world.sql.begin((tx) => deleteVolume(tx, world.now(), OF)), ["node_1"]);
    const toRemove = async () => [
      (await volumesToRemove(world.sql, world.now(), "node_1")).length,
      (await volumesToRemove(world.sql, world.now(), "node_2")).length,
    ];
    assert.deepEqual(await toRemove(), [0, 0]);
    await world.sql`update container set exited_at = ${world.now()}, observed = 'exited', exit = '{}'`;
    assert.deepEqual(await toRemove(), [1, 0]);
    await world.call(fn, [1]);
    await world.tick();
    assert.deepEqual(await reasons(world.sql), [
      'needs volume "data", which was deleted: make it again, or deploy without it',
    ]);
  });
});

describe("insertTransfer()", () => {
  it("asks the node that has the volume; the first to write to it chooses that", async () => {
    await using world = await setup();
    assert.deepEqual(await world.transfer("exec_1", false), {
      refused: "nothing has been written to it yet",
    });
    await world
      .sql`insert into gpu (node_id, index, model, vram_mib, milli_free, simulated) values ('node_2', 0, 'L4', 1, 1000, true)`;
    assert.deepEqual(await world.transfer("exec_1", true), { node: "node_2" });
    assert.equal(await world.home(), "node_2");
    assert.deepEqual(await world.transfer("exec_2", false), { node: "node_2" });
    const wanted = await wantedExecs(world.sql, world.now(), "node_2");
    assert.deepEqual(wanted[0], {
      id: "exec_1",
      command: ["put", ""],
      volume: { id: "vol_1", storage: "node" },
    });
    for (let n = 3; n <= LIMITS.transfersPerVolume; n++) await world.transfer(`exec_${n}`, false);
    assert.deepEqual(await world.transfer("exec_9", false), {
      refused: "there are 8 transfers of it already",
    });
    await world.sql`update node set state = 'lost' where id = 'node_2'`;
    assert.deepEqual(await world.transfer("exec_9", true), { refused: "node node_2, which has it, is away" });
    await deleteVolume(world.sql, world.now(), OF);
    assert.deepEqual(await world.transfer("exec_9", true), { refused: "it was deleted" });
  });
});
