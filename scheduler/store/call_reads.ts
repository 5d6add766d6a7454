/**
 * Calls as they are read. The state of a call is where it lies: a row in `result` has ended it, else a range of `ready` or
 * an open lease holds it.
 */
import { type Call, type CallKey, type Failure, formatCallId, type Json } from "../../sdk/protocol.ts";
import { RESULT_STATES } from "../states.ts";
import type { Sql } from "./connect.ts";
import { epochMs, outlookOf, type OutlookRow, waitingOf, waitingRange, type WaitRow } from "./waits.ts";

interface CallRow {
  readonly batch: number;
  readonly index: number;
  readonly app: string;
  readonly function: string;
  readonly deployment: string;
  readonly priority: number;
  readonly tags: Record<string, string>;
  readonly createdAt: Date;
  readonly result: EndRow | null;
  readonly ready: WaitRow | null;
  readonly lease: LeaseRow | null;
  readonly past: UsageRow & { readonly attempt: number };
  readonly concurrencyKey: string | null;
  readonly outlook: OutlookRow | null;
}
interface EndRow {
  readonly state: number;
  readonly value: Json;
  readonly startedMs: number | null;
  readonly endedMs: number;
  readonly cpuUs: number;
}
interface LeaseRow {
  readonly attempt: number;
  readonly gpuMilli: number;
  readonly startedMs: number | null;
  readonly leasedMs: number;
}
interface UsageRow {
  readonly wallMs: number;
  readonly gpuMs: number;
  readonly cpuUs: number;
}

/** Calls of a workspace by their keys, in the order of the keys; those that it does not have are left out. */
export async function findCalls(
  sql: Sql,
  now: Date,
  workspace: string,
  keys: readonly CallKey[],
): Promise<Call[]> {
  const rows = await sql<CallRow[]>`
    with wanted as materialized (
      select * from unnest(${keys.map((key) => key.batch)}::bigint[], ${keys.map((key) => key.index)}::int[])
        with ordinality as w(batch, idx, place)
    )
    select b.id as batch, w.idx as index, a.name as app, b.method as function, b.priority, b.tags, b.created_at, b.concurrency_key,
      coalesce(l.deployment_id, f.deployment_id) as deployment,
      ${outlookOf(sql)} as outlook,
      case when r.batch_id is not null then json_build_object('state', r.state, 'value', r.value,
        'startedMs', ${epochMs(sql, "r.started_at")}, 'endedMs', ${
    epochMs(sql, "r.ended_at")
  }, 'cpuUs', r.cpu_us) end as result,
      q.wait as ready,
      case when l.id is not null then json_build_object('attempt', l.attempt, 'gpuMilli', l.gpu_milli,
        'startedMs', ${epochMs(sql, "l.started_at")}, 'leasedMs', ${
    epochMs(sql, "l.leased_at")
  }) end as lease,
      p.past
    from wanted w
    join batch b on b.id = w.batch and b.workspace_id = ${workspace} and w.idx < b.size
    join function f on f.id = b.function_id
    join app a on a.id = f.app_id
    left join result r on r.batch_id = w.batch and r.idx = w.idx
    left join lateral (${waitingRange(sql)}) q on true
    left join lateral (${holdingLease(sql)}) l on true
    cross join lateral (${pastAttempts(sql)}) p
    order by w.place`;
  return rows.map((row) => toCall(row, now.getTime()));
}

/** The lease that ended a call or, when it runs, holds it. */
const holdingLease = (sql: Sql) =>
  sql`
  select l.id, l.attempt, l.leased_at, c.deployment_id, c.gpu_milli * ${ranks(sql)} as gpu_milli,
    (
      select e.at from event e
      where e.batch_id = w.batch and e.idx = w.idx and e.lease_id = l.id and e.kind = 'started'
      limit 1
    ) as started_at
  from lease l
  join container c on c.id = l.container_id
  where q.batch_id is null and l.batch_id = w.batch and l.lo <= w.idx and l.hi > w.idx  -- lease_batch
    and case when r.batch_id is null then l.remaining > 0 else l.id = r.lease_id end
  order by l.id desc
  limit 1`;

