/**
 * The ways back from a lease to waiting: a failed attempt is tried again, an unstarted call is given back, a lost container
 * or node gives up all it had. Each locks the lease first, and may be repeated.
 */
import type { Failure } from "../../sdk/protocol.ts";
import { LOSSES_MAX } from "../../sdk/retry.ts";
import type { Sql } from "./connect.ts";
import { type Finished, numbers, touchedBy } from "./leases.ts";

/** An attempt that failed and is to be repeated. */
export interface Retried extends Omit<Finished, "state" | "value"> {
  readonly failure: Failure;
  /** Time to wait, from now. */
  readonly delayMs: number;
}

/**
 * Queues failed attempts again, as the next attempt; a call that somebody wants cancelled ends instead. May be repeated. Call it
 * inside a transaction.
 *
 * @returns the functions whose calls wait again or may start, since a place of their key is free, and the batches in which a
 *   call has ended
 */
export async function retry(
  sql: Sql,
  now: Date,
  nodeId: string,
  retried: readonly Retried[],
): Promise<{ functionIds: number[]; batchIds: number[] }> {
  if (retried.length === 0) return { functionIds: [], batchIds: [] };
  const leases = [...new Set(retried.map((r) => r.lease))];
  await lockLeases(sql, leases);
  const rows = await sql<{ functionId: number | null; batchId: number | null }[]>`
    with report as materialized (
      select * from rows from (
        unnest(${numbers(retried.map((r) => r.lease))}::text::bigint[]),
        unnest(${numbers(retried.map((r) => r.index))}::text::int[]),
        unnest(${numbers(retried.map((r) => r.startedAt))}::text::float8[]),
        unnest(${numbers(retried.map((r) => r.endedAt))}::text::float8[]),
        unnest(${numbers(retried.map((r) => r.cpuUs))}::text::bigint[]),
        unnest(${numbers(retried.map((r) => r.delayMs))}::text::float8[]),
        json_array_elements(${JSON.stringify(retried.map((r) => r.failure))}::text::json)
      ) as r(lease_id, idx, started_ms, ended_ms, cpu_us, delay_ms, failure)
    ),
    alive as materialized (
      select id, batch_id, lo, hi, function_id, attempt, priority, concurrency_key, preempted_at from lease
      where id = any(${leases}::bigint[]) and node_id = ${nodeId} and remaining > 0
      order by id for update
    ),
    failed as (
      insert into attempt (batch_id, idx, attempt, lease_id, failure, started_at, ended_at, cpu_us)
      select alive.batch_id, report.idx, alive.attempt, alive.id, report.failure,
        to_timestamp(report.started_ms / 1000), to_timestamp(report.ended_ms / 1000), report.cpu_us
      from report join alive on alive.id = report.lease_id and report.idx >= alive.lo and report.idx < alive.hi
      where not exists (select from result where result.batch_id = alive.batch_id and result.idx = report.idx)
      on conflict (batch_id, idx, attempt) do nothing
      returning batch_id, idx, attempt, lease_id, failure
    ),
    unwanted as (
      delete from cancellation using failed
      where cancellation.batch_id = failed.batch_id and cancellation.idx = failed.idx
      returning failed.batch_id, failed.idx, failed.lease_id
    ),
    ended as (
      insert into result (batch_id, idx, lease_id, state, ended_at)
      select batch_id, idx, lease_id, 2, ${now} from unwanted
      on conflict (batch_id, idx) do nothing
    ),
    queued as (
      insert into ready (batch_id, lo, hi, function_id, priority, attempt, due_at, since, concurrency_key, preempted_at)
      select failed.batch_id, failed.idx, failed.idx + 1, alive.function_id, alive.priority, failed.attempt + 1,
        case when report.delay_ms > 0 then ${now}::timestamptz + report.delay_ms * interval '1 ms' end, ${now},
        alive.concurrency_key, case when report.failure->>'kind' = 'preempted' then ${now} else alive.preempted_at end
      from failed
        join alive on alive.id = failed.lease_id
        join report on report.lease_id = failed.lease_id and report.idx = failed.idx
      where not exists (select from unwanted where unwanted.batch_id = failed.batch_id and unwanted.idx = failed.idx)
      on conflict (batch_id, lo) do nothing
      returning function_id
    ),
    told as ( -- the runner counts its own events from zero
      insert into event (batch_id, idx, lease_id, n, attempt, at, kind, data)
      select batch_id, idx, lease_id, -1, attempt, ${now}, 'retry', json_build_object('failure', failure)
      from failed
      where not exists (select from unwanted where unwanted.batch_id = failed.batch_id and unwanted.idx = failed.idx)
      on conflict do nothing
    ),
    counted as (select lease_id, count(*)::int as n from failed group by lease_id),
    closed as (
      update lease set remaining = remaining - counted.n from counted where lease.id = counted.lease_id
    )
    select distinct function_id, null::bigint as batch_id from queued
    union all select distinct case when alive.concurrency_key is not null then alive.function_id end, unwanted.batch_id
    from unwanted join alive on alive.id = unwanted.lease_id`;
  return touchedBy(rows);
}

