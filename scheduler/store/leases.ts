/**
 * Calls as they run: they lie in open leases until a result takes them out, one by one. The lease row is the fence: each
 * statement locks it first, so that a late report and the loss of its container cannot both have the call.
 */
import type { Failure, Json, Retries } from "../../sdk/protocol.ts";
import type { PastAttempts } from "../../sdk/retry.ts";
import type { Sql } from "./connect.ts";

/** How one call ended. Times in milliseconds since 1970, CPU time in microseconds. */
export interface Finished {
  readonly lease: number;
  readonly index: number;
  /** As in `result.state`: 0 succeeded, 1 failed, 2 cancelled. */
  readonly state: 0 | 1 | 2;
  readonly value: Json | Failure;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly cpuUs: number;
}

/** An array parameter as text, which costs less than having the client quote it. */
export const numbers = (values: readonly number[]): string => `{${values.join(",")}}`;

/**
 * Writes results, once each: a call whose lease is over, or that has ended, is passed over. May be repeated.
 *
 * @returns the batches in which a call has ended now, and the functions of which a concurrency key has a place again
 */
export async function complete(
  sql: Sql,
  nodeId: string,
  finished: readonly Finished[],
): Promise<{ batchIds: number[]; functionIds: number[] }> {
  if (finished.length === 0) return { batchIds: [], functionIds: [] };
  const leases = [...new Set(finished.map((f) => f.lease))];
  const rows = await sql<{ batchId: number; functionId: number | null }[]>`
    with report as materialized (
      select * from rows from (
        unnest(${numbers(finished.map((f) => f.lease))}::text::bigint[]),
        unnest(${numbers(finished.map((f) => f.index))}::text::int[]),
        unnest(${numbers(finished.map((f) => f.state))}::text::smallint[]),
        unnest(${numbers(finished.map((f) => f.startedAt))}::text::float8[]),
        unnest(${numbers(finished.map((f) => f.endedAt))}::text::float8[]),
        unnest(${numbers(finished.map((f) => f.cpuUs))}::text::bigint[]),
        json_array_elements(${JSON.stringify(finished.map((f) => f.value))}::text::json)
      ) as r(lease_id, idx, state, started_ms, ended_ms, cpu_us, value)
    ),
    alive as materialized (
      select id, batch_id, lo, hi from lease
      where id = any(${leases}::bigint[]) and node_id = ${nodeId} and remaining > 0
      order by id for update
    ),
    ended as (
      insert into result (batch_id, idx, lease_id, state, value, started_at, ended_at, cpu_us)
      select alive.batch_id, report.idx, alive.id, report.state, report.value,
        to_timestamp(report.started_ms / 1000), to_timestamp(report.ended_ms / 1000), report.cpu_us
      from report join alive on alive.id = report.lease_id and report.idx >= alive.lo and report.idx < alive.hi
      on conflict (batch_id, idx) do nothing
      returning batch_id, idx, lease_id
    ),
    heard as (
      delete from cancellation using ended
      where cancellation.batch_id = ended.batch_id and cancellation.idx = ended.idx
    ),
    counted as (select lease_id, count(*)::int as n from ended group by lease_id)
    update lease set remaining = remaining - counted.n from counted where lease.id = counted.lease_id
    returning lease.batch_id, case when lease.concurrency_key is not null then lease.function_id end as function_id`;
  return touchedBy(rows);
}

/** Rows that name functions or batches, each named once. */
export function touchedBy(
  rows: readonly { functionId: number | null; batchId: number | null }[],
): { functionIds: number[]; batchIds: number[] } {
  const present = (ids: (number | null)[]) => [...new Set(ids.filter((id) => id !== null))];
  return {
    functionIds: present(rows.map((row) => row.functionId)),
    batchIds: present(rows.map((row) => row.batchId)),
  };
}

/** Open leases of containers, and open parts of them. */
export async function openLeasesOf(sql: Sql, containerIds: readonly string[]): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from lease
    where container_id = any(${containerIds as string[]}) and remaining > 0 and ${
    notOfGang(sql)
  } -- lease_open_container
    union all
    select id from part where container_id = any(${containerIds as string[]}) and ended_at is null -- part_open_container
    order by id`;
  return rows.map((row) => row.id);
}

/** Open leases and parts that nodes have, also of containers that have ended. */
export async function openLeasesOn(sql: Sql, nodeIds: readonly string[]): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from lease
    where node_id = any(${nodeIds as string[]}) and remaining > 0 and ${notOfGang(sql)} -- lease_open_node
    union all
    select id from part where node_id = any(${nodeIds as string[]}) and ended_at is null -- part_open_node
    order by id`;
  return rows.map((row) => row.id);
}

/** Open leases and parts of a node, older than `before`, that its runner does not hold: their reply was lost on the way. */
export async function openLeasesNotHeld(
  sql: Sql,
  nodeId: string,
  held: readonly number[],
  before: Date,
): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from (
      select id from lease
      where node_id = ${nodeId} and remaining > 0 and leased_at < ${before} and ${
    notOfGang(sql)
  } -- lease_open_node
      union all
      select id from part where node_id = ${nodeId} and ended_at is null and sent_at < ${before} -- part_open_node
    ) as given
    where id <> all(${held as number[]}::bigint[])
    order by id`;
  return rows.map((row) => row.id);
}

/** A gang's lease is given to nobody; its ranks hold parts of it. */
const notOfGang = (sql: Sql) => sql`exchange > 0`;

/** What the retry decision needs of an attempt that failed. */
export interface FailedAttempt {
  readonly retries: Retries;
  readonly past: PastAttempts;
}

/** What is known of failed attempts, in their order; null where there is no such lease. */
export async function failedAttempts(
  sql: Sql,
  failed: readonly { readonly lease: number; readonly index: number }[],
): Promise<(FailedAttempt | null)[]> {
  const rows = await sql<{ retries: Retries | null; past: PastAttempts }[]>`
    select function.spec->'retries' as retries, json_build_object(
      'failed', count(attempt.lease_id) filter (where failure->>'kind' not in ('node_lost', 'preempted')),
      'lost', count(attempt.lease_id) filter (where failure->>'kind' = 'node_lost')) as past
    from rows from (
      unnest(${numbers(failed.map((one) => one.lease))}::text::bigint[]),
      unnest(${numbers(failed.map((one) => one.index))}::text::int[])
    ) with ordinality as report(lease_id, idx, place)
      left join lease on lease.id = report.lease_id
      left join function on function.id = lease.function_id
      left join attempt on attempt.batch_id = lease.batch_id and attempt.idx = report.idx and attempt.attempt < lease.attempt
    group by place, function.id
    order by place`;
  return rows.map(({ retries, past }) => retries && { retries, past });
}
