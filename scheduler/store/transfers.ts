/** Transfers of the files of volumes: an exec of a node that has the volume, for as long as its client is there. */
import { LABEL_VOLUMES } from "../../sdk/labels.ts";
import { LIMITS, type VolumeStorage } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

export interface NewTransfer {
  readonly id: string;
  readonly workspace: string;
  /** Name of the volume. */
  readonly volume: string;
  readonly command: readonly string[];
  /** Whether it writes: then a volume that nobody has used gets its home. */
  readonly writes: boolean;
}

interface VolumeRow {
  readonly id: string;
  readonly storage: VolumeStorage;
  readonly home: string | null;
  readonly node: string | null;
}

/** Wants a transfer; the node whose runner is to do it, or the end of a sentence on why nobody can. In a transaction. */
export async function insertTransfer(
  sql: Sql,
  now: Date,
  { id, workspace, volume: name, command, writes }: NewTransfer,
): Promise<{ node: string } | { refused: string }> {
  const [volume] = await sql<VolumeRow[]>`
    select volume.id, storage, home, node.name as node
    from volume left join node on storage = 'node' and node.id = home
    where volume.workspace_id = ${workspace} and volume.name = ${name} and deleted_at is null`;
  if (volume === undefined) return { refused: "it was deleted" };
  if (volume.home === null && !writes) return { refused: "nothing has been written to it yet" };
  const node = await (volume.home === null ? bestNode(sql, volume.storage) : nodeOf(sql, volume));
  if (node === undefined) return { refused: away(volume) };
  // The node's row goes first, as everywhere; its new revision is what makes a parked sync answer.
  await sql`update node set revision = revision + 1 where id = ${node.id}`;
  const home = volume.storage === "node" ? node.id : node.path;
  const settled = await sql`
    update volume set home = coalesce(home, ${home}) where id = ${volume.id} and deleted_at is null
    returning home`;
  if (settled[0]?.home !== home) return { refused: "it has just been put elsewhere, try again" };
  const [{ transfers }] = await sql<[{ transfers: number }]>`
    select count(*)::int as transfers from exec where volume_id = ${volume.id} and expires_at > ${now}`;
  if (transfers >= LIMITS.transfersPerVolume) {
    return { refused: `there are ${LIMITS.transfersPerVolume} transfers of it already` };
  }
  const expiresAt = new Date(now.getTime() + LIMITS.execSeconds * 1_000);
  await sql`
    insert into exec (id, volume_id, node_id, command, expires_at)
    values (${id}, ${volume.id}, ${node.id}, ${JSON.stringify({ command })}::text::json, ${expiresAt})`;
  return { node: node.id };
}

interface NodeRow {
  readonly id: string;
  /** The shared path that it sees. */
  readonly path: string | null;
}

/** Where something written first had better lie: where most GPUs can use it, and there is room. */
async function bestNode(sql: Sql, storage: VolumeStorage): Promise<NodeRow | undefined> {
  const [node] = await sql<NodeRow[]>`
    select id, labels->>${LABEL_VOLUMES} as path from node
    where state = 'up' and not cordoned
      and ${storage === "node" ? sql`provision_id is null` : sql`labels->>${LABEL_VOLUMES} is not null`}
    order by (select count(*) from gpu where gpu.node_id = node.id) desc, disk_mib desc, id
    limit 1`;
  return node;
}

/** The node that has it; of those that share it, the one with the fewest such things to do. */
async function nodeOf(sql: Sql, { storage, home }: VolumeRow): Promise<NodeRow | undefined> {
  const [node] = await sql<NodeRow[]>`
    select id, labels->>${LABEL_VOLUMES} as path from node
    where state in ('up', 'draining')
      and ${storage === "node" ? sql`id = ${home}` : sql`labels->>${LABEL_VOLUMES} = ${home}`}
    order by (select count(*) from exec where exec.node_id = node.id), id
    limit 1`;
  return node;
}

function away({ storage, home, node }: VolumeRow): string {
  if (storage === "shared") return "no node that sees its shared path is up";
  return home === null ? "no node that could keep it is up" : `node ${node ?? home}, which has it, is away`;
}
