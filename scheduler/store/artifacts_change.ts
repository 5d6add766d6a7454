/**
 * Artifacts as they come and go. Every statement that changes something of a name has locked its row first, so that versions count
 * without gaps, the same bytes make one version, and an alias moves from where it was seen.
 */
import type { PublishedArtifact } from "../../sdk/protocol.ts";
import { discardBlob, keepBlob, releaseBlob } from "./blobs.ts";
import { openLease } from "./checkpoints.ts";
import type { Sql } from "./connect.ts";

/** Who publishes: a call under an open lease of a node. */
export interface Publisher {
  readonly node: string;
  readonly lease: number;
  readonly index: number;
}

/** Which bytes, of whom. */
export interface ArtifactBytes {
  readonly workspace: string;
  readonly digest: string;
}

export interface Publication extends ArtifactBytes {
  readonly name: string;
  readonly size: number;
  /** The blob in which they were uploaded; null: the workspace has them. */
  readonly blob: string | null;
  /** Null: uploaded. */
  readonly by: Publisher | null;
}

/** A published version, or why there is none: the lease is over, or the bytes are not there (any more). */
export type Published =
  | { readonly version: PublishedArtifact; readonly created: boolean; readonly batch: number | null }
  | "superseded"
  | "no bytes";

/**
 * Gives stored bytes the next version of a name, unless the newest has them already: a repeated attempt makes no second one. Only
 * an open lease publishes, as it does checkpoints. Call it inside a transaction, and roll that back when nothing was published.
 */
export async function publishArtifact(
  tx: Sql,
  now: Date,
  { name, by, ...bytes }: Publication,
): Promise<Published> {
  const { workspace, digest } = bytes;
  const last = await lockName(tx, workspace, name);
  const size = await lockBytes(tx, now, bytes);
  if (size === null) return "no bytes";
  const maker = by === null ? UPLOADED : await makerOf(tx, by);
  if (maker === null) return "superseded";
  const newest = await newestOf(tx, workspace, name);
  const created = newest?.digest !== digest;
  const version = created ? last + 1 : newest.version;
  if (created) await insertVersion(tx, now, { workspace, name, version, digest, maker });
  const published = { name, version, digest, size };
  if (by !== null) await tell(tx, now, published, { workspace, maker });
  return { version: published, created, batch: maker.batchId };
}

/** How a move of an alias came out; `current` is where it points now. */
export interface Moved {
  readonly moved: boolean;
  readonly current: number | null;
}

/** Points an alias at a version. `from`: only if it points there (null: nowhere). Null: there is no such version. Needs a transaction. */
export async function moveAlias(
  tx: Sql,
  now: Date,
  { workspace, name, alias, version, from }: {
    workspace: string;
    name: string;
    alias: string;
    version: number;
    from?: number | null | undefined;
  },
): Promise<Moved | null> {
  await lockIfThere(tx, workspace, name);
  const there = await tx`
    select from artifact where workspace_id = ${workspace} and name = ${name} and version = ${version}`;
  if (there.length === 0) return null;
  const [row] = await tx<{ version: number }[]>`
    select version from artifact_alias where workspace_id = ${workspace} and name = ${name} and alias = ${alias}`;
  const current = row?.version ?? null;
  if (from !== undefined && from !== current) return { moved: false, current };
  await tx`
    insert into artifact_alias (workspace_id, name, alias, version, moved_at)
    values (${workspace}, ${name}, ${alias}, ${version}, ${now})
    on conflict (workspace_id, name, alias) do update set version = excluded.version, moved_at = excluded.moved_at`;
  return { moved: true, current: version };
}

/** Removes an alias; undefined when there is none, else the version it pointed at. */
export async function deleteAlias(
  sql: Sql,
  { workspace, name, alias }: { workspace: string; name: string; alias: string },
): Promise<number | undefined> {
  const [row] = await sql<{ version: number }[]>`
    delete from artifact_alias where workspace_id = ${workspace} and name = ${name} and alias = ${alias}
    returning version`;
  return row?.version;
}

/**
 * Deletes a version unless aliases point at it, which are then answered; and lets go of its bytes when no other version has them. The
 * number is not given again. Call it inside a transaction.
 */
export async function deleteArtifact(
  tx: Sql,
  now: Date,
  { workspace, name, version }: { workspace: string; name: string; version: number },
): Promise<{ readonly deleted: PublishedArtifact } | { readonly aliases: readonly string[] } | undefined> {
  await lockIfThere(tx, workspace, name);
  const aliases = await tx<{ alias: string }[]>`
    select alias from artifact_alias where workspace_id = ${workspace} and name = ${name} and version = ${version}
    order by alias`;
  if (aliases.length > 0) return { aliases: aliases.map(({ alias }) => alias) };
  const [row] = await tx<{ digest: string; size: number }[]>`
    delete from artifact a using artifact_blob b
    where a.workspace_id = ${workspace} and a.name = ${name} and a.version = ${version}
      and b.workspace_id = a.workspace_id and b.digest = a.digest
    returning a.digest, b.size`;
  if (row === undefined) return undefined;
  await dropUnused(tx, now, { workspace, digest: row.digest });
  return { deleted: { name, version, ...row } };
}

