/** Secrets as they are kept: sealed. This room has no key to them. */
import type { Secret, SecretRef } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

interface SecretKey {
  readonly workspace: string;
  readonly name: string;
}

interface SecretFilter {
  readonly workspace: string;
  readonly name?: string | undefined;
  /** The last name of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** The secrets of a workspace, by name, without what is sealed. */
export async function listSecrets(
  sql: Sql,
  { workspace, name, after = "", limit }: SecretFilter,
): Promise<Secret[]> {
  const rows = await sql<(Omit<Secret, "createdAt" | "updatedAt"> & { createdAt: Date; updatedAt: Date })[]>`
    select name, version, keys, created_at, updated_at from secret
    where workspace_id = ${workspace} and name > ${after}
      ${name === undefined ? sql`` : sql`and name = ${name}`}
    order by name
    limit ${limit}`;
  return rows.map(({ createdAt, updatedAt, ...row }) => ({
    ...row,
    createdAt: createdAt.toISOString(),
    updatedAt: updatedAt.toISOString(),
  }));
}

export async function findSecret(sql: Sql, { workspace, name }: SecretKey): Promise<Secret | undefined> {
  return (await listSecrets(sql, { workspace, name, limit: 1 }))[0];
}

/** What is sealed, and with what. */
export interface SealedRow extends SecretKey {
  readonly version: number;
  readonly sealed: Uint8Array;
  readonly dataKey: Uint8Array;
  readonly keyId: string;
}

/** A secret to be changed, locked until the transaction ends; undefined when there is none, and then nobody else makes it meanwhile. */
export async function lockSealed(sql: Sql, { workspace, name }: SecretKey): Promise<SealedRow | undefined> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`secret ${workspace} ${name}`}, 0))`;
  const [row] = await sql<SealedRow[]>`
    select workspace_id as workspace, name, version, sealed, data_key, key_id from secret
    where workspace_id = ${workspace} and name = ${name}
    for update`;
  return row;
}

/** Keeps a version of a secret in place of the one before. */
export async function putSealed(
  sql: Sql,
  now: Date,
  { workspace, name, version, sealed, dataKey, keyId, keys }: SealedRow & {
    readonly keys: readonly string[];
  },
): Promise<void> {
  await sql`
    insert into secret (workspace_id, name, version, revision, keys, sealed, data_key, key_id, created_at, updated_at)
    values (${workspace}, ${name}, ${version}, nextval('secret_revision'), ${keys as string[]}, ${sealed}, ${dataKey}, ${keyId},
      ${now}, ${now})
    on conflict (workspace_id, name) do update set version = excluded.version, revision = excluded.revision,
      keys = excluded.keys, sealed = excluded.sealed, data_key = excluded.data_key, key_id = excluded.key_id,
      updated_at = excluded.updated_at`;
}

/** Deletes a secret; false when there is none. */
export async function deleteSecret(sql: Sql, { workspace, name }: SecretKey): Promise<boolean> {
  const { count } = await sql`delete from secret where workspace_id = ${workspace} and name = ${name}`;
  return count > 0;
}

/** Deployed functions that name a secret, as `app/function`. */
export async function usersOfSecret(sql: Sql, { workspace, name }: SecretKey): Promise<string[]> {
  const rows = await sql<{ user: string }[]>`
    select app.name || '/' || function.name as user
    from app join function on function.app_id = app.id and function.removed_at is null
    where app.workspace_id = ${workspace} and app.deleted_at is null  -- app_live
      and (function.spec->'image'->>'secret' = ${name}
        or exists (select from json_array_elements(function.spec->'secrets') ref where ref->>'name' = ${name}))
    order by 1`;
  return rows.map((row) => row.user);
}

/** Those of `names` of which a workspace has a secret. */
export async function knownSecrets(
  sql: Sql,
  workspace: string,
  names: readonly string[],
): Promise<Set<string>> {
  if (names.length === 0) return new Set();
  const rows = await sql<{ name: string }[]>`
    select name from secret where workspace_id = ${workspace} and name = any(${names as string[]})`;
  return new Set(rows.map((row) => row.name));
}

/** Secrets that are sealed with another master key than this. */
export async function sealedOtherwise(sql: Sql, keyId: string, limit: number): Promise<SealedRow[]> {
  return await sql<SealedRow[]>`
    select workspace_id as workspace, name, version, sealed, data_key, key_id from secret
    where key_id <> ${keyId}
    order by workspace_id, name
    limit ${limit}
    for update skip locked`;
}

/** Puts the data key of the same version under another master key. */
export async function putDataKey(
  sql: Sql,
  { workspace, name, version, dataKey, keyId }: SealedRow,
): Promise<void> {
  await sql`
    update secret set data_key = ${dataKey}, key_id = ${keyId}
    where workspace_id = ${workspace} and name = ${name} and version = ${version}`;
}

/** A secret that a container is given, and how; null sealed: it was deleted. */
export interface Grant {
  readonly ref: SecretRef;
  readonly row: SealedRow | null;
}

/**
 * What a live container of a node is given: the secrets that its deployment names, in that order. Notes how new they are: once
 * newer ones are set, the container is replaced. Undefined: no such container lives on this node.
 */
export async function grantSecrets(
  sql: Sql,
  { node, container }: { readonly node: string; readonly container: string },
): Promise<Grant[] | undefined> {
  const rows = await sql<GrantRow[]>`
    with of as (
      select c.id, app.workspace_id,
        (select element.spec->'secrets' from json_array_elements(deployment.manifest->'functions') as element(spec)
         where element.spec->>'name' = function.name) as refs
      from container c
      join function on function.id = c.function_id
      join app on app.id = function.app_id
      join deployment on deployment.id = c.deployment_id
      where c.id = ${container} and c.node_id = ${node} and c.exited_at is null
    ),
    named as (
      select of.id, of.workspace_id, ref, place
      from of left join lateral json_array_elements(of.refs) with ordinality as r(ref, place) on true
    ),
    noted as (
      update container set secrets_revision = newest.revision
      from (
        select named.id, coalesce(max(secret.revision), 0) as revision
        from named left join secret on secret.workspace_id = named.workspace_id and secret.name = named.ref->>'name'
        group by named.id
      ) newest
      where container.id = newest.id and container.exited_at is null
    )
    select named.ref, secret.workspace_id as workspace, secret.name, secret.version, secret.sealed, secret.data_key, secret.key_id
    from named left join secret on secret.workspace_id = named.workspace_id and secret.name = named.ref->>'name'
    order by named.place`;
  if (rows.length === 0) return undefined;
  return rows.flatMap(({ ref, ...row }) =>
    ref === null ? [] : [{ ref, row: row.sealed === null ? null : row as SealedRow }]
  );
}

type GrantRow =
  & { readonly ref: SecretRef | null }
  & { readonly [K in keyof SealedRow]: SealedRow[K] | null };
