/** How nodes join: who comes with a token, and the beginning of a session. */
import type { Gpu } from "../../sdk/protocol.ts";
import type { NodeShape } from "../model.ts";
import type { PoolState, ProvisionState } from "../states.ts";
import type { Sql } from "./connect.ts";
import { NODE_LEASE_MS } from "./nodes.ts";

/** What a token opens. */
export interface Admission {
  /** It is the credential of a node, not a token of a pool. */
  readonly known: boolean;
  /** The node that comes back; null for a new one. */
  readonly node: string | null;
  readonly pool: string;
  readonly poolState: PoolState;
  /** What the nodes of the pool have, as far as that is said. */
  readonly shape: NodeShape | null;
  /** The provision that the node is of, if any. */
  readonly provision: string | null;
  readonly provisionState: ProvisionState | null;
  /** Since when the token is void; null for credentials and for tokens without an end. */
  readonly expiresAt: Date | null;
}

/**
 * What a token opens: the node whose credential it is, or a pool. Of a repeated request the first may have arrived, and its answer got
 * lost: so a provision has one node, and a session too. Null when nobody knows the token.
 */
export async function admissionOf(
  sql: Sql,
  { hash, session }: { hash: string; session: string },
): Promise<Admission | null> {
  const [row] = await sql<Admission[]>`
    with bearer as (
      select true as known, id as node, pool, provision_id, null::timestamptz as expires_at from node where credential_hash = ${hash}
      union all
      select false, coalesce(
          (select node_id from provision where provision.id = token.provision_id),
          (select id from node where node.session = ${session} and node.pool = token.pool)
        ), pool, provision_id, expires_at
      from join_token token where token.hash = ${hash}
    )
    select bearer.known, bearer.node, bearer.pool, pool.state as pool_state, pool.shape, bearer.provision_id as provision,
      provision.state as provision_state, bearer.expires_at
    from bearer
    join pool on pool.name = bearer.pool
    left join provision on provision.id = bearer.provision_id
    limit 1`;
  return row ?? null;
}

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
  readonly diskMiB: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Where other nodes reach it. */
  readonly address: string;
  /** Its port for gateways on other machines, if it has one. */
  readonly relay: { readonly port: number; readonly key: string } | null;
  /** The provision that brought it, if any. */
  readonly provision: string | null;
}

/**
 * The session that a node has now. The node is locked: nothing is placed on it, and nobody else joins as it, until the transaction
 * ends.
 */
export async function lockSession(sql: Sql, nodeId: string): Promise<string> {
  const [row] = await sql<[{ session: string }]>`
    select session from node where id = ${nodeId} for no key update`;
  return row.session;
}

/** The request that began a session has come again: what was placed on the node since then stays. */
export async function joinAgain(
  sql: Sql,
  now: Date,
  { id, credentialHash }: Pick<JoiningNode, "id" | "credentialHash">,
): Promise<void> {
  const until = new Date(now.getTime() + NODE_LEASE_MS);
  await sql`
    update node set credential_hash = ${credentialHash}, seen_at = ${now}, lease_until = ${until}
    where id = ${id}`;
}

/**
 * A runner's session begins: all capacity is free. Call it inside a transaction, once the containers of the node's earlier
 * sessions are lost.
 */
export async function join(sql: Sql, now: Date, node: JoiningNode): Promise<void> {
  const until = new Date(now.getTime() + NODE_LEASE_MS);
  await sql`
    insert into node (id, name, pool, credential_hash, session, host, state, cpu_milli, memory_mib, cpu_milli_free,
      memory_mib_free, disk_mib, disk_mib_free, labels, address, relay_port, relay_key, provision_id, joined_at, emptied_at, seen_at, lease_until)
    values (${node.id}, ${node.name}, ${node.pool}, ${node.credentialHash}, ${node.session}, ${node.host}, 'up',
      ${node.cpuMilli}, ${node.memoryMiB}, ${node.cpuMilli}, ${node.memoryMiB}, ${node.diskMiB}, ${node.diskMiB},
      ${sql.json(node.labels)}, ${node.address},
      ${node.relay?.port ?? null}, ${
    node.relay?.key ?? null
  }, ${node.provision}, ${now}, ${now}, ${now}, ${until})
    on conflict (id) do update set
      name = excluded.name, credential_hash = excluded.credential_hash, session = excluded.session, host = excluded.host,
      state = case when node.state = 'draining' then 'draining' else 'up' end,
      cpu_milli = excluded.cpu_milli, memory_mib = excluded.memory_mib, cpu_milli_free = excluded.cpu_milli_free,
      memory_mib_free = excluded.memory_mib_free, disk_mib = excluded.disk_mib, disk_mib_free = excluded.disk_mib_free,
      labels = excluded.labels, address = excluded.address, relay_port = excluded.relay_port,
      relay_key = excluded.relay_key, emptied_at = excluded.emptied_at,
      revision = node.revision + 1, joined_at = excluded.joined_at, seen_at = excluded.seen_at,
      lease_until = excluded.lease_until`;
  await replaceGpus(sql, node);
}

/** The GPUs as the runner found them, all free and well. One that an operator has taken out stays out, while it is the same. */
async function replaceGpus(sql: Sql, { id, gpus }: JoiningNode): Promise<void> {
  await sql`
    with found as (
      select * from json_to_recordset(${JSON.stringify(gpus)}::text::json)
        as g(index int, model text, "vramMiB" int, uuid text, simulated boolean)
    ),
    gone as (
      delete from gpu where node_id = ${id} and index not in (select index from found)
    )
    insert into gpu (node_id, index, model, vram_mib, uuid, simulated)
    select ${id}, index, model, "vramMiB", uuid, simulated from found
    on conflict (node_id, index) do update set
      model = excluded.model, vram_mib = excluded.vram_mib, uuid = excluded.uuid, simulated = excluded.simulated,
      milli_free = 1000, healthy = true, ailment = null,
      taken_out = case when gpu.model = excluded.model and gpu.uuid is not distinct from excluded.uuid then gpu.taken_out end`;
}
