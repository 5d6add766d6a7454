/** Schedules: what is called when, and what people change of it. Firing them is the tick's business. */
import { formatCallId, type Json, type Schedule } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

export interface ScheduleRow {
  readonly id: string;
  readonly app: string;
  readonly functionId: number;
  readonly method: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly input: Json;
  readonly pausedAt: Date | null;
  readonly nextAt: Date | null;
  readonly lastAt: Date | null;
  /** Batch of the last fire. */
  readonly lastBatch: number | null;
}

interface ScheduleFilter {
  readonly workspace: string;
  readonly app?: string | undefined;
  readonly id?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** The schedules of a workspace, by id. */
export async function listSchedules(
  sql: Sql,
  { workspace, app, id, after = "", limit }: ScheduleFilter,
): Promise<ScheduleRow[]> {
  return await sql<ScheduleRow[]>`
    select s.id, a.name as app, s.function_id, s.method, s.cron, s.time_zone, s.input, s.paused_at, s.next_at, s.last_at,
      (
        select b.id from batch b
        where b.schedule_id = s.id and b.tick_at is not null
        order by b.tick_at desc  -- batch_tick
        limit 1
      ) as last_batch
    from schedule s
    join function f on f.id = s.function_id
    join app a on a.id = f.app_id
    where a.workspace_id = ${workspace} and s.removed_at is null and s.id > ${after}
      ${app === undefined ? sql`` : sql`and a.name = ${app}`}
      ${id === undefined ? sql`` : sql`and s.id = ${id}`}
    order by s.id
    limit ${limit}`;
}

export async function findSchedule(
  sql: Sql,
  workspace: string,
  id: string,
): Promise<ScheduleRow | undefined> {
  return (await listSchedules(sql, { workspace, id, limit: 1 }))[0];
}

/** Stops a schedule until it is resumed. */
export async function pauseSchedule(sql: Sql, now: Date, id: string): Promise<void> {
  await sql`
    update schedule set paused_at = ${now}, next_at = null
    where id = ${id} and paused_at is null and removed_at is null`;
}

/** Lets a paused schedule go on at `nextAt`. */
export async function resumeSchedule(sql: Sql, id: string, nextAt: Date | null): Promise<void> {
  await sql`
    update schedule set paused_at = null, next_at = ${nextAt}
    where id = ${id} and paused_at is not null and removed_at is null`;
}

export function toSchedule(row: ScheduleRow): Schedule {
  return {
    id: row.id,
    app: row.app,
    function: row.method,
    cron: row.cron,
    timeZone: row.timeZone,
    input: row.input,
    paused: row.pausedAt !== null,
    nextAt: row.nextAt?.toISOString() ?? null,
    lastAt: row.lastAt?.toISOString() ?? null,
    lastCall: row.lastBatch === null ? null : formatCallId({ batch: row.lastBatch, index: 0 }),
  };
}
