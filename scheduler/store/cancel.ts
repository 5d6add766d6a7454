/** Cancelling: what waits ends at once; what runs is told to end, and ends when its runner says so. */
import type { CallKey, Failure } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** A call may move between `ready` and `lease` while we look. */
const CANCEL_TRIES = 5;

/**
 * Cancels one call; call it inside a transaction.
 *
 * @returns `ended` when it waited, the node to tell when it runs, null when it had ended before
 */
export async function cancelCall(
  sql: Sql,
  now: Date,
  key: CallKey,
): Promise<"ended" | { nodeId: string } | null> {
  for (let tries = 0; tries < CANCEL_TRIES; tries++) {
    if (await cancelWaiting(sql, now, key)) return "ended";
    const nodeId = await askToCancel(sql, now, key);
    if (nodeId !== null) return { nodeId };
    const [ended] = await sql`select from result where batch_id = ${key.batch} and idx = ${key.index}`;
    if (ended !== undefined) return null;
  }
  throw new Error(
    `Cannot cancel call ${key.batch}/${key.index}: it keeps moving between waiting and running`,
  );
}

/** Cuts the call out of the range it waits in. */
async function cancelWaiting(sql: Sql, now: Date, { batch, index }: CallKey): Promise<boolean> {
  const rows = await sql`
    with covering as materialized (
      select * from ready where batch_id = ${batch} and lo <= ${index} and hi > ${index} for update
    ),
    ended as (
      insert into result (batch_id, idx, state, ended_at)
      select batch_id, ${index}, 2, ${now} from covering
      on conflict (batch_id, idx) do nothing
    ),
    shrunk as (
      update ready set hi = ${index} from covering
      where ready.batch_id = covering.batch_id and ready.lo = covering.lo and covering.lo < ${index}
    ),
    gone as (
      delete from ready using covering
      where ready.batch_id = covering.batch_id and ready.lo = covering.lo and covering.lo = ${index}
    ),
    rest as (
      insert into ready (batch_id, lo, hi, function_id, priority, attempt, due_at, expires_at, since, concurrency_key, preempted_at)
      select batch_id, ${index}::int + 1, hi, function_id, priority, attempt, due_at, expires_at, since, concurrency_key, preempted_at
      from covering where hi > ${index}::int + 1
    )
    select from covering`;
  return rows.length > 0;
}

/**
 * Notes the wish beside the lease that has the call. The lease is locked by a statement of its own: one that waits for a lock
 * still sees what was there when it began, and would ask for what has ended meanwhile.
 */
async function askToCancel(sql: Sql, now: Date, { batch, index }: CallKey): Promise<string | null> {
  const [holding] = await sql<{ id: number }[]>`
    select id from lease
    where batch_id = ${batch} and lo <= ${index} and hi > ${index} and remaining > 0 -- lease_batch
    order by id desc limit 1
    for update`;
  if (holding === undefined) return null;
  const [row] = await sql<{ nodeId: string }[]>`
    with holding as materialized (
      select id, node_id from lease
      where id = ${holding.id} and remaining > 0
        and not exists (select from result where result.batch_id = ${batch} and result.idx = ${index})
        and not exists (select from attempt
          where attempt.batch_id = ${batch} and attempt.idx = ${index} and attempt.lease_id = lease.id)
        and not exists (select from given_back where given_back.lease_id = lease.id and given_back.idx = ${index})
    ),
    asked as (
      insert into cancellation (batch_id, idx, node_id, lease_id, requested_at)
      select ${batch}, ${index}, node_id, id, ${now} from holding
      on conflict (batch_id, idx) do nothing
    )
    select node_id from holding`;
  return row?.nodeId ?? null;
}

/** Which calls to cancel: all of a batch, or all of some functions. */
export type CancelScope = { readonly batchId: number } | { readonly functionIds: readonly number[] };

