/** The autoscaler's memory: when functions had work (`arrival`), and what was decided from what (`scaling`). */
import type { Plan } from "../model.ts";
import type { ScalingInputs } from "../scaling.ts";
import type { Sql } from "./connect.ts";
import { NOTHING, type Touched } from "./touched.ts";

/** Decisions are kept for this long. */
const SCALING_KEPT_MS = 6 * 3_600_000;

/** What a tick noted, in one statement; most ticks have nothing to note. */
export async function remember(
  sql: Sql,
  now: Date,
  { notes, days, scalings }: Pick<Plan, "notes" | "days" | "scalings">,
): Promise<Touched> {
  if (notes.length + scalings.length === 0) return NOTHING;
  await sql`
    with noted as (
      insert into arrival (function_id, history, idle_at, load_at, keep_until, updated_at)
      select "functionId", history, to_timestamp("idleAt" / 1000), to_timestamp("loadAt" / 1000), to_timestamp("keepUntil" / 1000), ${now}
      from json_to_recordset(${JSON.stringify(notes)}::text::json) as n(
        "functionId" int, history json, "idleAt" float8, "loadAt" float8, "keepUntil" float8)
      on conflict (function_id) do update set history = excluded.history, idle_at = excluded.idle_at, load_at = excluded.load_at,
        keep_until = excluded.keep_until, updated_at = excluded.updated_at
    ),
    passed as (
      update workspace set day = d.day
      from json_to_recordset(${JSON.stringify(days)}::text::json) as d(workspace text, day json)
      where id = d.workspace
    ),
    forgotten as (
      delete from scaling where at < ${new Date(now.getTime() - SCALING_KEPT_MS)} -- scaling_at
    )
    insert into scaling (function_id, at, inputs, wanted, reason)
    select "functionId", ${now}, inputs, wanted, reason
    from json_to_recordset(${JSON.stringify(scalings)}::text::json) as s(
      "functionId" int, inputs json, wanted int, reason text)`;
  return NOTHING;
}

export interface ScalingRow {
  readonly seq: number;
  readonly at: Date;
  readonly inputs: ScalingInputs;
  readonly wanted: number;
  readonly reason: string;
}

interface ScalingFilter {
  readonly workspace: string;
  readonly app: string;
  readonly function: string;
  readonly before?: number | undefined;
  readonly limit: number;
}

/** Decisions about a function, newest first; null when there is no such function. */
export async function listScalings(
  sql: Sql,
  { workspace, app, function: name, before = Number.MAX_SAFE_INTEGER, limit }: ScalingFilter,
): Promise<ScalingRow[] | null> {
  const [fn] = await sql<{ id: number }[]>`
    select f.id from function f join app on app.id = f.app_id
    where app.workspace_id = ${workspace} and app.name = ${app} and app.deleted_at is null
      and f.name = ${name} and f.removed_at is null`;
  if (fn === undefined) return null;
  return await sql<ScalingRow[]>`
    select seq::float8, at, inputs, wanted, reason
    from scaling
    where function_id = ${fn.id} and seq < ${before}
    order by seq desc -- scaling_function
    limit ${limit}`;
}
