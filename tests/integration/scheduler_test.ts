import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { plan } from "../../scheduler/plan.ts";
import { commitPlan } from "../../scheduler/store/commit.ts";
import { reportDemand } from "../../scheduler/store/demand.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import type { Topic } from "../../scheduler/wakes.ts";
import { free, gpu, LONG_PAST, reasons, schedulerWorld } from "../setup/scheduler.ts";
import { untilTrue } from "../setup/until.ts";
import { NOW } from "../setup/world.ts";

describe("tick()", () => {
  it("starts a container for the first call, takes its share of the node and says so", async () => {
    await using world = await schedulerWorld({ gpus: [gpu(0), gpu(1)] });
    const { sql, runner } = world;
    const heard: string[] = [];
    for (const topic of ["node", "routes", "tick"] satisfies Topic[]) {
      world.wakes.on(topic, "*", () => heard.push(topic));
    }
    await world.call(await world.deploy({ gpu: ["H100:0.5"], cpu: 2, memory: 1_024 }), [1]);
    const [before] = await sql`select revision from node`;

    await world.tick();

    assert.deepEqual((await runner.containers()).map((one) => [one.desired, one.observed]), [[
      "run",
      "pending",
    ]]);
    assert.deepEqual(await free(sql), { cpu: 6_000, memory: 15_360, gpus: [500, 1000] });
    const [after] = await sql`select revision from node`;
    assert.equal(after!.revision, before!.revision + 1);
    assert.deepEqual(await reasons(sql), ["a container is starting"]);
    assert.deepEqual(heard, ["node", "routes", "tick"]);
    assert.deepEqual(await world.audit(), []);
  });

  it("starts one for a held request, and none for what a dead gateway said", async () => {
    await using world = await schedulerWorld();
    const functionId = await world.deploy();
    const rows = [{ functionId, inFlight: 0, waiting: 1, oldestAt: NOW.getTime(), activeAt: NOW.getTime() }];
    await reportDemand(world.sql, world.now(), { gateway: "gw_1", rows });
    await world.pass(31_000);
    await world.tick();
    assert.deepEqual(await world.runner.containers(), []);
    await reportDemand(world.sql, world.now(), { gateway: "gw_1", rows });
    await world.tick();
    assert.equal((await world.runner.containers()).length, 1);
  });

  it("writes nothing when nothing changes", async () => {
    await using world = await schedulerWorld();
    await world.call(await world.deploy(), [1]);
    await world.tick();
    const state = () =>
      world
        .sql`select (select revision from node), (select xmin::text from waiting) as reason, (select count(*)::int from container) as containers`;
    const before = await state();
    await world.tick();
    assert.deepEqual(await state(), before);
  });

  it("keeps a container for its window after the last call, drains and then stops it", async () => {
    await using world = await schedulerWorld();
    const { runner } = world;
    const functionId = await world.deploy({ scale: { min: 0, max: 1, buffer: 0, scaledownWindow: "10s" } });
    await world.call(functionId, [1]);
    await world.tick();
    await runner.ready();
    const [container] = await runner.containers();
    const desired = async () => (await runner.containers())[0]?.desired;

    await world.pass(5_000);
    const [claimed] = await runner.claim(container!.id);
    await runner.complete(claimed!.lease, [0]); // shorter than a tick: only the lease tells of it
    await world.tick();
    await world.pass(9_000);
    await world.tick();
    assert.equal(await desired(), "run");
    await world.pass(1_000);
    await world.tick();
    assert.equal(await desired(), "drain");
    await world.pass(3_000);
    await world.tick();
    assert.equal(await desired(), "stop");
    await runner.leave();
    assert.deepEqual(await free(world.sql), { cpu: 8_000, memory: 16_384, gpus: [] });
    assert.deepEqual(await world.audit(), []);
  });

  it("drains what an older deployment left, and starts what is needed of the new one", async () => {
    await using world = await schedulerWorld();
    const { runner, sql } = world;
    const functionId = await world.deploy();
    await world.call(functionId, [1]);
    await world.tick();
    await runner.ready();
    const [old] = await runner.containers();
    await sql`insert into deployment (id, app_id, version, digest, manifest, created_at)
      select 'dep_2', id, 2, 'd2', '{}', ${NOW} from app`;
    await sql`update function set deployment_id = 'dep_2'`;
    await world.tick();
    const rows = await sql`select id = ${
      old!.id
    } as old, deployment_id, desired, reason from container order by created_at, old desc`;
    assert.deepEqual([...rows], [
      { old: true, deploymentId: "dep_1", desired: "drain", reason: "a newer deployment took over" },
      { old: false, deploymentId: "dep_2", desired: "run", reason: "1 call waits" },
    ]);
  });

  it("says why calls wait, and takes it back", async () => {
    await using world = await schedulerWorld({ gpus: [gpu(0)] });
    const { sql } = world;
    await world.call(await world.deploy({ gpu: ["H100:2"] }), [1]);
    await world.tick();
    assert.deepEqual(await reasons(sql), ["needs 2 × H100; largest node has 1"]);
    await sql`delete from ready`;
    await world.tick();
    assert.deepEqual(await reasons(sql), []);
  });

  it("fails calls whose function does not start three times in a row, with what its container said", async () => {
    await using world = await schedulerWorld();
    const { runner, sql } = world;
    const functionId = await world.deploy({ name: "typo" });
    const batch = await world.call(functionId, [1, 2]);
    const later = await world.call(functionId, [3], { dueAt: new Date(NOW.getTime() + 3_600_000) });
    const done: string[] = [];
    world.wakes.on("done", batch, () => done.push("done"));
    let starts = 0;
    for (let second = 0; second < 20; second++) {
      await world.tick();
      for (const { id } of await runner.containers()) {
        starts++;
        await runner.exit(id, "start_failed", "TypeError: x is not a function");
      }
      await world.tick();
      await world.pass(1_000);
    }
    const results = await sql`select batch_id, idx, state, value from result order by idx`;
    const failure = { kind: "start_failed", message: "TypeError: x is not a function", retryable: true };
    assert.deepEqual([...results], [0, 1].map((idx) => ({ batchId: batch, idx, state: 1, value: failure })));
    assert.equal(starts, 4, "two at first, then one at a time");
    assert.ok(done.length > 0);
    assert.deepEqual((await sql`select batch_id from ready`).map((row) => row.batchId), [later]);
    assert.deepEqual(await world.audit(), []);
  });

  it("gives up a silent node: its capacity is back, its calls run elsewhere", async () => {
    await using world = await schedulerWorld({ gpus: [gpu(0)] });
    const { runner, sql } = world;
    const functionId = await world.deploy({ gpu: ["H100"] });
    await world.call(functionId, [1]);
    await world.tick();
    await runner.ready();
    const [container] = await runner.containers();
    await runner.claim(container!.id);
    await world.silence(29_999);
    assert.equal((await runner.containers()).length, 1);

    await world.silence(1);

    const [node] = await sql`select state from node`;
    assert.equal(node!.state, "lost");
    assert.deepEqual([...await sql`select observed, exit->>'kind' as kind from container`], [{
      observed: "lost",
      kind: "node_lost",
    }]);
    assert.deepEqual([...await sql`select attempt from ready`], [{ attempt: 2 }]);
    assert.deepEqual((await free(sql)).gpus, [1000]);
    assert.deepEqual(await world.audit(), []);
    await runner.sync();
    await world.tick();
    assert.equal((await runner.containers()).length, 1, "the node is used again once it is heard of");
  });

  it("makes what is delayed claimable in time, and ends what has expired", async () => {
    await using world = await schedulerWorld();
    const { sql } = world;
    const functionId = await world.deploy();
    const at = (ms: number) => new Date(NOW.getTime() + ms);
    await world.call(functionId, [1], { dueAt: at(5_000) });
    const expiring = await world.call(functionId, [2], { expiresAt: at(3_000) });
    assert.equal((await world.tick()).plan!.nextWakeAt, NOW.getTime() + 3_000);
    await world.pass(3_000);
    assert.equal((await world.tick()).plan!.nextWakeAt, NOW.getTime() + 5_000);
    assert.deepEqual([...await sql`select batch_id, state from result`], [{ batchId: expiring, state: 3 }]);
    await world.pass(2_000);
    await world.tick();
    assert.deepEqual([...await sql`select due_at from ready`], [{ dueAt: null }]);
  });
});