/** Calls that a runner gives back unstarted: they wait again on the same attempt. May be repeated. Call it inside a transaction. */
export async function giveBack(
  sql: Sql,
  now: Date,
  nodeId: string,
  calls: readonly { readonly lease: number; readonly index: number }[],
): Promise<{ functionIds: number[]; batchIds: number[] }> {
  if (calls.length === 0) return { functionIds: [], batchIds: [] };
  const leases = [...new Set(calls.map((call) => call.lease))];
  await lockLeases(sql, leases);
  const rows = await sql<{ functionId: number | null; batchId: number | null }[]>`
    with report as materialized (
      select * from rows from (
        unnest(${numbers(calls.map((call) => call.lease))}::text::bigint[]),
        unnest(${numbers(calls.map((call) => call.index))}::text::int[])
      ) as r(lease_id, idx)
    ),
    alive as materialized (
      select id, batch_id, lo, hi, function_id, attempt, priority, concurrency_key, preempted_at from lease
      where id = any(${leases}::bigint[]) and node_id = ${nodeId} and remaining > 0
      order by id for update
    ),
    back as (
      insert into given_back (lease_id, idx)
      select alive.id, report.idx
      from report join alive on alive.id = report.lease_id and report.idx >= alive.lo and report.idx < alive.hi
      where not exists (select from result where result.batch_id = alive.batch_id and result.idx = report.idx)
        and not exists (select from attempt
          where attempt.batch_id = alive.batch_id and attempt.idx = report.idx and attempt.lease_id = alive.id)
      on conflict (lease_id, idx) do nothing
      returning lease_id, idx
    ),
    unwanted as (
      delete from cancellation using back
      where cancellation.lease_id = back.lease_id and cancellation.idx = back.idx
      returning cancellation.batch_id, cancellation.idx, cancellation.lease_id
    ),
    ended as (
      insert into result (batch_id, idx, lease_id, state, ended_at)
      select batch_id, idx, lease_id, 2, ${now} from unwanted
      on conflict (batch_id, idx) do nothing
    ),
    islands as (
      select alive.*, back.idx, back.idx - row_number() over (partition by alive.id order by back.idx) as island
      from back join alive on alive.id = back.lease_id
      where not exists (select from unwanted where unwanted.lease_id = back.lease_id and unwanted.idx = back.idx)
    ),
    queued as (
      insert into ready (batch_id, lo, hi, function_id, priority, attempt, expires_at, since, concurrency_key, preempted_at)
      select batch_id, min(idx), max(idx) + 1, islands.function_id, islands.priority, attempt,
        case when attempt = 1 then batch.expires_at end, ${now}, islands.concurrency_key, preempted_at
      from islands join batch on batch.id = islands.batch_id
      group by batch_id, islands.id, island, islands.function_id, islands.priority, attempt, batch.expires_at,
        islands.concurrency_key, preempted_at
      on conflict (batch_id, lo) do nothing
      returning function_id
    ),
    counted as (select lease_id, count(*)::int as n from back group by lease_id),
    closed as (
      update lease set remaining = remaining - counted.n from counted where lease.id = counted.lease_id
    )
    select distinct function_id, null::bigint as batch_id from queued
    union all select distinct case when alive.concurrency_key is not null then alive.function_id end, unwanted.batch_id
    from unwanted join alive on alive.id = unwanted.lease_id`;
  return touchedBy(rows);
}

