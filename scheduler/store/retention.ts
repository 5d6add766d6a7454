/**
 * What has ended long enough ago goes: calls by their batch, and what containers without calls have printed. A batch is first taken out
 * of sight, at once, then cleared away bit by bit. One that an artifact names as its maker stays.
 */
import { afterReads } from "./blobs.ts";
import type { Sql } from "./connect.ts";
import { dropValues } from "./values.ts";

/** How far a round has come through the batches, from the oldest on. */
export interface Retired {
  /** To go on after; null: it has come to those that are too young. */
  readonly after: number | null;
  readonly batches: number;
}

/**
 * Takes batches out of sight that were made before `before` and in which nothing has happened since, among the next `limit` or as many as
 * have `calls` calls. All of a batch has ended when none of it waits and none is leased.
 */
export async function retireBatches(
  sql: Sql,
  { before, after, limit, calls }: {
    readonly before: Date;
    readonly after: number;
    readonly limit: number;
    readonly calls: number;
  },
): Promise<Retired> {
  const [row] = await sql<{ last: number | null; more: boolean; batches: number }[]>`
    with next as materialized (
      select id, sum(size) over (order by id) - size as calls_before
      from (
        select id, size from batch where id > ${after} and created_at < ${before} order by id limit ${limit}
      ) b
    ),
    old as materialized (select id from next where calls_before < ${calls}),
    over as materialized (
      select id from old
      where not exists (select from ready where batch_id = old.id)
        and not exists (select from lease where batch_id = old.id and remaining > 0) -- lease_batch
        and not exists (select from artifact where batch_id = old.id) -- artifact_batch
        and not exists (select from result where batch_id = old.id and ended_at >= ${before})
    ),
    gone as (delete from batch using over where batch.id = over.id returning batch.id),
    noted as (insert into retired (batch_id) select id from gone)
    select (select max(id) from old) as last, (select count(*)::int from gone) as batches,
      count(*) = ${limit} or count(*) > (select count(*) from old) as more
    from next`;
  const { last, more, batches } = row!;
  return { after: more ? last : null, batches };
}

/** What hangs on a batch, and may be a lot. */
const ROWS = ["log", "event", "call", "result", "attempt", "cancellation"] as const;

/**
 * Clears away what hangs on retired batches, at most `limit` rows of a kind. Call it inside a transaction.
 *
 * @returns whether there may be more
 */
export async function clearRetired(tx: Sql, now: Date, limit: number): Promise<boolean> {
  const rows = await tx<{ batchId: number }[]>`
    select batch_id from retired order by batch_id limit 100 for update skip locked`;
  const batches = rows.map(({ batchId }) => batchId);
  if (batches.length === 0) return false;
  for (const table of ROWS) {
    const { count } = await tx`
      delete from ${tx(table)} where ctid = any(array(
        select ctid from ${tx(table)} where batch_id = any(${batches}::bigint[]) limit ${limit}))`;
    if (count === limit) return true;
  }
  if (await clearLeases(tx, batches, limit)) return true;
  await dropCheckpoints(tx, now, batches);
  await dropValues(tx, now, batches);
  await tx`delete from retired where batch_id = any(${batches}::bigint[])`;
  return true;
}

async function clearLeases(tx: Sql, batches: readonly number[], limit: number): Promise<boolean> {
  const leases = await tx<{ id: number }[]>`
    select id from lease where batch_id = any(${batches as number[]}::bigint[]) limit ${limit}`;
  const ids = leases.map(({ id }) => id);
  await tx`delete from part where lease_id = any(${ids}::bigint[])`;
  await tx`delete from given_back where lease_id = any(${ids}::bigint[])`;
  await tx`delete from lease where id = any(${ids}::bigint[])`;
  return ids.length === limit;
}

/** Those that are shared by name are the app's, whoever has saved them. */
async function dropCheckpoints(tx: Sql, now: Date, batches: readonly number[]): Promise<void> {
  await tx`
    with gone as (
      delete from checkpoint where batch_id = any(${batches as number[]}::bigint[]) and name is null -- checkpoint_batch
      returning blob
    )
    update blob set state = 'released', due_at = ${afterReads(now)} from gone where key = gone.blob`;
}

/** Forgets lines of containers without calls that were written before `before`, at most `limit`; returns how many. */
export async function clearContainerLogs(
  sql: Sql,
  { before, limit }: { readonly before: Date; readonly limit: number },
): Promise<number> {
  const { count } = await sql`
    delete from container_log where ctid = any(array(
      select ctid from container_log where at < ${before} limit ${limit}))  -- container_log_at`;
  return count;
}
