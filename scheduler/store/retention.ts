/**
 * What has ended long enough ago goes: calls by their batch, containers with what they have printed, deployments that others replaced.
 * A batch is first taken out of sight, at once, then cleared away bit by bit. One that an artifact names as its maker stays.
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

/** Leases that are looked at for the containers that they name: old ones are few, since most go with their calls. */
const LEASES_MAX = 50_000;

/**
 * Forgets containers that ended before `before`, at most `limit`; returns how many. What a call is shown to have cost, and by which
 * deployment, is told from its container: one that the lease of a call names stays with it.
 */
export async function clearContainers(
  sql: Sql,
  { before, limit }: { readonly before: Date; readonly limit: number },
): Promise<number> {
  const [row] = await sql<[{ containers: number }]>`
    with eldest as materialized (select container_id, leased_at from lease order by id limit ${LEASES_MAX}),
    known as materialized ( -- that these are all that are old enough
      select count(*) < ${LEASES_MAX} or max(leased_at) >= ${before} as all from eldest
    ),
    over as materialized (
      select id from container c
      where exited_at < ${before} and kept_until is null and (select "all" from known) -- container_ended
        and not exists (select from eldest where container_id = c.id)
        and not exists (select from container_log where container_id = c.id)
        and not exists (select from exec where container_id = c.id)
      order by exited_at limit ${limit} for update skip locked
    ),
    gone as (delete from container using over where container.id = over.id returning container.id, gang_id),
    disbanded as (
      delete from gang where id in (select gang_id from gone)
        and not exists (select from container c where c.gang_id = gang.id and c.id not in (select id from gone)) -- container_gang
    )
    select count(*)::int as containers from gone`;
  return row.containers;
}

/**
 * Retires deployments that another replaced before `before`, or whose app was deleted by then, and lets bundles go that no other
 * deployment has; at most `limit` of them, and as many rows that nothing names. Returns whether there may be more. Call it inside a
 * transaction.
 */
export async function retireDeployments(
  tx: Sql,
  now: Date,
  { before, limit }: { readonly before: Date; readonly limit: number },
): Promise<boolean> {
  const retired = await tx<{ workspace: string; digest: string }[]>`
    with over as (
      select d.id, app.workspace_id
      from deployment d join app on app.id = d.app_id
      where not d.retired -- deployment_serving
        and (app.deleted_at < ${before} or exists (
          select from deployment later
          where later.app_id = d.app_id and later.version > d.version and later.created_at < ${before}))
        and not exists (select from container c where c.deployment_id = d.id and c.exited_at is null) -- container_live
      limit ${limit} for update of d skip locked
    )
    update deployment set retired = true from over where deployment.id = over.id
    returning over.workspace_id as workspace, deployment.digest`;
  await releaseBundles(tx, now, retired);
  const { count } = await tx`
    delete from deployment where id in (
      select id from deployment d
      where retired and not exists (select from function where deployment_id = d.id) -- deployment_retired, function_deployment
      limit ${limit} for update skip locked)`;
  return retired.length === limit || count === limit;
}

/** Bundles that neither a deployment nor a build has any more. Whoever deploys one again changes its blob's row first, and is seen. */
async function releaseBundles(
  tx: Sql,
  now: Date,
  bundles: readonly { readonly workspace: string; readonly digest: string }[],
): Promise<void> {
  if (bundles.length === 0) return;
  const locked = await tx<{ key: string }[]>`
    select key from blob
    where state = 'kept' and key in (
      select blob from bundle join json_to_recordset(${
    JSON.stringify(bundles)
  }::text::json) as gone(workspace text, digest text) on workspace_id = gone.workspace and bundle.digest = gone.digest)
    order by key for update`;
  await tx`
    update blob set state = 'released', due_at = ${afterReads(now)}
    where key = any(${locked.map(({ key }) => key)}) and not exists (
      select from bundle b -- bundle_blob
      where b.blob = blob.key and (
        exists (
          select from deployment d join app on app.id = d.app_id
          where d.digest = b.digest and not d.retired and app.workspace_id = b.workspace_id) -- deployment_digest
        or exists (
          select from image
          where context = b.digest and workspace_id = b.workspace_id and state in ('queued', 'building')))) -- image_live`;
}