/**
 * Cancels every call of a scope that has not ended. Call it inside a transaction.
 *
 * Leases are locked first, by a statement of their own, so that none of their calls ends or is queued again under our hands; then once
 * more, for calls that were claimed until the queue was ours.
 *
 * @param failure why, kept with the calls that waited
 * @returns how many waited or ran, the nodes to tell, the batches that ended calls
 */
export async function cancelAll(
  sql: Sql,
  now: Date,
  scope: CancelScope,
  failure: Failure | null,
): Promise<{ calls: number; nodeIds: string[]; batchIds: number[] }> {
  await lockLeasesIn(sql, scope);
  const waited = await endWaiting(sql, now, scope, failure);
  const run = await askAllToCancel(sql, now, await lockLeasesIn(sql, scope));
  const sum = (rows: readonly { calls: number }[]) => rows.reduce((n, row) => n + row.calls, 0);
  return {
    calls: sum(waited) + sum(run),
    nodeIds: run.map((row) => row.nodeId),
    batchIds: waited.map((row) => row.batchId),
  };
}

const within = (sql: Sql, scope: CancelScope) =>
  "batchId" in scope
    ? sql`batch_id = ${scope.batchId}`
    : sql`function_id = any(${scope.functionIds as number[]}::int[])`;

async function lockLeasesIn(sql: Sql, scope: CancelScope): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from lease where ${within(sql, scope)} and remaining > 0 order by id for update`;
  return rows.map((row) => row.id);
}

async function endWaiting(
  sql: Sql,
  now: Date,
  scope: CancelScope,
  failure: Failure | null,
): Promise<{ batchId: number; calls: number }[]> {
  return await sql<{ batchId: number; calls: number }[]>`
    with gone as (
      delete from ready where ${within(sql, scope)} returning batch_id, lo, hi
    ),
    ended as (
      insert into result (batch_id, idx, state, value, ended_at)
      select batch_id, generate_series(lo, hi - 1), 2, ${
    failure && JSON.stringify(failure)
  }::text::json, ${now} from gone
      on conflict (batch_id, idx) do nothing
    )
    select batch_id, sum(hi - lo)::int as calls from gone group by batch_id`;
}

async function askAllToCancel(
  sql: Sql,
  now: Date,
  leases: readonly number[],
): Promise<{ nodeId: string; calls: number }[]> {
  return await sql<{ nodeId: string; calls: number }[]>`
    with holding as materialized (
      select id, batch_id, lo, hi, node_id from lease where id = any(${leases as number[]}::bigint[]) and remaining > 0
    ),
    asked as (
      insert into cancellation (batch_id, idx, node_id, lease_id, requested_at)
      select holding.batch_id, place, holding.node_id, holding.id, ${now}
      from holding, generate_series(holding.lo, holding.hi - 1) as place
      where not exists (select from result where result.batch_id = holding.batch_id and result.idx = place)
        and not exists (select from attempt
          where attempt.batch_id = holding.batch_id and attempt.idx = place and attempt.lease_id = holding.id)
        and not exists (select from given_back where given_back.lease_id = holding.id and given_back.idx = place)
      on conflict (batch_id, idx) do nothing
      returning node_id
    )
    select node_id, count(*)::int as calls from asked group by node_id`;
}

/**
 * What a node is to cancel, until it has reported it. A report that had begun when the wish was noted does not see it; such a
 * wish is taken back here.
 */
export async function cancellationsOf(
  sql: Sql,
  nodeId: string,
): Promise<(readonly [lease: number, index: number])[]> {
  const rows = await sql<{ leaseId: number; idx: number }[]>`
    with wished as materialized ( -- cancellation_node
      select batch_id, idx, lease_id, requested_at,
        exists (select from result where result.batch_id = cancellation.batch_id and result.idx = cancellation.idx) as ended
      from cancellation where node_id = ${nodeId}
      order by requested_at limit 1000
    ),
    taken_back as (
      delete from cancellation using wished
      where ended and cancellation.batch_id = wished.batch_id and cancellation.idx = wished.idx
    )
    select lease_id, idx from wished where not ended order by requested_at`;
  return rows.map(({ leaseId, idx }) => [leaseId, idx] as const);
}
