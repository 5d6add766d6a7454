/** A scheduler on a database of its own, with one node, in time that stands still until a test moves it. */
import { createScheduler } from "../../scheduler/loop.ts";
import { enqueue } from "../../scheduler/store/calls.ts";
import { connect, type Pool } from "../../scheduler/store/connect.ts";
import type { Past } from "../../scheduler/store/snapshot.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { realRandom, silentLog } from "../../sdk/ports.ts";
import type { Gpu } from "../../sdk/protocol.ts";
import { auditOf } from "./audit.ts";
import { ManualClock } from "./manual_clock.ts";
import { testDatabase } from "./postgres.ts";
import { StoreRunner } from "./store_runner.ts";
import { insertFunction, NOW, type SpecInput, submission } from "./world.ts";

export const gpu = (index: number, model = "H100"): Gpu => ({
  index,
  model,
  vramMiB: 80_000,
  simulated: true,
});

/** The past of a scheduler that has listened for long and seen no lease. */
export const LONG_PAST: Past = { lastLease: null, hearingSince: 0 };

/** `await using world = await schedulerWorld()` */
export async function schedulerWorld({ gpus = [] as Gpu[], cpu = 8_000 } = {}) {
  const db = await testDatabase();
  const clock = new ManualClock(NOW.getTime());
  const wakes = new LocalWakes();
  const pool = connect(db.url, { max: 1, name: "scheduler" });
  const scheduler = createScheduler({ sql: pool, clock, random: realRandom, log: silentLog, wakes });
  const runner = new StoreRunner(db.sql, clock);
  await runner.join({ gpus, cpu });
  const pass = async (ms: number) => {
    await clock.advance(ms);
    await runner.sync();
  };
  return {
    sql: db.sql,
    url: db.url,
    clock,
    wakes,
    runner,
    pass,
    now: () => new Date(clock.now()),
    tick: () => scheduler.tick(),
    run: (signal: AbortSignal) => scheduler.run(signal),
    /** Lets time pass in which the scheduler ticks and the node says nothing. */
    silence: async (ms: number) => {
      for (const end = clock.now() + ms; clock.now() < end;) {
        await clock.advance(Math.min(5_000, end - clock.now()));
        await scheduler.tick();
      }
    },
    deploy: (spec: SpecInput = {}) => insertFunction(db.sql, spec),
    call: async (functionId: number, inputs: unknown[], more = {}) =>
      (await enqueue(db.sql, new Date(clock.now()), [submission(functionId, inputs, more)]))[0]!,
    audit: () => auditOf(db.sql),
    [Symbol.asyncDispose]: async () => {
      await pool.end({ timeout: 1 });
      await db[Symbol.asyncDispose]();
    },
  };
}

/** What is free of the node. */
export const free = async (sql: Pool) => {
  const [node] = await sql<{ cpuMilliFree: number; memoryMibFree: number; gpus: number[] }[]>`
    select cpu_milli_free, memory_mib_free, array(select milli_free from gpu order by index) as gpus from node`;
  return { cpu: node!.cpuMilliFree, memory: node!.memoryMibFree, gpus: node!.gpus };
};

export const reasons = async (sql: Pool) =>
  (await sql<{ reason: string }[]>`select reason from waiting`).map((row) => row.reason);
