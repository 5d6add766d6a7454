/**
 * How containers end. Their share of the node goes back exactly once, with the row that says so, and what they had leased is
 * queued again. Locks are taken in one order everywhere: node, container, gpu, lease, ready.
 */
import type { Exit } from "../../sdk/protocol.ts";
import { containerMachine, sources } from "../states.ts";
import { openLeasesOf, openLeasesOn } from "./calls.ts";
import type { Sql } from "./connect.ts";
import { loseGiven } from "./parts.ts";
import { NOTHING, type Touched, union } from "./touched.ts";

/** A container that its runner saw exit. */
export interface ContainerExit {
  readonly id: string;
  readonly exit: Exit;
}

/**
 * Notes the exits that a node's runner reports; may be repeated. Call it inside a transaction.
 *
 * @param heldLeases leases of which the runner has calls to report yet: they stay open, since only it knows how the calls ended
 */
export async function containersExited(
  sql: Sql,
  now: Date,
  { nodeId, exits, heldLeases }: {
    nodeId: string;
    exits: readonly ContainerExit[];
    heldLeases: readonly number[];
  },
): Promise<Touched> {
  if (exits.length === 0) return NOTHING;
  const ended = await end(sql, now, "exit", exits, nodeId);
  const ids = exits.map((one) => one.id);
  const leases = (await openLeasesOf(sql, ids)).filter((lease) => !heldLeases.includes(lease));
  return union(ended, await lose(sql, now, leases, "The container ended before it reported the call"));
}

/** Gives up containers whose node or session is gone, with all that they had. Call it inside a transaction. */
export async function containersLost(
  sql: Sql,
  now: Date,
  ids: readonly string[],
  message: string,
): Promise<Touched> {
  if (ids.length === 0) return NOTHING;
  const exit: Exit = { kind: "node_lost", message };
  const ended = await end(sql, now, "lose", ids.map((id) => ({ id, exit })), null);
  return union(ended, await lose(sql, now, await openLeasesOf(sql, ids), message));
}

/**
 * Gives up all that nodes had which are gone: their live containers, and the calls of containers that have ended, of which their
 * runner has yet to say how. Call it inside a transaction that has locked the nodes.
 */
export async function nodesLost(
  sql: Sql,
  now: Date,
  nodeIds: readonly string[],
  message: string,
): Promise<Touched> {
  if (nodeIds.length === 0) return NOTHING;
  const alive = await sql<{ id: string }[]>`
    select id from container where node_id = any(${nodeIds as string[]}) and exited_at is null -- container_node
    order by id`;
  const lost = await containersLost(sql, now, alive.map(({ id }) => id), message);
  return union(lost, await lose(sql, now, await openLeasesOn(sql, nodeIds), message));
}

/** Live containers of a node that an earlier session of its runner had. */
export async function containersOfOtherSessions(
  sql: Sql,
  nodeId: string,
  session: string,
): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from container
    where node_id = ${nodeId} and exited_at is null and session <> ${session} -- container_node
    order by id`;
  return rows.map((row) => row.id);
}

const lose = (sql: Sql, now: Date, given: readonly number[], message: string): Promise<Touched> =>
  loseGiven(sql, now, given, { kind: "node_lost", message, retryable: true });

/** Locks nodes before anything that hangs on them. */
export async function lockNodesOf(sql: Sql, containerIds: readonly string[]): Promise<void> {
  await sql`
    select from node
    where id in (select node_id from container where id = any(${containerIds as string[]}))
    order by id for no key update`;
}

/** @param nodeId of the runner that reports; null when the scheduler decides */
async function end(
  sql: Sql,
  now: Date,
  event: "exit" | "lose",
  exits: readonly ContainerExit[],
  nodeId: string | null,
): Promise<Touched> {
  await lockNodesOf(sql, exits.map((one) => one.id));
  const rows = await sql<{ id: string; nodeId: string }[]>`
    with report as (
      select * from json_to_recordset(${JSON.stringify(exits)}::text::json) as r(id text, exit json)
    ),
    ended as (
      update container set observed = ${
    event === "exit" ? "exited" : "lost"
  }, exited_at = ${now}, exit = report.exit
      from report
      where container.id = report.id and observed = any(${sources(containerMachine, event)})
        and (${nodeId}::text is null or node_id = ${nodeId})
      returning container.id, node_id, gpus, cpu_milli, memory_mib, disk_mib
    ),
    gpus_back as (
      update gpu set milli_free = milli_free + back.milli
      from (
        select node_id, (share->>'index')::int as index, sum((share->>'milli')::int)::int as milli
        from ended, json_array_elements(gpus) share
        group by 1, 2
      ) back
      where gpu.node_id = back.node_id and gpu.index = back.index
    ),
    nodes_back as (
      update node set cpu_milli_free = cpu_milli_free + back.cpu, memory_mib_free = memory_mib_free + back.memory,
        disk_mib_free = disk_mib_free + back.disk, emptied_at = ${now}, revision = revision + 1
      from (
        select node_id, sum(cpu_milli)::int as cpu, sum(memory_mib)::int as memory, sum(disk_mib)::int as disk from ended group by node_id
      ) back
      where node.id = back.node_id
    )
    select id, node_id from ended`;
  return { ...NOTHING, nodeIds: [...new Set(rows.map((row) => row.nodeId))], containers: rows.length };
}
