/**
 * Claims: ranges of calls move from `ready` into `lease`, highest priority first, then oldest. Calls without a concurrency key
 * take the short way, one statement; where some have keys, claimers of the function go one at a time (keyed_claims.ts).
 */
import type { Pool, Sql } from "./connect.ts";
import { claimKeyed, claimKeyedWithin } from "./keyed_claims.ts";
import { CLAIMED, type Claimed, type ClaimedRange, type ClaimRequest, leasing, mayClaim } from "./leasing.ts";

export type { Claimed, ClaimedRange, ClaimRequest };

/** Statements tried again when another claimer took the same ranges first. */
const CLAIM_TRIES = 4;

/** Gives a container the next calls of its function. One that is to end, that has ended, or that runs an older deployment gets none. */
export async function claim(sql: Pool, now: Date, request: ClaimRequest): Promise<Claimed> {
  const claimed = await claimUnkeyed(sql, now, request);
  return claimed === SOME_HAVE_KEYS ? await claimKeyed(sql, now, request) : claimed;
}

/** The same in a transaction of the caller's. */
export async function claimWithin(sql: Sql, now: Date, request: ClaimRequest): Promise<Claimed> {
  const claimed = await claimUnkeyed(sql, now, request);
  return claimed === SOME_HAVE_KEYS ? await claimKeyedWithin(sql, now, request) : claimed;
}

/** Calls with keys wait: {@link claimKeyed} is to be asked. */
export const SOME_HAVE_KEYS = "some have keys";

/** The short way: it claims nothing where calls with keys wait. */
export async function claimUnkeyed(
  sql: Sql,
  now: Date,
  request: ClaimRequest,
): Promise<Claimed | typeof SOME_HAVE_KEYS> {
  for (let tries = 0; tries < CLAIM_TRIES; tries++) {
    const rows = await claimOnce(sql, now, request);
    const [first] = rows;
    if (first === undefined) return { ranges: [], exhausted: true };
    if (first.nothing === "no such container") break;
    if (first.nothing === SOME_HAVE_KEYS) return SOME_HAVE_KEYS;
    if (first.nothing !== null) continue;
    const ranges = rows.map(({ nothing: _nothing, waiting: _waiting, ...range }) => range);
    return { ranges, exhausted: first.waiting < request.calls };
  }
  return { ranges: [], exhausted: false };
}

interface ClaimRow extends ClaimedRange {
  /** Why nothing was claimed although it is not known that nothing waits. */
  readonly nothing: "no such container" | typeof SOME_HAVE_KEYS | "taken by others" | null;
  /** Calls that waited, counted up to what was asked for. */
  readonly waiting: number;
}

/**
 * The wanted ranges are chosen without locks, by a running sum over the order of the index, and only those are then locked:
 * locking while choosing would hide from other claimers what is not taken in the end.
 */
async function claimOnce(sql: Sql, now: Date, request: ClaimRequest): Promise<ClaimRow[]> {
  const { calls } = request;
  return await sql<ClaimRow[]>`
    with holder as materialized ( -- locked, so that it cannot be lost between this claim and its commit
      select container.function_id, exists (
          select from ready
          where ready.function_id = container.function_id and due_at is null and concurrency_key is not null -- ready_keyed
        ) as keyed
      from container
      join function on function.id = container.function_id and function.deployment_id = container.deployment_id
      where ${mayClaim(sql, request)}
      for share of container
    ),
    waiting as ( -- ready_claim
      select batch_id, lo, hi, priority from ready
      where function_id = (select function_id from holder where not keyed) and due_at is null and concurrency_key is null
      order by priority desc, batch_id, lo
      limit ${calls}
    ),
    wanted as (
      select batch_id, lo, ${calls}::int - before::int as take from (
        select batch_id, lo, sum(hi - lo) over (order by priority desc, batch_id, lo) - (hi - lo) as before from waiting
      ) as summed
      where before < ${calls}
    ),
    ${leasing(sql, now, request)}
    select ${CLAIMED(sql)}, null as nothing, (select sum(hi - lo)::int from waiting) as waiting
    from leased join batch on batch.id = leased.batch_id
    union all
    select null, null, null, null, null, null, null, 'no such container', 0 where not exists (select from holder)
    union all
    select null, null, null, null, null, null, null, 'some have keys', 0 from holder where keyed
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
