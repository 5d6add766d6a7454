/** Volumes: what there is, where it lies, who uses it; and which bytes are still to be removed. */
import type { Volume, VolumeFolder, VolumeSize, VolumeStorage } from "../../sdk/protocol.ts";
import { LABEL_VOLUMES } from "../../sdk/labels.ts";
import type { Start } from "../model.ts";
import type { Sql } from "./connect.ts";

interface VolumeKey {
  readonly workspace: string;
  readonly name: string;
}

interface VolumeFilter {
  readonly workspace: string;
  readonly name?: string | undefined;
  /** The last name of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

type VolumeRow =
  & Omit<Volume, "size" | "measuredAt" | "createdAt">
  & { size: string | number | null; measuredAt: Date | null; createdAt: Date };

/** The volumes of a workspace, by name. */
export async function listVolumes(
  sql: Sql,
  { workspace, name, after = "", limit }: VolumeFilter,
): Promise<Volume[]> {
  const rows = await sql<VolumeRow[]>`
    select volume.name, storage, home, node.name as node, size, measured_at, volume.created_at
    from volume left join node on storage = 'node' and node.id = home
    where volume.workspace_id = ${workspace} and deleted_at is null and volume.name > ${after}  -- volume_name
      ${name === undefined ? sql`` : sql`and volume.name = ${name}`}
    order by volume.name
    limit ${limit}`;
  return rows.map(({ size, measuredAt, createdAt, ...row }) => ({
    ...row,
    size: size === null ? null : Number(size),
    measuredAt: measuredAt?.toISOString() ?? null,
    createdAt: createdAt.toISOString(),
  }));
}

export async function findVolume(sql: Sql, { workspace, name }: VolumeKey): Promise<Volume | undefined> {
  return (await listVolumes(sql, { workspace, name, limit: 1 }))[0];
}

/** Of `names` the volumes that a workspace has. */
export async function knownVolumes(
  sql: Sql,
  workspace: string,
  names: readonly string[],
): Promise<Map<string, VolumeStorage>> {
  if (names.length === 0) return new Map();
  const rows = await sql<{ name: string; storage: VolumeStorage }[]>`
    select name, storage from volume
    where workspace_id = ${workspace} and deleted_at is null and name = any(${names as string[]})`;
  return new Map(rows.map(({ name, storage }) => [name, storage]));
}

/** Where new volumes lie when nobody says: on a shared path, where a node that is up has one. */
export async function usualStorage(sql: Sql): Promise<VolumeStorage> {
  const [{ shares }] = await sql<[{ shares: boolean }]>`
    select exists (select from node where state = 'up' and labels->>${LABEL_VOLUMES} is not null) as shares`;
  return shares ? "shared" : "node";
}

/** Makes a volume; nothing happens where there is one of this name. */
export async function insertVolume(
  sql: Sql,
  now: Date,
  { id, workspace, name, storage, home }: VolumeKey & VolumeFolder & { readonly home: string | null },
): Promise<void> {
  await sql`
    insert into volume (id, workspace_id, name, storage, home, created_at)
    values (${id}, ${workspace}, ${name}, ${storage}, ${home}, ${now})
    on conflict (workspace_id, name) where deleted_at is null do nothing`;
}

/** Deployed functions that mount a volume, as `app/function`. */
export async function usersOfVolume(sql: Sql, { workspace, name }: VolumeKey): Promise<string[]> {
  const rows = await sql<{ user: string }[]>`
    select app.name || '/' || function.name as user
    from app join function on function.app_id = app.id and function.removed_at is null
    where app.workspace_id = ${workspace} and app.deleted_at is null and function.spec->>'volumes' <> '{}'  -- app_live
      and exists (select from json_each(function.spec->'volumes') mounted(path, ref) where ref->>'name' = ${name})
    order by 1`;
  return rows.map((row) => row.user);
}

/**
 * Deletes a volume: nobody finds it any more, and its bytes go when nothing uses them. Answers the nodes that should hear of that;
 * undefined when there is no such volume.
 */
export async function deleteVolume(
  sql: Sql,
  now: Date,
  { workspace, name }: VolumeKey,
): Promise<string[] | undefined> {
  const [gone] = await sql<{ id: string; home: string | null }[]>`
    update volume set deleted_at = ${now}
    where workspace_id = ${workspace} and name = ${name} and deleted_at is null
    returning id, home`;
  if (gone === undefined) return undefined;
  if (gone.home === null) {
    await sql`delete from volume where id = ${gone.id}`;
    return [];
  }
  const nodes = await sql<{ id: string }[]>`
    update node set revision = revision + 1
    where id = ${gone.home} or id = (${firstOf(sql, sql`${gone.home}`)})
    returning id`;
  return nodes.map(({ id }) => id);
}

/**
 * Volumes whose bytes the runner of a node is to remove, since nothing uses them any more. Those of a shared path are for the first
 * of the nodes that see it.
 */
export async function volumesToRemove(sql: Sql, now: Date, nodeId: string): Promise<VolumeFolder[]> {
  return await sql<VolumeFolder[]>`
    select volume.id, volume.storage
    from node me join volume on deleted_at is not null and home in (me.id, me.labels->>${LABEL_VOLUMES})  -- volume_gone
    where me.id = ${nodeId}
      and (storage = 'node' or me.id = (${firstOf(sql, sql`volume.home`)}))
      and not exists (
        select from container
        where volume_ids @> array[volume.id] and (exited_at is null or kept_until is not null and discarded_at is null))
      and not exists (select from exec where exec.volume_id = volume.id and expires_at > ${now})
    order by volume.id
    limit 100`;
}

/** The first of the nodes that see a shared path. */
const firstOf = (sql: Sql, home: ReturnType<Sql>) =>
  sql`select min(id) from node where state in ('up', 'draining') and labels->>${LABEL_VOLUMES} = ${home}`;

/** What a runner has told of the volumes of its node. */
export async function noteVolumes(
  sql: Sql,
  now: Date,
  nodeId: string,
  { sizes, removed }: { readonly sizes: readonly VolumeSize[]; readonly removed: readonly string[] },
): Promise<void> {
  const here = sql`home in (select id from node where id = ${nodeId}
    union all select labels->>${LABEL_VOLUMES} from node where id = ${nodeId})`;
  if (sizes.length > 0) {
    await sql`
      update volume set size = said.size, measured_at = ${now}
      from json_to_recordset(${JSON.stringify(sizes)}::text::json) as said(id text, size bigint)
      where volume.id = said.id and ${here}`;
  }
  if (removed.length > 0) {
    await sql`delete from volume where id = any(${removed as string[]}) and deleted_at is not null and ${here}`;
  }
}

/** Containers that cannot start where they would: their volumes are elsewhere, or gone. Volumes without a home get it by the first. */
export async function settleVolumes(sql: Sql, starts: readonly Start[]): Promise<Set<string>> {
  const wanted = starts.flatMap(({ id, node, volumes = [] }, seq) =>
    volumes.map((volume) => ({ seq, container: id, node, volume }))
  );
  const asked = sql`
    (select w.seq, w.container, w.volume, w.node, node.labels->>${LABEL_VOLUMES} as path
     from json_to_recordset(${
    JSON.stringify(wanted)
  }::text::json) as w(seq int, container text, node text, volume text)
     join node on node.id = w.node)`;
  await sql`
    update volume set home = case volume.storage when 'node' then first.node else first.path end
    from (select distinct on (volume) volume, node, path from ${asked} asked order by volume, seq) first
    where volume.id = first.volume and volume.home is null and volume.deleted_at is null`;
  const strays = await sql<{ container: string }[]>`
    select distinct asked.container
    from ${asked} asked left join volume on volume.id = asked.volume and volume.deleted_at is null
    where volume.id is null or volume.home is distinct from case volume.storage when 'node' then asked.node else asked.path end`;
  return new Set(strays.map(({ container }) => container));
}
