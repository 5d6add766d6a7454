/** Workspaces, their keys, and the tokens with which nodes join. */
import type { ApiKey, Scope } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** Makes a workspace, unless there is one of this id. */
export async function ensureWorkspace(sql: Sql, now: Date, id: string): Promise<void> {
  await sql`
    insert into workspace (id, name, created_at)
    values (${id}, ${id}, ${now})
    on conflict do nothing`;
}

/** What a key may do, by its hash. */
export async function findKey(
  sql: Sql,
  hash: string,
): Promise<{ workspace: string; scope: Scope } | undefined> {
  const [row] = await sql<{ workspace: string; scope: Scope }[]>`
    select workspace_id as workspace, scope
    from api_key
    where hash = ${hash} and revoked_at is null`;
  return row;
}

export interface NewKey {
  readonly id: string;
  readonly workspace: string;
  readonly name: string;
  readonly hash: string;
  readonly scope: Scope;
}

/** Keeps a key, unless it is there. */
export async function insertKey(
  sql: Sql,
  now: Date,
  { id, workspace, name, hash, scope }: NewKey,
): Promise<void> {
  await sql`
    insert into api_key (id, workspace_id, name, hash, scope, created_at)
    values (${id}, ${workspace}, ${name}, ${hash}, ${scope}, ${now})
    on conflict (hash) do nothing`;
}

/** Revokes the keys of a workspace that bear this name; returns how many. */
export async function revokeKeys(
  sql: Sql,
  now: Date,
  { workspace, name }: { workspace: string; name: string },
): Promise<number> {
  const { count } = await sql`
    update api_key set revoked_at = ${now}
    where workspace_id = ${workspace} and name = ${name} and revoked_at is null`;
  return count;
}

interface KeyFilter {
  readonly workspace: string;
  readonly id?: string | undefined;
  /** Also those that were revoked. */
  readonly revoked?: boolean | undefined;
  /** The last key of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Keys of a workspace, newest first: their ids are in the order of time. */
export async function listKeys(
  sql: Sql,
  { workspace, id, revoked = false, after, limit }: KeyFilter,
): Promise<ApiKey[]> {
  const rows = await sql<KeyRow[]>`
    select id, name, scope, created_at, revoked_at from api_key
    where workspace_id = ${workspace}
      ${id === undefined ? sql`` : sql`and id = ${id}`}
      ${revoked ? sql`` : sql`and revoked_at is null`}
      ${after === undefined ? sql`` : sql`and id < ${after}`}
    order by id desc
    limit ${limit}`;
  return rows.map(({ createdAt, revokedAt, ...row }) => ({
    ...row,
    createdAt: createdAt.toISOString(),
    revokedAt: revokedAt?.toISOString() ?? null,
  }));
}

interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly scope: Scope;
  readonly createdAt: Date;
  readonly revokedAt: Date | null;
}

/** Revokes one key; one that was revoked stays so. Returns the key, if there is one of this id. */
export async function revokeKey(
  sql: Sql,
  now: Date,
  { workspace, id }: { readonly workspace: string; readonly id: string },
): Promise<ApiKey | undefined> {
  await sql`
    update api_key set revoked_at = ${now}
    where workspace_id = ${workspace} and id = ${id} and revoked_at is null`;
  return (await listKeys(sql, { workspace, id, revoked: true, limit: 1 }))[0];
}

export interface NewJoinToken {
  readonly hash: string;
  readonly pool: string;
  readonly expiresAt: Date | null;
  /** The provision that the node will be of, if any. */
  readonly provision?: string;
}

/** Void tokens are remembered for a while, to tell who comes with one what is wrong with it. */
const VOID_MS = 24 * 3_600_000;

/** Keeps a token with which runners join a pool, unless it is there, and makes the pool when there is none of its name. */
export async function insertJoinToken(
  sql: Sql,
  now: Date,
  { hash, pool, expiresAt, provision }: NewJoinToken,
): Promise<void> {
  await sql`delete from join_token where expires_at < ${new Date(now.getTime() - VOID_MS)}`;
  await sql`
    with named as (
      insert into pool (name, provider, created_at)
      values (${pool}, 'local', ${now})
      on conflict (name) do update set state = 'active' where pool.state = 'deleted'
    )
    insert into join_token (hash, pool, created_at, expires_at, provision_id)
    values (${hash}, ${pool}, ${now}, ${expiresAt}, ${provision ?? null})
    on conflict (hash) do nothing`;
}
