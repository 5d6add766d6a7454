/** Nodes as the api shows them, and their credentials. */
import type { Gpu, Node } from "../../sdk/protocol.ts";
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
  cordoned: boolean;
  engineAway: string | null;
  labels: Record<string, string>;
  gpus: (Gpu & { freeMilli: number; healthy: boolean; ailment: string | null })[];
  provisionId: string | null;
  cpuMilli: number;
  cpuMilliFree: number;
  memoryMib: number;
  memoryMibFree: number;
  diskMib: number;
  diskMibFree: number;
  containers: number;
  joinedAt: Date;
  seenAt: Date;
}

interface NodeFilter {
  readonly pool?: string | undefined;
  /** Those that have left, too. */
  readonly left?: boolean | undefined;
  /** An id or a name. */
  readonly called?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Nodes by id, that is by age, from the one after `after`. */
export async function listNodes(
  sql: Sql,
  { pool, left = false, called, after = "", limit }: NodeFilter,
): Promise<Node[]> {
  const rows = await sql<NodeRow[]>`
    select n.id, n.name, n.pool, n.state, n.cpu_milli, n.cpu_milli_free, n.memory_mib, n.memory_mib_free, n.disk_mib,
      n.disk_mib_free, n.cordoned, n.engine_away, n.labels, n.provision_id, n.joined_at, n.seen_at,
      (select count(*)::int from container c where c.node_id = n.id and c.exited_at is null) as containers,
      (
        select coalesce(json_agg(json_build_object(
          'index', g.index, 'model', g.model, 'vramMiB', g.vram_mib, 'uuid', g.uuid, 'simulated', g.simulated,
          'freeMilli', g.milli_free, 'healthy', g.healthy and g.taken_out is null,
          'ailment', coalesce(g.taken_out, g.ailment)) order by g.index), '[]')
        from gpu g
        where g.node_id = n.id
      ) as gpus
    from node n
    where n.id > ${after} ${left ? sql`` : sql`and n.state <> 'left'`}
      ${pool === undefined ? sql`` : sql`and n.pool = ${pool}`}
      ${called === undefined ? sql`` : sql`and (n.id = ${called} or n.name = ${called})`}
    order by n.id
    limit ${limit}`;
  return rows.map(toNode);
}

/** The nodes that an id or a name means: one, none, or several of the same name. */
export async function nodesCalled(sql: Sql, called: string): Promise<Node[]> {
  const found = await listNodes(sql, { called, left: true, limit: 100 });
  const meant = found.filter(({ id }) => id === called);
  return meant.length > 0 ? meant : found.filter(({ state }) => state !== "left");
}

function toNode(
  {
    cpuMilli,
    cpuMilliFree,
    memoryMib,
    memoryMibFree,
    diskMib,
    diskMibFree,
    gpus,
    provisionId,
    joinedAt,
    seenAt,
    ...rest
  }: NodeRow,
): Node {
  return {
    ...rest,
    gpus: gpus.map(({ uuid, ailment, ...gpu }) => ({
      ...gpu,
      ...(uuid ? { uuid } : {}),
      ...(ailment === null ? {} : { ailment }),
    })),
    cpu: cpuMilli / 1000,
    cpuFree: cpuMilliFree / 1000,
    memory: memoryMib,
    memoryFree: memoryMibFree,
    disk: diskMib,
    diskFree: diskMibFree,
    provision: provisionId,
    joinedAt: joinedAt.toISOString(),
    seenAt: seenAt.toISOString(),
  };
}
