/** Putting a deployment in an app's place, and taking an app away: each one transaction. */
import type { Failure, Json, Manifest } from "../../sdk/protocol.ts";
import { type AppRow, findApp } from "./apps.ts";
import { cancelAll } from "./cancel.ts";
import { keepBundle } from "./bundles.ts";
import type { Pool, Sql } from "./connect.ts";

export interface NewDeployment {
  readonly id: string;
  readonly workspace: string;
  readonly app: string;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly schedules: readonly NewSchedule[];
}

export interface NewSchedule {
  readonly id: string;
  readonly function: string;
  readonly method: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly input: Json;
  readonly nextAt: Date | null;
}

/** Calls that a change ended or asked to end. */
export interface Ended {
  readonly calls: number;
  readonly batchIds: readonly number[];
  readonly nodeIds: readonly string[];
}

const NONE: Ended = { calls: 0, batchIds: [], nodeIds: [] };

/**
 * Gives an app's traffic to a new deployment. When bundle and manifest are those of the current one nothing happens, so
 * that a deploy may be repeated; any difference makes a new version.
 */
export async function deploy(
  pool: Pool,
  now: Date,
  wanted: NewDeployment,
): Promise<{ app: AppRow; changed: boolean; ended: Ended }> {
  return await pool.begin(async (sql) => {
    const appId = await lockApp(sql, now, wanted);
    const current = await findApp(sql, wanted.workspace, wanted.app);
    if (current !== undefined && sameAs(current, wanted)) {
      return { app: current, changed: false, ended: NONE };
    }
    await insertDeployment(sql, now, appId, wanted);
    await keepBundle(sql, wanted); // the last that had it may just have been retired
    await putFunctions(sql, now, appId, wanted);
    await putSchedules(sql, now, appId, wanted.schedules);
    const ended = await endOrphans(
      sql,
      now,
      appId,
      `deployment ${wanted.id} of app "${wanted.app}" no longer has it`,
    );
    return { app: (await findApp(sql, wanted.workspace, wanted.app))!, changed: true, ended };
  }) as { app: AppRow; changed: boolean; ended: Ended };
}

const sameAs = (current: AppRow, { digest, manifest }: NewDeployment): boolean =>
  current.digest === digest && JSON.stringify(current.manifest) === JSON.stringify(manifest);

/** The app's id; its row stays locked, so that deployments of one app happen one after the other. */
async function lockApp(sql: Sql, now: Date, { workspace, app }: NewDeployment): Promise<number> {
  const [row] = await sql<{ id: number }[]>`
    insert into app (workspace_id, name, created_at)
    values (${workspace}, ${app}, ${now})
    on conflict (workspace_id, name) where deleted_at is null do update set name = excluded.name
    returning id`;
  return row!.id;
}

async function insertDeployment(
  sql: Sql,
  now: Date,
  appId: number,
  { id, digest, manifest }: NewDeployment,
): Promise<void> {
  await sql`
    with next as (
      insert into deployment (id, app_id, version, digest, manifest, created_at)
      select ${id}, ${appId}, coalesce(max(version), 0) + 1, ${digest}, ${
    JSON.stringify(manifest)
  }::text::json, ${now}
      from deployment where app_id = ${appId}
    )
    update app set deployment_id = ${id} where id = ${appId}`;
}

async function putFunctions(
  sql: Sql,
  now: Date,
  appId: number,
  { id, manifest }: NewDeployment,
): Promise<void> {
  const specs = JSON.stringify(manifest.functions);
  await sql`
    insert into function (app_id, name, deployment_id, spec)
    select ${appId}, spec->>'name', ${id}, spec
    from json_array_elements(${specs}::text::json) spec
    on conflict (app_id, name) do update set deployment_id = excluded.deployment_id, spec = excluded.spec, removed_at = null`;
  await sql`
    update function set removed_at = ${now}
    where app_id = ${appId} and removed_at is null and deployment_id <> ${id}`;
}

/** A schedule that was there keeps its pause and its next tick; one that is gone is marked. */
async function putSchedules(
  sql: Sql,
  now: Date,
  appId: number,
  schedules: readonly NewSchedule[],
): Promise<void> {
  await sql`
    with wanted as materialized (
      select w.*, f.id as function_id
      from json_to_recordset(${JSON.stringify(schedules)}::text::json) as w(
        id text, "function" text, method text, cron text, "timeZone" text, input json, "nextAt" timestamptz)
      join function f on f.app_id = ${appId} and f.name = w."function"
    ),
    removed as (
      update schedule s set removed_at = ${now}, next_at = null
      from function f
      where f.id = s.function_id and f.app_id = ${appId} and s.removed_at is null
        and not exists (
          select from wanted w
          where w.function_id = s.function_id and w.method = s.method and w.cron = s.cron and w."timeZone" = s.time_zone
        )
    )
    insert into schedule as s (id, function_id, method, cron, time_zone, input, next_at)
    select id, function_id, method, cron, "timeZone", coalesce(input, 'null'), "nextAt" from wanted
    on conflict (function_id, method, cron, time_zone) do update set
      input = excluded.input,
      removed_at = null,
      paused_at = case when s.removed_at is null then s.paused_at end,
      next_at = case when s.removed_at is null then s.next_at else excluded.next_at end`;
}

/**
 * Cancels the waiting calls of an app whose function, or method of a class, is no longer there; those that run may end.
 *
 * @param why ends the sentence "Cancelled before it started: …"
 */
export async function endOrphans(sql: Sql, now: Date, appId: number, why: string): Promise<Ended> {
  const failure: Failure = {
    kind: "cancelled",
    message: `Cancelled before it started: ${why}`,
    retryable: false,
  };
  const rows = await sql<{ batchId: number; calls: number }[]>`
    with gone as (
      delete from ready r using batch b, function f
      where b.id = r.batch_id and f.id = b.function_id and f.app_id = ${appId}
        and (
          f.removed_at is not null
          or not exists (
            select from json_array_elements(f.spec->'methods') m
            where m->>'name' = b.method and m->>'kind' = 'call'
          )
        )
      returning r.batch_id, r.lo, r.hi
    ),
    ended as (
      insert into result (batch_id, idx, state, value, ended_at)
      select batch_id, generate_series(lo, hi - 1), 2, ${
    JSON.stringify(failure)
  }::text::json, ${now} from gone
      on conflict (batch_id, idx) do nothing
    )
    select batch_id, sum(hi - lo)::int as calls from gone group by batch_id`;
  return {
    calls: rows.reduce((n, row) => n + row.calls, 0),
    batchIds: rows.map((row) => row.batchId),
    nodeIds: [],
  };
}

/** Takes an app away: what waits and runs is cancelled, its functions and schedules are marked. Null: there is no such app. */
export async function deleteApp(
  pool: Pool,
  now: Date,
  workspace: string,
  name: string,
): Promise<Ended | null> {
  return await pool.begin(async (sql) => {
    const [app] = await sql<{ id: number }[]>`
      update app set deleted_at = ${now}
      where workspace_id = ${workspace} and name = ${name} and deleted_at is null
      returning id`;
    if (app === undefined) return null;
    const functions = await sql<{ id: number }[]>`
      update function set removed_at = coalesce(removed_at, ${now}) where app_id = ${app.id} returning id`;
    const functionIds = functions.map((fn) => fn.id);
    await sql`
      update schedule set removed_at = ${now}, next_at = null
      where function_id = any(${functionIds}::int[]) and removed_at is null`;
    const message = `Cancelled because app "${name}" was deleted`;
    return await cancelAll(sql, now, { functionIds }, { kind: "cancelled", message, retryable: false });
  }) as Ended | null;
}
