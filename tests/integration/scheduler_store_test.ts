import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { plan } from "../../scheduler/plan.ts";
import { commitPlan } from "../../scheduler/store/commit.ts";
import { containersExited } from "../../scheduler/store/containers.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import type { Touched } from "../../scheduler/store/touched.ts";
import { free, gpu, LONG_PAST, schedulerWorld } from "../setup/scheduler.ts";
import { StoreRunner } from "../setup/store_runner.ts";
import { NOW } from "../setup/world.ts";

describe("commitPlan()", () => {
  it("leaves a node alone that spoke up since the snapshot", async () => {
    await using world = await schedulerWorld();
    await world.call(await world.deploy(), [1]);
    await world.tick();
    await world.clock.advance(30_000);
    const made = plan(
      await readSnapshot(world.sql, world.now(), LONG_PAST),
      world.clock.now(),
      () => "ctr_x",
    );
    assert.deepEqual([made.lostNodes.length, made.lostContainers.length], [1, 1]);
    await world.runner.sync();
    await world.sql.begin((sql) => commitPlan(sql, world.now(), made));
    assert.equal((await world.runner.containers()).length, 1);
    assert.equal((await world.sql`select state from node`)[0]!.state, "up");
  });

  it("is refused by the store when a GPU would be given twice", async () => {
    await using world = await schedulerWorld({ gpus: [gpu(0)] });
    await world.call(await world.deploy({ gpu: ["H100"] }), [1]);
    const made = plan(
      await readSnapshot(world.sql, world.now(), LONG_PAST),
      world.clock.now(),
      () => "ctr_x",
    );
    await world.sql.begin((sql) => commitPlan(sql, world.now(), made));
    const again = { ...made, start: made.start.map((one) => ({ ...one, id: "ctr_y" })) };
    await assert.rejects(
      () => world.sql.begin((sql) => commitPlan(sql, world.now(), again)) as Promise<unknown>,
      /gpu_milli_free_check/,
    );
    assert.deepEqual(await world.audit(), []);
  });
});

describe("containersExited()", () => {
  it("gives the container's share back once, however often it is told", async () => {
    await using world = await schedulerWorld({ gpus: [gpu(0)] });
    await world.call(await world.deploy({ gpu: ["H100"] }), [1]);
    await world.tick();
    const [container] = await world.runner.containers();
    await world.runner.exit(container!.id);
    await world.runner.exit(container!.id);
    assert.deepEqual(await free(world.sql), { cpu: 8_000, memory: 16_384, gpus: [1000] });
  });

  it("queues again what the container had leased, but not what its runner has yet to report", async () => {
    await using world = await schedulerWorld();
    const { sql, runner } = world;
    await world.call(await world.deploy({ concurrency: 8 }), [1, 2, 3, 4]);
    await world.tick();
    await runner.ready();
    const [container] = await runner.containers();
    const [held] = await runner.claim(container!.id, 2);
    await runner.claim(container!.id, 1);
    const exits = [{ id: container!.id, exit: { kind: "user_error" as const, message: "exit code 1" } }];
    const touched = await sql.begin((tx) =>
      containersExited(tx, world.now(), { nodeId: "node_1", exits, heldLeases: [held!.lease] })
    );
    assert.deepEqual([...await sql`select lo, hi, attempt from ready order by lo`], [{
      lo: 2,
      hi: 3,
      attempt: 2,
    }, { lo: 3, hi: 4, attempt: 1 }]);
    assert.equal((touched as Touched).functionIds.length, 1);
    assert.deepEqual(await world.audit(), []);
  });

  it("does not hear a node about the containers of another", async () => {
    await using world = await schedulerWorld();
    await world.call(await world.deploy(), [1]);
    await world.tick();
    await new StoreRunner(world.sql, world.clock, "node_2").exit((await world.runner.containers())[0]!.id);
    assert.equal((await world.runner.containers()).length, 1);
  });
});

describe("readSnapshot()", () => {
  it("counts what waits and what is leased, and measures the calls that ended last", async () => {
    await using world = await schedulerWorld();
    const { runner, sql } = world;
    const functionId = await world.deploy({ concurrency: 4 });
    await world.call(functionId, [1, 2, 3, 4, 5, 6], { priority: 70 });
    await world.call(functionId, [7], { dueAt: new Date(NOW.getTime() + 60_000) });
    await world.tick();
    await runner.ready();
    const [container] = await runner.containers();
    const [first] = await runner.claim(container!.id, 3);
    await runner.complete(first!.lease, [0, 1], 40);
    await world.pass(3_000);
    await runner.claim(container!.id, 1);

    const { functions: [fn], containers: [seen], nextDueAt, lastLease } = await readSnapshot(
      sql,
      world.now(),
      { ...LONG_PAST, lastLease: first!.lease },
    );

    assert.deepEqual(fn!.demand, {
      queued: 2,
      queuedSince: NOW.getTime(),
      priority: 70,
      levels: [{ priority: 70, queued: 2, since: NOW.getTime() }],
      keyed: 0,
      leased: 2,
      leasedSince: NOW.getTime(),
      stuck: 1,
      callMs: 40,
      requests: 0,
      requestsHeld: 0,
      heldSince: null,
      requestedAt: null,
    });
    assert.deepEqual([seen!.leased, seen!.leasedAt], [2, world.clock.now()]);
    assert.equal(nextDueAt, NOW.getTime() + 60_000);
    assert.equal(lastLease, first!.lease + 1);
  });

  it("knows functions that min keeps, and forgets those that were removed", async () => {
    await using world = await schedulerWorld();
    await world.deploy({ scale: { min: 2, max: 2, buffer: 0, scaledownWindow: "1s" } });
    await world.tick();
    assert.equal((await world.runner.containers()).length, 2);
    await world.sql`update function set removed_at = ${NOW}`;
    await world.tick();
    assert.deepEqual((await world.runner.containers()).map((one) => one.desired), ["stop", "stop"]);
  });
});