/** Lets go of bytes that no version has. Whoever publishes them meanwhile waits, and finds them gone. */
async function dropUnused(tx: Sql, now: Date, { workspace, digest }: ArtifactBytes): Promise<void> {
  await tx`select from artifact_blob where workspace_id = ${workspace} and digest = ${digest} for update`;
  const [unused] = await tx<{ blob: string }[]>`
    delete from artifact_blob b
    where workspace_id = ${workspace} and digest = ${digest}
      and not exists (select from artifact a where a.workspace_id = b.workspace_id and a.digest = b.digest)
    returning blob`;
  if (unused !== undefined) await releaseBlob(tx, now, unused.blob);
}

/** Workspace of the call that a lease is open for; undefined when it is over. */
export async function workspaceOfLease(sql: Sql, by: Publisher): Promise<string | undefined> {
  const [row] = await sql<{ workspace: string }[]>`
    with maker as (${openLease(sql, by)})
    select b.workspace_id as workspace from maker m join batch b on b.id = m.batch_id`;
  return row?.workspace;
}

interface Maker {
  readonly batchId: number | null;
  readonly idx: number | null;
  readonly attempt: number | null;
  readonly app: string | null;
  readonly function: string | null;
  readonly leaseId: number | null;
}
const UPLOADED: Maker = { batchId: null, idx: null, attempt: null, app: null, function: null, leaseId: null };

/** The call of an open lease, which stays so until the transaction ends: an end of the lease changes its row. */
async function makerOf(tx: Sql, by: Publisher): Promise<Maker | null> {
  const [row] = await tx<Maker[]>`
    with maker as (${openLease(tx, by)} for share of l)
    select m.lease_id, m.batch_id, ${by.index}::int as idx, m.attempt, a.name as app, b.method as function
    from maker m
    join batch b on b.id = m.batch_id
    join app a on a.id = m.app_id`;
  return row ?? null;
}

async function lockName(tx: Sql, workspace: string, name: string): Promise<number> {
  const [row] = await tx<{ lastVersion: number }[]>`
    insert into artifact_name as n (workspace_id, name, last_version) values (${workspace}, ${name}, 0)
    on conflict (workspace_id, name) do update set last_version = n.last_version
    returning last_version`;
  return row!.lastVersion;
}

/** Before anything of the name is read: what another transaction did to it is then seen whole. */
async function lockIfThere(tx: Sql, workspace: string, name: string): Promise<void> {
  await tx`select from artifact_name where workspace_id = ${workspace} and name = ${name} for update`;
}

/**
 * Makes sure of bytes until the transaction ends; answers their size, or null when there are none. Those of a workspace lie in one
 * blob: what was uploaded beside it is let go.
 */
async function lockBytes(
  tx: Sql,
  now: Date,
  { workspace, digest, size, blob }: Omit<Publication, "name" | "by">,
): Promise<number | null> {
  for (;;) {
    if (blob !== null) {
      const { count } = await tx`
        insert into artifact_blob (workspace_id, digest, size, blob) values (${workspace}, ${digest}, ${size}, ${blob})
        on conflict do nothing`;
      if (count > 0) return await keepBlob(tx, blob) ? size : null;
    }
    const [there] = await tx<{ size: number; blob: string }[]>`
      select size, blob from artifact_blob where workspace_id = ${workspace} and digest = ${digest} for update`;
    if (there === undefined && blob !== null) continue; // it was deleted between the two
    if (there === undefined) return null;
    if (blob !== null && blob !== there.blob) await discardBlob(tx, now, blob);
    return there.size;
  }
}

async function newestOf(tx: Sql, workspace: string, name: string) {
  const [row] = await tx<{ version: number; digest: string }[]>`
    select version, digest from artifact
    where workspace_id = ${workspace} and name = ${name}
    order by version desc
    limit 1`;
  return row;
}

async function insertVersion(
  tx: Sql,
  now: Date,
  { workspace, name, version, digest, maker }: ArtifactBytes & {
    name: string;
    version: number;
    maker: Maker;
  },
): Promise<void> {
  const { batchId, idx, attempt, app, function: fn } = maker;
  await tx`
    insert into artifact (workspace_id, name, version, digest, batch_id, idx, attempt, app, function, created_at)
    values (${workspace}, ${name}, ${version}, ${digest}, ${batchId}, ${idx}, ${attempt}, ${app}, ${fn}, ${now})`;
  await tx`update artifact_name set last_version = ${version} where workspace_id = ${workspace} and name = ${name}`;
}

/** The runner counts events of its own from zero, and checkpoints count down from there: these are far below both. */
async function tell(
  tx: Sql,
  now: Date,
  { name, version, digest, size }: PublishedArtifact,
  { workspace, maker }: { workspace: string; maker: Maker },
): Promise<void> {
  const { batchId, idx, leaseId, attempt } = maker;
  await tx`
    insert into event (batch_id, idx, lease_id, n, attempt, at, kind, data)
    select ${batchId}, ${idx}, ${leaseId}, -(1::bigint << 60) - id, ${attempt}, ${now}, 'artifact',
      ${JSON.stringify({ name, version, digest, size })}::text::json
    from artifact where workspace_id = ${workspace} and name = ${name} and version = ${version}
    on conflict do nothing`;
}
