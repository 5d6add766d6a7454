/** Which bundles a workspace has uploaded, and which a node needs. */
import type { Sql } from "./connect.ts";

export interface BundleKey {
  readonly workspace: string;
  readonly digest: string;
}

/** Size of an uploaded bundle, in bytes. */
export async function findBundle(sql: Sql, { workspace, digest }: BundleKey): Promise<number | undefined> {
  const [row] = await sql<{ size: number }[]>`
    select size from bundle where workspace_id = ${workspace} and digest = ${digest}`;
  return row?.size;
}

export async function insertBundle(
  sql: Sql,
  now: Date,
  { workspace, digest, size }: BundleKey & { size: number },
): Promise<void> {
  await sql`
    insert into bundle (workspace_id, digest, size, created_at)
    values (${workspace}, ${digest}, ${size}, ${now})
    on conflict do nothing`;
}

/** Whether a container of this node, live or ended, runs this bundle: a runner gets no other. */
export async function nodeRunsBundle(
  sql: Sql,
  { node, digest }: { node: string; digest: string },
): Promise<boolean> {
  const [row] = await sql<{ runs: boolean }[]>`
    select exists (
      select from container c
      join deployment d on d.id = c.deployment_id
      where c.node_id = ${node} and c.exited_at is null and d.digest = ${digest}  -- container_node
    ) as runs`;
  return row!.runs;
}
