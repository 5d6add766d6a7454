/** What runners keep of containers that failed. They say what there is, and hear what nobody wants any more. */
import type { KeptContainer } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** Notes what the runner of a node keeps; of what it does not name, nothing is left. */
export async function noteKept(
  sql: Sql,
  now: Date,
  nodeId: string,
  kept: readonly KeptContainer[],
): Promise<void> {
  const said = kept.map(({ id, leftMs }) => ({ id, until: new Date(now.getTime() + leftMs) }));
  await sql`
    update container set kept_until = there.until
    from (
      select c.id, case when said.until is not null then coalesce(c.kept_until, said.until) end as until
      from container c                             -- by primary key, or by index container_kept
        left join json_to_recordset(${
    JSON.stringify(said)
  }::text::json) as said(id text, until timestamptz) using (id)
      where c.node_id = ${nodeId} and c.exited_at is not null
        and (c.id = any(${said.map(({ id }) => id)}) or c.kept_until is not null)
    ) there
    where container.id = there.id
      and (container.kept_until is null) is distinct from (there.until is null)`;
}

/** Those of a node of which nothing more is to be kept. */
export async function discarded(sql: Sql, nodeId: string): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from container
    where node_id = ${nodeId} and kept_until is not null and discarded_at is not null  -- by index container_kept
    order by id`;
  return rows.map(({ id }) => id);
}

/** Wants nothing more kept of a container; its node, or undefined when there is nothing. In a transaction. */
export async function discard(
  sql: Sql,
  now: Date,
  { workspace, id }: { workspace: string; id: string },
): Promise<string | undefined> {
  // The node's row goes first, as everywhere; its new revision is what makes a parked sync answer.
  const [node] = await sql<{ id: string }[]>`
    update node set revision = revision + 1
    from container c
    join function f on f.id = c.function_id
    join app a on a.id = f.app_id
    where c.id = ${id} and a.workspace_id = ${workspace} and node.id = c.node_id and c.kept_until is not null
    returning node.id`;
  if (node === undefined) return undefined;
  await sql`update container set discarded_at = coalesce(discarded_at, ${now}) where id = ${id}`;
  return node.id;
}