/**
 * Closes leases whose container is gone or that nobody holds: what they had not reported is queued again as the next
 * attempt, ends as cancelled when that was asked for, or fails when it has been lost too often. Call it inside a transaction.
 */
export async function loseLeases(
  sql: Sql,
  now: Date,
  leaseIds: readonly number[],
  failure: Failure,
): Promise<{ functionIds: number[]; batchIds: number[] }> {
  if (leaseIds.length === 0) return { functionIds: [], batchIds: [] };
  const text = JSON.stringify(failure);
  await lockLeases(sql, leaseIds);
  const rows = await sql<{ functionId: number | null; batchId: number | null }[]>`
    with alive as materialized (
      select id, batch_id, lo, hi, function_id, attempt, priority, concurrency_key, preempted_at from lease
      where id = any(${leaseIds as number[]}::bigint[]) and remaining > 0
      order by id for update
    ),
    closed as (
      update lease set remaining = 0 from alive where lease.id = alive.id
    ),
    unreported as materialized (
      select alive.*, place as idx, ${LOSSES_MAX}::int > (
          select count(*) from attempt
          where attempt.batch_id = alive.batch_id and attempt.idx = place and attempt.failure->>'kind' = 'node_lost'
        ) as again
      from alive, generate_series(alive.lo, alive.hi - 1) as place
      where not exists (select from result where result.batch_id = alive.batch_id and result.idx = place)
        and not exists (select from given_back where given_back.lease_id = alive.id and given_back.idx = place)
        and not exists (select from attempt
          where attempt.batch_id = alive.batch_id and attempt.idx = place and attempt.lease_id = alive.id)
    ),
    failed as (
      insert into attempt (batch_id, idx, attempt, lease_id, failure, ended_at)
      select batch_id, idx, attempt, id, ${text}::text::json, ${now} from unreported where again
      on conflict (batch_id, idx, attempt) do nothing
    ),
    unwanted as (
      delete from cancellation using unreported
      where cancellation.batch_id = unreported.batch_id and cancellation.idx = unreported.idx
      returning cancellation.batch_id, cancellation.idx
    ),
    decided as materialized (
      select unreported.*, unwanted.idx is not null as cancelled
      from unreported left join unwanted on unwanted.batch_id = unreported.batch_id and unwanted.idx = unreported.idx
    ),
    ended as (
      insert into result (batch_id, idx, lease_id, state, value, ended_at)
      select batch_id, idx, id, case when cancelled then 2 else 1 end, case when cancelled then null else ${text}::text::json end,
        ${now}
      from decided where cancelled or not again
      on conflict (batch_id, idx) do nothing
      returning batch_id, lease_id
    ),
    islands as (
      select *, idx - row_number() over (partition by id order by idx) as island from decided where again and not cancelled
    ),
    told as (
      insert into event (batch_id, idx, lease_id, n, attempt, at, kind, data)
      select batch_id, idx, id, -1, attempt, ${now}, 'retry', json_build_object('failure', ${text}::text::json)
      from decided where again and not cancelled
      on conflict do nothing
    ),
    queued as (
      insert into ready (batch_id, lo, hi, function_id, priority, attempt, since, concurrency_key, preempted_at)
      select batch_id, min(idx), max(idx) + 1, function_id, priority, attempt + 1, ${now}, concurrency_key, preempted_at
      from islands group by batch_id, id, island, function_id, priority, attempt, concurrency_key, preempted_at
      on conflict (batch_id, lo) do nothing
      returning function_id
    )
    select distinct function_id, null::bigint as batch_id from queued
    union all select distinct case when alive.concurrency_key is not null then alive.function_id end, ended.batch_id
    from ended join alive on alive.id = ended.lease_id`;
  return touchedBy(rows);
}

/**
 * By a statement of its own: one that waits for a lock goes on with what it saw before, and would miss what was reported and
 * asked for meanwhile.
 */
async function lockLeases(sql: Sql, ids: readonly number[]): Promise<void> {
  await sql`select from lease where id = any(${ids as number[]}::bigint[]) order by id for update`;
}