describe("run()", () => {
  it("ticks when it is woken, and by itself when it is not, until it is stopped", async () => {
    await using world = await schedulerWorld();
    const { clock, runner } = world;
    const stop = new AbortController();
    const running = world.run(stop.signal);
    await world.call(await world.deploy({ name: "woken" }), [1]);
    world.wakes.wake("tick");
    await untilTrue("it heard the wake", async () => (await runner.containers()).length === 1); // and no time has passed

    await world.call(await world.deploy({ name: "unheard" }), [1]);
    await untilTrue("a tick comes by itself", async () => {
      await clock.advance(500);
      return (await runner.containers()).length === 2;
    });
    stop.abort();
    await running;
  });
});

describe("schedules", () => {
  async function scheduled(world: Awaited<ReturnType<typeof schedulerWorld>>) {
    const functionId = await world.deploy();
    await world.sql`
      insert into schedule (id, function_id, method, cron, time_zone, input, next_at)
      values ('sched_1', ${functionId}, 'work', '* * * * *', 'UTC', '{"n":1}', ${new Date(
      NOW.getTime() + 60_000,
    )})`;
    const fired = async () => [
      ...await world
        .sql`select tick_at, input, ready.function_id from batch join call on call.batch_id = batch.id join ready on ready.batch_id = batch.id order by tick_at`,
    ];
    const next = async () =>
      (await world.sql<
        { nextAt: Date | null; lastAt: Date | null }[]
      >`select next_at, last_at from schedule`)[0]!;
    return { functionId, fired, next };
  }
  const minute = (n: number) => new Date(NOW.getTime() + n * 60_000);

  it("fire each tick once, with their input", async () => {
    await using world = await schedulerWorld();
    const { functionId, fired, next } = await scheduled(world);
    await world.tick();
    assert.deepEqual(await fired(), []);
    await world.pass(60_500);
    await world.tick();
    await world.tick();
    assert.deepEqual(await fired(), [{ tickAt: minute(1), input: { n: 1 }, functionId }]);
    assert.deepEqual(await next(), { nextAt: minute(2), lastAt: minute(1) });
  });

  it("fire once for all ticks that were missed", async () => {
    await using world = await schedulerWorld();
    const { fired, next } = await scheduled(world);
    await world.pass(10 * 60_000 + 1);
    await world.tick();
    assert.deepEqual((await fired()).map((row) => row.tickAt), [minute(10)]);
    assert.deepEqual((await next()).nextAt, minute(11));
  });

  it("fire once even when two schedulers plan the same tick, and not when paused meanwhile", async () => {
    await using world = await schedulerWorld();
    const { fired } = await scheduled(world);
    await world.pass(60_000);
    const made = plan(
      await readSnapshot(world.sql, world.now(), LONG_PAST),
      world.clock.now(),
      () => "ctr_x",
    );
    assert.equal(made.fire.length, 1);
    for (let twice = 0; twice < 2; twice++) {
      await world.sql.begin((sql) => commitPlan(sql, world.now(), made));
    }
    assert.equal((await fired()).length, 1);
    await world.pass(60_000);
    const next = plan(
      await readSnapshot(world.sql, world.now(), LONG_PAST),
      world.clock.now(),
      () => "ctr_y",
    );
    await world.sql`update schedule set paused_at = ${NOW}, next_at = null`;
    await world.sql.begin((sql) => commitPlan(sql, world.now(), next));
    assert.equal((await fired()).length, 1);
  });
});
