/** Commands that runners are to run inside containers, and transfers of volumes, for as long as their clients are there. */
import { type ExecCommand, LIMITS, type VolumeFolder, type WantedExec } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

export interface NewExec extends ExecCommand {
  readonly id: string;
  readonly container: string;
  readonly workspace: string;
}

/** Wants a command to be run; the node whose runner is to do it, or the end of a sentence on why nobody can. In a transaction: it counts under a lock. */
export async function insertExec(
  sql: Sql,
  now: Date,
  { id, container, workspace, command, tty }: NewExec,
): Promise<{ node: string } | { refused: string }> {
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
  if (node === undefined || there === undefined) return { refused: "the container has ended" };
  const [{ execs }] = await sql<[{ execs: number }]>`
    select count(*)::int as execs from exec where container_id = ${container} and expires_at > ${now}`;
  if (execs >= LIMITS.execsPerContainer) {
    return { refused: `there are ${LIMITS.execsPerContainer} commands in this container already` };
  }
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
  const rows = await sql<WantedRow[]>`
    select exec.id, exec.container_id as container, exec.command,
      case when volume.id is not null then json_build_object('id', volume.id, 'storage', volume.storage) end as volume
    from exec left join volume on volume.id = exec.volume_id
    where exec.node_id = ${nodeId} and exec.expires_at > ${now}    -- by index exec_node
    order by exec.id`;
  return rows.map(({ id, container, volume, command }) => ({
    id,
    ...command,
    ...(container === null ? {} : { container }),
    ...(volume === null ? {} : { volume }),
  }));
}

interface WantedRow {
  readonly id: string;
  readonly container: string | null;
  readonly volume: VolumeFolder | null;
  readonly command: ExecCommand;
}
