/**
 * Calls as they run: a claim moves ranges from `ready` into `lease`, a result takes a call out of it. The lease row is the
 * fence: each statement locks it first, so that a late report and the loss of its container cannot both have the call.
 */
import type { Failure, FunctionSpec, Json } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** A claimed range; `inputs` are JSON values joined by commas, as text, to be sent on unparsed. */
export interface ClaimedRange {
  readonly lease: number;
  readonly batch: number;
  readonly lo: number;
  /** Calls in it. */
  readonly size: number;
  readonly attempt: number;
  readonly method: string;
  readonly inputs: string;
}

export interface ClaimRequest {
  readonly containerId: string;
  readonly nodeId: string;
  /** Number of the exchange in whose reply they go. */
  readonly exchange: number;
  /** Calls at most. */
  readonly calls: number;
}

export interface Claimed {
  readonly ranges: readonly ClaimedRange[];
  /** The function has no more calls that wait; false when that is not known. */
  readonly exhausted: boolean;
}

/** Statements tried again when another claimer took the same ranges first. */
const CLAIM_TRIES = 4;

/**
 * Gives a container the next calls of its function: highest priority first, then oldest. One that is to end, that has ended,
 * or that runs an older deployment gets none.
 */
export async function claim(sql: Sql, now: Date, request: ClaimRequest): Promise<Claimed> {
  for (let tries = 0; tries < CLAIM_TRIES; tries++) {
    const rows = await claimOnce(sql, now, request);
    const [first] = rows;
    if (first === undefined) return { ranges: [], exhausted: true };
    if (first.nothing === "no such container") break;
    if (first.nothing !== null) continue;
    const ranges = rows.map(({ nothing: _nothing, waiting: _waiting, ...range }) => range);
    return { ranges, exhausted: first.waiting < request.calls };
  }
  return { ranges: [], exhausted: false };
}

interface ClaimRow extends ClaimedRange {
  /** Why nothing was claimed although it is not known that nothing waits. */
  readonly nothing: "no such container" | "taken by others" | null;
  /** Calls that waited, counted up to what was asked for. */
  readonly waiting: number;
}

/**
 * The wanted ranges are chosen without locks, by a running sum over the order of the index, and only those are then locked:
 * locking while choosing would hide from other claimers what is not taken in the end.
 */
async function claimOnce(
  sql: Sql,
  now: Date,
  { containerId, nodeId, exchange, calls }: ClaimRequest,
): Promise<ClaimRow[]> {
  return await sql<ClaimRow[]>`
    with holder as materialized ( -- locked, so that it cannot be lost between this claim and its commit
      select container.function_id from container
      join function on function.id = container.function_id and function.deployment_id = container.deployment_id
      where container.id = ${containerId} and container.node_id = ${nodeId} and container.desired = 'run'
        and container.exited_at is null and function.removed_at is null
      for share of container
    ),
    waiting as ( -- ready_claim
      select batch_id, lo, hi, priority from ready
      where function_id = (select function_id from holder) and due_at is null
      order by priority desc, batch_id, lo
      limit ${calls}
    ),
    wanted as (
      select * from (
        select batch_id, lo, sum(hi - lo) over (order by priority desc, batch_id, lo) - (hi - lo) as before from waiting
      ) as summed
      where before < ${calls}
    ),
    locked as materialized (
      select ready.batch_id, ready.lo, ready.hi, ready.attempt,
        least(ready.hi, ready.lo + ${calls}::int - wanted.before::int) as cut
      from ready join wanted on ready.batch_id = wanted.batch_id and ready.lo = wanted.lo
      for update of ready skip locked
    ),
    gone as (
      delete from ready using locked
      where ready.batch_id = locked.batch_id and ready.lo = locked.lo and locked.cut = locked.hi
    ),
    shrunk as (
      update ready set lo = locked.cut from locked
      where ready.batch_id = locked.batch_id and ready.lo = locked.lo and locked.cut < locked.hi
    ),
    leased as (
      insert into lease (batch_id, lo, hi, function_id, container_id, node_id, attempt, exchange, remaining, leased_at)
      select batch_id, lo, cut, (select function_id from holder), ${containerId}, ${nodeId}, attempt, ${exchange}, cut - lo, ${now}
      from locked
      returning id, batch_id, lo, hi, attempt
    )
    select leased.id as lease, leased.batch_id as batch, leased.lo, leased.hi - leased.lo as size, leased.attempt, batch.method,
      (select string_agg(call.input::text, ',' order by call.idx) from call
       where call.batch_id = leased.batch_id and call.idx >= leased.lo and call.idx < leased.hi) as inputs,
      null as nothing, (select sum(hi - lo)::int from waiting) as waiting
    from leased join batch on batch.id = leased.batch_id
    union all
    select null, null, null, null, null, null, null, 'no such container', 0 where not exists (select from holder)
    union all
    select null, null, null, null, null, null, null, 'taken by others', 0
    where exists (select from wanted) and not exists (select from leased)`;
}

/** Claims of replies that never arrived, to be sent again. */
export async function claimsOfExchanges(
  sql: Sql,
  nodeId: string,
  exchanges: readonly number[],
): Promise<(ClaimedRange & { containerId: string })[]> {
  return await sql<(ClaimedRange & { containerId: string })[]>`
    select lease.id as lease, lease.batch_id as batch, lease.lo, lease.hi - lease.lo as size, lease.attempt, batch.method, lease.container_id,
      (select string_agg(call.input::text, ',' order by call.idx) from call
       where call.batch_id = lease.batch_id and call.idx >= lease.lo and call.idx < lease.hi) as inputs
    from lease join batch on batch.id = lease.batch_id
    where lease.node_id = ${nodeId} and lease.remaining > 0 and lease.exchange = any(${exchanges as number[]}::bigint[])`;
}

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
 * @returns the batches in which a call has ended now
 */
export async function complete(sql: Sql, nodeId: string, finished: readonly Finished[]): Promise<number[]> {
  if (finished.length === 0) return [];
  const leases = [...new Set(finished.map((f) => f.lease))];
  const rows = await sql<{ batchId: number }[]>`
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
    returning lease.batch_id`;
  return [...new Set(rows.map((row) => row.batchId))];
}

/** Open leases of containers. */
export async function openLeasesOf(sql: Sql, containerIds: readonly string[]): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from lease where container_id = any(${containerIds as string[]}) and remaining > 0 -- lease_open_container
    order by id`;
  return rows.map((row) => row.id);
}

/** Open leases of a node, older than `before`, that its runner does not hold: their reply was lost on the way. */
export async function openLeasesNotHeld(
  sql: Sql,
  nodeId: string,
  held: readonly number[],
  before: Date,
): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from lease
    where node_id = ${nodeId} and remaining > 0 and leased_at < ${before} -- lease_open_node
      and id <> all(${held as number[]}::bigint[])
    order by id`;
  return rows.map((row) => row.id);
}

/** What a failed attempt needs for its retry decision, by lease. */
export async function attemptsOf(
  sql: Sql,
  leaseIds: readonly number[],
): Promise<Map<number, { attempt: number; spec: FunctionSpec }>> {
  const rows = await sql<{ id: number; attempt: number; spec: FunctionSpec }[]>`
    select lease.id, lease.attempt, function.spec from lease join function on function.id = lease.function_id
    where lease.id = any(${leaseIds as number[]}::bigint[])`;
  return new Map(rows.map(({ id, ...rest }) => [id, rest]));
}
