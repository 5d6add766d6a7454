/**
 * Which bundles a workspace has uploaded, where they lie, and which a node needs. Bytes for which no deployment comes are swept, and
 * the bundle is forgotten with them.
 */
import type { Sql } from "./connect.ts";

export interface BundleKey {
  readonly workspace: string;
  readonly digest: string;
}

/** Size of an uploaded bundle, in bytes, which stays until `dueAt` at least: whoever asks is about to deploy it. */
export async function wantBundle(
  sql: Sql,
  { workspace, digest, dueAt }: BundleKey & { readonly dueAt: Date },
): Promise<number | undefined> {
  const [row] = await sql<{ size: number }[]>`
    with known as (select size, blob from bundle where workspace_id = ${workspace} and digest = ${digest}),
    wanted as (
      update blob set due_at = ${dueAt} from known
      where blob.key = known.blob and blob.state = 'announced'
      returning blob.key
    )
    select k.size from known k
    where exists (select from wanted) or exists (select from blob where key = k.blob and state = 'kept')`;
  return row?.size;
}

/** Says where a bundle lies. Of several that upload it at once, one is first. */
export async function insertBundle(
  sql: Sql,
  now: Date,
  { workspace, digest, size, blob }: BundleKey & { readonly size: number; readonly blob: string },
): Promise<void> {
  await sql`
    insert into bundle (workspace_id, digest, size, blob, created_at)
    values (${workspace}, ${digest}, ${size}, ${blob}, ${now})
    on conflict do nothing`;
}

/** Keeps an uploaded bundle for good; false when there is none. */
export async function keepBundle(sql: Sql, { workspace, digest }: BundleKey): Promise<boolean> {
  const { count } = await sql`
    update blob set state = 'kept', due_at = null from bundle b
    where b.workspace_id = ${workspace} and b.digest = ${digest} and blob.key = b.blob and blob.state <> 'going'`;
  return count > 0;
}

/** Where a bundle lies that a live container of this node runs: a runner gets no other. */
export async function bundleOfNode(
  sql: Sql,
  { node, digest }: { readonly node: string; readonly digest: string },
): Promise<string | undefined> {
  const [row] = await sql<{ blob: string }[]>`
    select b.blob
    from container c
    join deployment d on d.id = c.deployment_id
    join app on app.id = d.app_id
    join bundle b on b.workspace_id = app.workspace_id and b.digest = d.digest
    where c.node_id = ${node} and c.exited_at is null and d.digest = ${digest}  -- container_node
    order by b.blob limit 1 -- each workspace has the same bytes`;
  return row?.blob;
}