/** Containers that run the calls of a lease: the ranks of a gang, each with as much as rank 0 has; else one. */
const ranks = (sql: Sql) =>
  sql`case when l.exchange = 0 then (select count(*)::int from part where part.lease_id = l.id) else 1 end`;

/** What the attempts cost that did not end the call. */
const pastAttempts = (sql: Sql) =>
  sql`
  select json_build_object(
    'attempt', coalesce(max(t.attempt), 0),
    'wallMs', coalesce(sum(extract(epoch from t.ended_at - t.started_at) * 1000), 0)::float8,
    'gpuMs', coalesce(sum(extract(epoch from t.ended_at - t.started_at)
      * c.gpu_milli * ${ranks(sql)}), 0)::float8,
    'cpuUs', coalesce(sum(t.cpu_us), 0)::float8
  ) as past
  from attempt t
  left join lease l on l.id = t.lease_id
  left join container c on c.id = l.container_id
  where t.batch_id = w.batch and t.idx = w.idx`;

function toCall(row: CallRow, now: number): Call {
  const { result, ready, lease, past } = row;
  const startedMs = result === null
    ? lease === null ? null : lease.startedMs ?? lease.leasedMs
    : result.startedMs;
  return {
    id: formatCallId(row),
    app: row.app,
    function: row.function,
    deployment: row.deployment,
    state: result !== null
      ? RESULT_STATES[result.state]!
      : lease !== null && ready === null
      ? "running"
      : "queued",
    attempt: ready !== null ? ready.attempt - 1 : lease?.attempt ?? past.attempt,
    createdAt: row.createdAt.toISOString(),
    startedAt: instant(startedMs),
    endedAt: instant(result?.endedMs ?? null),
    priority: row.priority,
    tags: row.tags,
    ...(row.concurrencyKey === null ? {} : { concurrencyKey: row.concurrencyKey }),
    ...outcomeOf(result),
    ...(result !== null || (lease !== null && ready === null) ? {} : { waiting: waitingOf(row, now) }),
    usage: usageOf(row, startedMs, now),
  };
}

function outcomeOf(result: EndRow | null): Pick<Call, "result" | "failure"> {
  if (result === null) return {};
  if (result.state === 0) return { result: result.value };
  return result.value === null ? {} : { failure: result.value as unknown as Failure };
}

function usageOf({ result, lease, past }: CallRow, startedMs: number | null, now: number): Call["usage"] {
  const lastMs = startedMs === null ? 0 : Math.max(0, (result?.endedMs ?? now) - startedMs);
  return {
    gpuSeconds: (past.gpuMs + lastMs * (lease?.gpuMilli ?? 0) / 1000) / 1000,
    cpuSeconds: (past.cpuUs + (result?.cpuUs ?? 0)) / 1_000_000,
    wallSeconds: (past.wallMs + lastMs) / 1000,
  };
}

const instant = (ms: number | null): string | null => ms === null ? null : new Date(ms).toISOString();

/** Whether a call has ended: cheap, for those who wait for it. */
export async function hasEnded(sql: Sql, { batch, index }: CallKey): Promise<boolean> {
  const rows = await sql`select from result where batch_id = ${batch} and idx = ${index}`;
  return rows.length > 0;
}

/** Size of a batch, if it is this workspace's. */
export async function findBatch(
  sql: Sql,
  workspace: string,
  batch: number,
): Promise<{ size: number } | undefined> {
  const [row] = await sql<
    { size: number }[]
  >`select size from batch where id = ${batch} and workspace_id = ${workspace}`;
  return row;
}

/** Whether there is such a call in the workspace. */
export async function hasCall(sql: Sql, workspace: string, { batch, index }: CallKey): Promise<boolean> {
  const found = await findBatch(sql, workspace, batch);
  return found !== undefined && index < found.size;
}
