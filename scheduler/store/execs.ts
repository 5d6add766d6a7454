/** Commands that runners are to run inside containers, for as long as their clients are there. */
import { type ExecCommand, LIMITS, type WantedExec } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

export interface NewExec extends ExecCommand {
  readonly id: string;
  readonly container: string;
  readonly workspace: string;
}

/** Wants a command to be run; the node whose runner is to do it, or why nobody can. In a transaction: it counts under a lock. */
export async function insertExec(
  sql: Sql,
  now: Date,
  { id, container, workspace, command, tty }: NewExec,
): Promise<{ node: string } | "gone" | "too many"> {
  // The node's row goes first, as everywhere; its new revision is what makes a parked sync answer.
  const [node] = await sql<{ id: string }[]>`
    update node set revision = revision + 1
    from container c
    join function f on f.id = c.function_id
    join app a on a.id = f.app_id
    where c.id = ${container} and a.workspace_id = ${workspace} and node.id = c.node_id
    returning node.id`;
  const [there] = await sql`
    select from container
    where id = ${container} and (exited_at is null or kept_until is not null and discarded_at is null)
    for update`;
  if (node === undefined || there === undefined) return "gone";
  const [{ execs }] = await sql<[{ execs: number }]>`
    select count(*)::int as execs from exec where container_id = ${container} and expires_at > ${now}`;
  if (execs >= LIMITS.execsPerContainer) return "too many";
  const expiresAt = new Date(now.getTime() + LIMITS.execSeconds * 1_000);
  const what = JSON.stringify({ command, ...(tty === undefined ? {} : { tty }) });
  await sql`
    insert into exec (id, container_id, node_id, command, expires_at)
    values (${id}, ${container}, ${node.id}, ${what}::text::json, ${expiresAt})`;
  return { node: node.id };
}

/** It is over. */
export async function deleteExec(sql: Sql, now: Date, id: string): Promise<void> {
  await sql`delete from exec where id = ${id} or expires_at <= ${now}`;
}

/** What the runner of a node is to run. */
export async function wantedExecs(sql: Sql, now: Date, nodeId: string): Promise<WantedExec[]> {
  const rows = await sql<{ id: string; container: string; command: ExecCommand }[]>`
    select id, container_id as container, command
    from exec
    where node_id = ${nodeId} and expires_at > ${now}    -- by index exec_node
    order by id`;
  return rows.map(({ command, ...row }) => ({ ...row, ...command }));
}
