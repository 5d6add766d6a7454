/** What operators change of nodes and their GPUs. */
import { nodeMachine, sources } from "../states.ts";
import type { Sql } from "./connect.ts";

/** Nothing new is placed on a cordoned node. */
export async function cordonNode(sql: Sql, id: string, cordoned: boolean): Promise<void> {
  await sql`update node set cordoned = ${cordoned} where id = ${id}`;
}

/** Lets a node drain, or be used again. It may be so already. */
export async function moveNode(sql: Sql, id: string, event: "drain" | "resume"): Promise<void> {
  const to = event === "drain" ? nodeMachine.up.drain : nodeMachine.draining.resume;
  await sql`
    update node set state = ${to}, revision = revision + 1
    where id = ${id} and state = any(${sources(nodeMachine, event)})`;
}

/** Forgets a node that is lost; false when it is not. Should its runner come back, so does the node. */
export async function forgetNode(sql: Sql, id: string): Promise<boolean> {
  const { count } =
    await sql`update node set state = ${nodeMachine.lost.leave} where id = ${id} and state in ('lost', 'left')`;
  return count > 0;
}

/** Takes a GPU out of service, with the reason, or puts it back with null; false when the node has none of this index. */
export async function takeGpuOut(
  sql: Sql,
  { node, index, reason }: { node: string; index: number; reason: string | null },
): Promise<boolean> {
  const { count } =
    await sql`update gpu set taken_out = ${reason} where node_id = ${node} and index = ${index}`;
  return count > 0;
}
