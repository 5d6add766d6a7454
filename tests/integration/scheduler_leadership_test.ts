import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { createScheduler, type Scheduler } from "../../scheduler/loop.ts";
import { connect } from "../../scheduler/store/connect.ts";
import { lead } from "../../scheduler/store/leader.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { realClock, realRandom } from "../../sdk/ports.ts";
import { schedulerWorld } from "../setup/scheduler.ts";
import { until } from "../setup/until.ts";

describe("leadership", () => {
  /** A scheduler of its own, as another process would have one. */
  function another(url: string, name: string) {
    const pool = connect(url, { max: 1, name });
    const logged: string[] = [];
    const log = (event: string) => void logged.push(event);
    const scheduler: Scheduler = createScheduler({
      sql: pool,
      clock: realClock,
      random: realRandom,
      log,
      wakes: new LocalWakes(),
    });
    const stop = new AbortController();
    return {
      scheduler,
      logged,
      run: () => scheduler.run(stop.signal),
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await pool.end({ timeout: 1 });
      },
    };
  }

  it("is with one scheduler at a time", async () => {
    await using world = await schedulerWorld();
    await using other = another(world.url, "other");
    await world.sql.begin(async (sql) => {
      assert.equal(await lead(sql), true);
      assert.deepEqual(await other.scheduler.tick(), { led: false, plan: null });
    });
    assert.equal((await other.scheduler.tick()).led, true);
  });

  it("passes to another scheduler when the leader's connection is killed in the middle of a tick", async () => {
    await using world = await schedulerWorld();
    await world.sql`update node set lease_until = ${new Date(realClock.now() + 600_000)}`;
    await using dying = another(world.url, "dying");
    await using heir = another(world.url, "heir");
    const held = Promise.withResolvers<number>();
    const leader = connect(world.url, { max: 1, name: "stuck leader" });
    const stuck = leader.begin(async (sql) => {
      await lead(sql);
      held.resolve((await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]!.pid);
      await new Promise(() => {}); // never ends its tick
    }).catch(() => {});
    const pid = await held.promise;
    const loops = [dying.run(), heir.run()];
    await world.call(await world.deploy(), [1]);
    await world.sql`select pg_terminate_backend(${pid})`;
    await until("another leads", async () => (await world.runner.containers()).length === 1 || null, 5_000);
    await Promise.all([dying, heir].map((one) => one[Symbol.asyncDispose]()));
    await Promise.all([...loops, stuck, leader.end({ timeout: 1 })]);
  });

  it("is taken from a leader that falls silent in the middle of a tick", async () => {
    await using world = await schedulerWorld();
    await world.sql`update node set lease_until = ${new Date(realClock.now() + 600_000)}`;
    await using heir = another(world.url, "heir");
    const held = Promise.withResolvers<void>();
    const leader = connect(world.url, { max: 1, name: "silent leader" });
    const silent = leader.begin(async (sql) => {
      await lead(sql);
      held.resolve();
      await new Promise(() => {});
    }).catch(() => {});
    await held.promise;
    const loop = heir.run();
    await world.call(await world.deploy(), [1]);
    await until("the other leads", async () => (await world.runner.containers()).length === 1 || null, 5_000);
    await heir[Symbol.asyncDispose]();
    await Promise.all([loop, silent, leader.end({ timeout: 1 })]);
  });

  it("survives a lost connection, and says so once", async () => {
    await using world = await schedulerWorld();
    await world.sql`update node set lease_until = ${new Date(realClock.now() + 600_000)}`;
    await using one = another(world.url, "scheduler under test");
    const loop = one.run();
    await until(
      "it leads",
      async () =>
        (await world.sql`select from pg_stat_activity where application_name = 'scheduler under test'`)
            .length === 1 || null,
    );
    const admin = connect(world.url.replace(/[^/]+$/, "postgres"), { max: 1, name: "admin" });
    const allow = (yes: boolean) =>
      admin.unsafe(`alter database ${new URL(world.url).pathname.slice(1)} with allow_connections ${yes}`);
    await allow(false);
    await world
      .sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'scheduler under test'`;
    await until("it has failed", () => one.logged.includes("scheduler.failed") || null);
    await allow(true);
    await admin.end({ timeout: 1 });
    await world.call(await world.deploy(), [1]);
    await until("it leads again", () => one.logged.includes("scheduler.recovered") || null);
    await until("it schedules", async () => (await world.runner.containers()).length === 1 || null);
    assert.ok(one.logged.filter((event) => event === "scheduler.failed").length <= 2, "not once per try");
    await one[Symbol.asyncDispose]();
    await loop;
  });
});
