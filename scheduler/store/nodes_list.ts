/** Nodes and pools as the api shows them, and the credentials of nodes. */
import type { Gpu, Node, Pool as PoolItem } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** The node that a credential is of, by the credential's hash. */
export async function findCredential(sql: Sql, hash: string): Promise<string | undefined> {
  const [row] = await sql<{ id: string }[]>`
    select id from node where credential_hash = ${hash} and state <> 'left'`;
  return row?.id;
}

interface NodeRow {
  id: string;
  name: string;
  pool: string;
  state: Node["state"];
  gpus: (Gpu & { freeMilli: number })[];
  cpuMilli: number;
  cpuMilliFree: number;
  memoryMib: number;
  memoryMibFree: number;
  containers: number;
  joinedAt: Date;
  seenAt: Date;
}

/** Nodes by id, that is by age, from the one after `after`. */
export async function listNodes(
  sql: Sql,
  { after = "", limit }: { after?: string | undefined; limit: number },
): Promise<Node[]> {
  const rows = await sql<NodeRow[]>`
    select n.id, n.name, n.pool, n.state, n.cpu_milli, n.cpu_milli_free, n.memory_mib, n.memory_mib_free, n.joined_at,
      n.seen_at,
      (select count(*)::int from container c where c.node_id = n.id and c.exited_at is null) as containers,
      (
        select coalesce(json_agg(json_build_object(
          'index', g.index, 'model', g.model, 'vramMiB', g.vram_mib, 'uuid', g.uuid, 'simulated', g.simulated,
          'freeMilli', g.milli_free) order by g.index), '[]')
        from gpu g
        where g.node_id = n.id
      ) as gpus
    from node n
    where n.id > ${after}
    order by n.id
    limit ${limit}`;
  return rows.map(toNode);
}

function toNode(
  { cpuMilli, cpuMilliFree, memoryMib, memoryMibFree, gpus, joinedAt, seenAt, ...rest }: NodeRow,
): Node {
  return {
    ...rest,
    gpus: gpus.map(({ uuid, ...gpu }) => uuid ? { ...gpu, uuid } : gpu),
    cpu: cpuMilli / 1000,
    cpuFree: cpuMilliFree / 1000,
    memory: memoryMib,
    memoryFree: memoryMibFree,
    joinedAt: joinedAt.toISOString(),
    seenAt: seenAt.toISOString(),
  };
}

/** Pools by name, with what their nodes have that are up. */
export async function listPools(
  sql: Sql,
  { after = "", limit }: { after?: string | undefined; limit: number },
): Promise<PoolItem[]> {
  const rows = await sql<(Omit<PoolItem, "createdAt"> & { createdAt: Date })[]>`
    select p.name, p.provider, p.created_at, count(n.id)::int as nodes, coalesce(sum(g.gpus), 0)::int as gpus,
      (coalesce(sum(g.milli_free), 0) / 1000)::float8 as gpus_free
    from pool p
    left join node n on n.pool = p.name and n.state in ('up', 'draining')
    left join lateral (
      select count(*) as gpus, sum(milli_free) as milli_free from gpu where node_id = n.id
    ) g on true
    where p.name > ${after}
    group by p.name
    order by p.name
    limit ${limit}`;
  return rows.map((row) => ({ ...row, createdAt: row.createdAt.toISOString() }));
}
