/** What all claims have in common: what is asked, what is given, and how chosen ranges become leases. */
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
  /** The function has no more calls that could start; false when that is not known. */
  readonly exhausted: boolean;
}

/** Whether the container of a claim is one that may have calls. */
export const mayClaim = (sql: Sql, { containerId, nodeId }: ClaimRequest) =>
  sql`
        container.id = ${containerId} and container.node_id = ${nodeId} and container.desired = 'run'
        and container.exited_at is null and function.removed_at is null`;

/** From the ranges that are `wanted` (batch_id, lo, take) for the `holder` (function_id) to those that are `leased`. */
export const leasing = (sql: Sql, now: Date, { containerId, nodeId, exchange }: ClaimRequest) =>
  sql`
    locked as materialized (
      select ready.batch_id, ready.lo, ready.hi, ready.attempt, ready.priority, ready.concurrency_key, ready.preempted_at,
        least(ready.hi, ready.lo + wanted.take) as cut
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
      insert into lease (batch_id, lo, hi, function_id, container_id, node_id, attempt, exchange, remaining, leased_at,
        priority, concurrency_key, preempted_at)
      select batch_id, lo, cut, (select function_id from holder), ${containerId}, ${nodeId}, attempt, ${exchange}, cut - lo, ${now},
        priority, concurrency_key, preempted_at
      from locked
      returning id, batch_id, lo, hi, attempt
    )`;

/** Columns of a {@link ClaimedRange}, from `leased` and its batch. */
export const CLAIMED = (sql: Sql) =>
  sql`
    leased.id as lease, leased.batch_id as batch, leased.lo, leased.hi - leased.lo as size, leased.attempt, batch.method,
      (select string_agg(call.input::text, ',' order by call.idx) from call
       where call.batch_id = leased.batch_id and call.idx >= leased.lo and call.idx < leased.hi) as inputs`;
