/** Checkpoints: bytes that a call saved to go on from. The row is the commit; the bytes lie in a blob made before it. */
import { afterReads } from "./blobs.ts";
import type { Sql } from "./connect.ts";
import { isPart } from "./parts.ts";

/** Which call of which lease speaks, and of which of its checkpoints. */
export interface CheckpointOf {
  readonly node: string;
  readonly lease: number;
  readonly index: number;
  /** Null: the call's own. Else shared, under this name, by the functions of the app. */
  readonly name: string | null;
}

/**
 * Commits a checkpoint, if the lease is still this node's and the call has not ended: another attempt may have begun
 * since, and its checkpoints are the newer truth. Null: refused. A blob is committed once, however often it is asked for. Those
 * that it takes the place of go; who has begun to read one has the time to end.
 */
export async function insertCheckpoint(
  sql: Sql,
  now: Date,
  { node, lease, index, name, blob, size }: CheckpointOf & { readonly blob: string; readonly size: number },
): Promise<{ id: number | null; batch: number } | null> {
  const [row] = await sql<{ id: number | null; batch: number }[]>`
    with saver as (${openLease(sql, { node, lease, index })}),
    known as (  -- the answer to an earlier request was lost; maybe a newer one has taken its place since
      select c.id, r.batch_id
      from saver r
      join blob on blob.key = ${blob} and blob.state in ('kept', 'released')
      left join checkpoint c on c.blob = blob.key and ${sameCheckpoint(sql, { index, name })}
    ),
    adopted as (
      update blob set state = 'kept', due_at = null from saver where key = ${blob} and state = 'announced'
      returning key
    ),
    saved as (
      insert into checkpoint (app_id, name, batch_id, idx, attempt, blob, size, created_at)
      select app_id, ${name}::text, batch_id, ${index}::int, attempt, ${blob}, ${size}::bigint, ${now}::timestamptz
      from saver, adopted
      returning id, batch_id, attempt
    ),
    superseded as (
      delete from checkpoint c using saver r, saved
      where ${sameCheckpoint(sql, { index, name })} and c.id < saved.id
      returning c.blob
    ),
    released as (
      update blob set state = 'released', due_at = ${
    afterReads(now)
  } from superseded where key = superseded.blob
    ),
    told as (  -- the runner counts its own events from zero, -1 is for the retry
      insert into event (batch_id, idx, lease_id, n, attempt, at, kind, data)
      select saved.batch_id, ${index}::int, saver.lease_id, -1 - id, saved.attempt, ${now}::timestamptz, 'checkpoint',
        json_build_object('id', id, 'size', ${size}::bigint)
      from saved, saver
    )
    select id, batch_id as batch from saved union all select id, batch_id from known`;
  return row ?? null;
}

/** Whether the lease is open for this call, and the blob of the checkpoint to go on from, if there is one. */
export async function latestCheckpoint(
  sql: Sql,
  asked: CheckpointOf,
): Promise<{ blob: string | null; size: number | null } | null> {
  const [row] = await sql<{ blob: string | null; size: number | null }[]>`
    with reader as (${openLease(sql, asked)})
    select c.blob, c.size
    from reader r
    left join lateral (
      select blob, size from checkpoint c
      where ${sameCheckpoint(sql, asked)}
      order by id desc
      limit 1
    ) c on true`;
  return row ?? null;
}

/** The newest checkpoint that the app of a live container shares under a name; null when there is no such container. */
export async function latestShared(
  sql: Sql,
  { node, container, name }: { readonly node: string; readonly container: string; readonly name: string },
): Promise<{ blob: string | null; size: number | null } | null> {
  const [row] = await sql<{ blob: string | null; size: number | null }[]>`
    select c.blob, c.size
    from container
    join function f on f.id = container.function_id
    left join lateral (
      select blob, size from checkpoint where name = ${name} and app_id = f.app_id order by id desc limit 1 -- checkpoint_name
    ) c on true
    where container.id = ${container} and container.node_id = ${node} and container.exited_at is null`;
  return row ?? null;
}

/** Of those that a call could mean, `r` being where it runs. */
const sameCheckpoint = (sql: Sql, { index, name }: Pick<CheckpointOf, "index" | "name">) =>
  name === null
    ? sql`c.name is null and c.batch_id = r.batch_id and c.idx = ${index}` // checkpoint_call
    : sql`c.name = ${name} and c.app_id = r.app_id`; // checkpoint_name

const leaseOf = (sql: Sql, lease: number) =>
  isPart(lease) ? sql`part p join lease l on l.id = p.lease_id` : sql`lease l`;

/** The lease, or that of which it is an open part: a call of a gang has one checkpoint, whichever rank saves it. */
export const openLease = (sql: Sql, { node, lease, index }: Omit<CheckpointOf, "name">) =>
  sql`
  select l.id as lease_id, l.batch_id, l.attempt, f.app_id
  from ${leaseOf(sql, lease)}
  join function f on f.id = l.function_id
  where ${
    isPart(lease)
      ? sql`p.id = ${lease} and p.node_id = ${node} and p.ended_at is null`
      : sql`l.id = ${lease} and l.node_id = ${node}`
  } and l.remaining > 0 and ${index} >= l.lo and ${index} < l.hi
    and not exists (select from result r where r.batch_id = l.batch_id and r.idx = ${index})
    and not exists (select from attempt a where a.batch_id = l.batch_id and a.idx = ${index} and a.attempt = l.attempt)`;
