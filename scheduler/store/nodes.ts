/** Nodes as their runners keep them: joining, the lease of a session, and what is wanted on them. */
import type { Assignment, Gpu, ObservedContainer } from "../../sdk/protocol.ts";
import { containerMachine, nodeMachine, type NodeState, sources } from "../states.ts";
import type { Sql } from "./connect.ts";

/** How long a node counts as up after it was last heard. */
export const NODE_LEASE_MS = 30_000;

export interface JoiningNode {
  readonly id: string;
  readonly name: string;
  readonly pool: string;
  readonly credentialHash: string;
  readonly session: string;
  readonly host: string;
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly gpus: readonly Gpu[];
}

/** The pool that a join token opens; null when it is unknown or has expired. */
export async function poolOfToken(sql: Sql, now: Date, hash: string): Promise<string | null> {
  const [row] = await sql<{ pool: string }[]>`
    select pool from join_token where hash = ${hash} and (expires_at is null or expires_at > ${now})`;
  return row?.pool ?? null;
}

/**
 * A runner's session begins: all capacity is free. Call it inside a transaction, once the containers of the node's earlier
 * sessions are lost.
 */
export async function join(sql: Sql, now: Date, node: JoiningNode): Promise<void> {
  const until = new Date(now.getTime() + NODE_LEASE_MS);
  await sql`
    insert into node (id, name, pool, credential_hash, session, host, state, cpu_milli, memory_mib, cpu_milli_free,
      memory_mib_free, joined_at, seen_at, lease_until)
    values (${node.id}, ${node.name}, ${node.pool}, ${node.credentialHash}, ${node.session}, ${node.host}, 'up',
      ${node.cpuMilli}, ${node.memoryMiB}, ${node.cpuMilli}, ${node.memoryMiB}, ${now}, ${now}, ${until})
    on conflict (id) do update set
      name = excluded.name, pool = excluded.pool, session = excluded.session, host = excluded.host,
      state = case when node.state = 'draining' then 'draining' else 'up' end,
      cpu_milli = excluded.cpu_milli, memory_mib = excluded.memory_mib, cpu_milli_free = excluded.cpu_milli_free,
      memory_mib_free = excluded.memory_mib_free, revision = node.revision + 1, joined_at = excluded.joined_at,
      seen_at = excluded.seen_at, lease_until = excluded.lease_until`;
  await sql`delete from gpu where node_id = ${node.id}`;
  await sql`
    insert into gpu (node_id, index, model, vram_mib, uuid, simulated)
    select ${node.id}, g.index, g.model, g."vramMiB", g.uuid, g.simulated
    from json_to_recordset(${JSON.stringify(node.gpus)}::text::json)
      as g(index int, model text, "vramMiB" int, uuid text, simulated boolean)`;
}

/** The id of the node with this credential. */
export async function nodeOfCredential(sql: Sql, hash: string): Promise<string | null> {
  const [row] = await sql<{ id: string }[]>`select id from node where credential_hash = ${hash}`;
  return row?.id ?? null;
}

/** Prolongs the session's lease; null when the session is over, since the runner has joined anew. */
export async function renew(
  sql: Sql,
  now: Date,
  { nodeId, session }: { nodeId: string; session: string },
): Promise<{ state: NodeState } | null> {
  const until = new Date(now.getTime() + NODE_LEASE_MS);
  const [row] = await sql<{ state: NodeState }[]>`
    update node set seen_at = ${now}, lease_until = ${until}
    where id = ${nodeId} and session = ${session}
    returning state`;
  return row ?? null;
}

/** A node that was lost is up again. */
export async function rejoin(sql: Sql, nodeId: string): Promise<void> {
  await sql`update node set state = ${nodeMachine.lost.rejoin} where id = ${nodeId} and state = 'lost'`;
}

/** Containers that the runner should have, with all that is needed to start them. */
export async function wanted(
  sql: Sql,
  nodeId: string,
): Promise<{ revision: number; containers: Assignment[] }> {
  const rows = await sql<({ revision: number } & Partial<Assignment>)[]>`
    select node.revision, c.id, c.desired, app.name as app, c.deployment_id as deployment, deployment.digest as bundle,
      coalesce(deployment.manifest->'external', '[]') as external,
      (select element.spec from json_array_elements(deployment.manifest->'functions') as element(spec)
       where element.spec->>'name' = function.name) as spec,
      c.gpus
    from node
      left join container c on c.node_id = node.id and c.exited_at is null and c.session = node.session -- container_node
      left join function on function.id = c.function_id
      left join app on app.id = function.app_id
      left join deployment on deployment.id = c.deployment_id
    where node.id = ${nodeId}
    order by c.created_at, c.id`;
  const containers = rows.filter((row) => row.id !== null).map(({ revision: _, ...rest }) =>
    rest as Assignment
  );
  return { revision: rows[0]?.revision ?? 0, containers };
}

/** Notes containers that have come to start or to be ready; returns whether one is ready now. */
export async function observeRunning(
  sql: Sql,
  now: Date,
  nodeId: string,
  observed: readonly ObservedContainer[],
): Promise<boolean> {
  const alive = observed.filter((container) => container.observed !== "exited");
  if (alive.length === 0) return false;
  const rows = await sql<{ observed: string }[]>`
    update container set observed = seen.observed,
      address = seen.address,
      ready_at = case when seen.observed = 'ready' then ${now}::timestamptz end,
      busy_at = case when seen.observed = 'ready' then ${now} else busy_at end
    from json_to_recordset(${JSON.stringify(alive)}::text::json) as seen(id text, observed text, address text)
    where container.id = seen.id and container.node_id = ${nodeId}
      and container.observed = any(
        case seen.observed when 'ready' then ${sources(containerMachine, "ready")}::text[]
        else ${sources(containerMachine, "start")}::text[] end)
    returning container.observed`;
  return rows.some((row) => row.observed === "ready");
}

/** Those of `ids` that the store holds to be alive on a node. */
export async function aliveAmong(sql: Sql, nodeId: string, ids: readonly string[]): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    select id from container where node_id = ${nodeId} and id = any(${ids as string[]}) and exited_at is null`;
  return new Set(rows.map((row) => row.id));
}

/** The function that each of these containers of a node runs. */
export async function functionsOf(
  sql: Sql,
  nodeId: string,
  ids: readonly string[],
): Promise<Map<string, number>> {
  const rows = await sql<{ id: string; functionId: number }[]>`
    select id, function_id from container where node_id = ${nodeId} and id = any(${ids as string[]})`;
  return new Map(rows.map((row) => [row.id, row.functionId]));
}
