/** Workspaces, their keys, and the tokens with which nodes join. */
import type { Scope } from "../../sdk/protocol.ts";
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

export interface NewJoinToken {
  readonly hash: string;
  readonly pool: string;
  readonly expiresAt: Date | null;
}

/** Keeps a token with which runners join a pool, unless it is there, and makes the pool when there is none of its name. */
export async function insertJoinToken(
  sql: Sql,
  now: Date,
  { hash, pool, expiresAt }: NewJoinToken,
): Promise<void> {
  await sql`
    with named as (
      insert into pool (name, provider, created_at)
      values (${pool}, 'local', ${now})
      on conflict do nothing
    )
    insert into join_token (hash, pool, created_at, expires_at)
    values (${hash}, ${pool}, ${now}, ${expiresAt})
    on conflict (hash) do nothing`;
}
