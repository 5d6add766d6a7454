/**
 * The scheduler's heartbeat. A tick is one transaction: lead → snapshot → plan → commit, then wakes. Ticks come when something
 * wakes them, when the plan said that it would change, and once a second whatever happens; so a lost wake costs at most
 * that, and so does a lost leader.
 */
import { type Clock, type Log, newId, type Random } from "../sdk/ports.ts";
import { Alarm } from "./alarm.ts";
import { planViolations } from "./check_plan.ts";
import type { Plan, Snapshot } from "./model.ts";
import { plan } from "./plan.ts";
import { commitPlan } from "./store/commit.ts";
import { isAway, type Pool } from "./store/connect.ts";
import { lead } from "./store/leader.ts";
import { type Past, readSnapshot } from "./store/snapshot.ts";
import { type Touched, wakeTouched } from "./store/touched.ts";
import type { Wakes } from "./wakes.ts";

export interface SchedulerDeps {
  /** A pool of one connection, used for nothing else: ticks must not wait behind other statements. */
  readonly sql: Pool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly wakes: Wakes;
}

export interface TickReport {
  /** False: another scheduler held the lead, and nothing was done. */
  readonly led: boolean;
  readonly plan: Plan | null;
}

export interface Scheduler {
  tick(): Promise<TickReport>;
  /** Ticks until aborted; errors are logged and survived. */
  run(signal: AbortSignal): Promise<void>;
}

/** The longest time between two ticks. A second scheduler takes over within it. */
const TICK_MS_MAX = 1_000;
/** Ticks take at most one part in this many of the time, however often they are woken. */
const REST = 10;
/** But no rest is longer: with large ticks too, demand is to be decided on within a second. */
const REST_MS_MAX = 500;

/** A longer time between two ticks is a gap, in which nobody listened to the nodes. */
const GAP_MS = 5_000;

/** What a scheduler remembers; losing it does no harm. */
interface Memory extends Past {
  /** When the last tick ended, leading or not. */
  readonly at: number;
}

const IDLE: TickReport = { led: false, plan: null };

export function createScheduler(deps: SchedulerDeps): Scheduler {
  const { sql: pool, clock, log, wakes } = deps;
  let memory: Memory = { at: -Infinity, lastLease: null, hearingSince: -Infinity };

  const tick = async (): Promise<TickReport> => {
    const now = clock.now();
    const hearingSince = now - memory.at > GAP_MS ? now : memory.hearingSince;
    const led = await pool.begin(async (sql) => {
      if (!await lead(sql)) return null;
      const snapshot = await readSnapshot(sql, new Date(now), { ...memory, hearingSince });
      const made = plan(snapshot, now, (prefix) => newId(prefix, deps));
      assertSound(snapshot, made, now);
      return { snapshot, made, touched: await commitPlan(sql, new Date(now), made) };
    }) as { snapshot: Snapshot; made: Plan; touched: Touched } | null;
    memory = { at: clock.now(), hearingSince, lastLease: led?.snapshot.lastLease ?? null };
    if (led === null) return IDLE;
    logPlan(log, led.made);
    wakeTouched(wakes, led.touched);
    if (led.made.ask.length + led.made.release.length > 0) wakes.wake("pool");
    return { led: true, plan: led.made };
  };

  return { tick, run: (signal) => run(tick, deps, signal) };
}

async function run(
  tick: () => Promise<TickReport>,
  { clock, log, wakes }: SchedulerDeps,
  signal: AbortSignal,
): Promise<void> {
  const alarm = new Alarm(clock);
  const off = wakes.on("tick", "*", () => alarm.ring());
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  const tickSurely = surviving(tick, log);
  let quietMs = 0;
  while (!signal.aborted) {
    alarm.reset();
    const startedAt = clock.now();
    const { plan } = await tickSurely();
    // Where nobody wanted a tick before this one, nobody has to wait after it.
    const restMs = Math.min(REST_MS_MAX, (clock.now() - startedAt) * (REST - 1)) - quietMs;
    if (restMs > 0) await clock.sleep(restMs, signal);
    const restedAt = clock.now();
    await alarm.until(Math.min(startedAt + TICK_MS_MAX, plan?.nextWakeAt ?? Infinity));
    quietMs = clock.now() - restedAt;
  }
  off();
}

/** The database goes away now and then; that is said once, and once when it is over. */
function surviving(tick: () => Promise<TickReport>, log: Log): () => Promise<TickReport> {
  let failing: string | null = null;
  return async () => {
    try {
      const report = await tick();
      if (failing !== null) log("scheduler.recovered", { from: failing });
      failing = null;
      return report;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== failing) {
        log("scheduler.failed", { away: isAway(error), message, stack: (error as Error).stack });
      }
      failing = message;
      return IDLE;
    }
  };
}

function assertSound(snapshot: Snapshot, made: Plan, now: number): void {
  const broken = planViolations(snapshot, made, now);
  if (broken.length === 0) return;
  throw new Error(
    `Cannot commit plan: it breaks ${broken.map(({ name, detail }) => `"${name}" (${detail})`).join(", ")}`,
  );
}

function logPlan(log: Log, plan: Plan): void {
  const { start, end, lostNodes, lostContainers, refuse, fire, ask, release } = plan;
  for (const { id, functionId, node, reason } of start) {
    log("container.wanted", { container: id, functionId, node, reason });
  }
  for (const { container, desired, reason } of end) log(`container.${desired}`, { container, reason });
  for (const node of lostNodes) log("node.lost", { node });
  for (const container of lostContainers) log("container.lost", { container });
  for (const { id, pool, reason } of ask) log("node.asked", { provision: id, pool, reason });
  for (const { provision, event, reason } of release) log(`provision.${event}`, { provision, reason });
  for (const { functionId, failure } of refuse) {
    log("calls.refused", { functionId, message: failure.message });
  }
  for (const { schedule, tickAt } of fire) log("schedule.fired", { schedule: schedule.id, tickAt });
}
