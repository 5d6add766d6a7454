/** Images that the platform builds: what was asked for, and what there is. Who builds them is in builds.ts. */
import type { Image, ImageState } from "../../sdk/protocol.ts";
import { imageMachine, sources } from "../states.ts";
import { seqBefore } from "./builds.ts";
import type { Sql } from "./connect.ts";

/** What is to be there. */
export interface WantedImage {
  /** Of a new row. */
  readonly id: string;
  readonly workspace: string;
  readonly digest: string;
  readonly containerfile: string;
  readonly context: string | null;
  readonly secret: string | null;
  /** The registry that the secret is for. */
  readonly registry: string | null;
  readonly tag: string;
  readonly push: boolean;
  /** Build it even where there is one. */
  readonly rebuild: boolean;
}

interface ImageRow {
  id: string;
  digest: string;
  state: ImageState;
  attempt: number;
  ref: string | null;
  size: number | null;
  containerfile: string;
  node: string | null;
  failure: string | null;
  usedBy: string[];
  createdAt: Date;
  startedAt: Date | null;
  endedAt: Date | null;
}

/** Images of a workspace as they are shown; further conditions may follow. */
const shown = (sql: Sql, workspace: string) =>
  sql`
    with used as materialized (
      select function.spec->'image'->>'ref' as ref, array_agg(app.name || '/' || function.name order by app.name, function.name) as by
      from app join function on function.app_id = app.id and function.removed_at is null
      where app.workspace_id = ${workspace} and app.deleted_at is null and function.spec->'image' is not null  -- app_live
      group by 1
    )
    select image.id, image.digest, image.state, image.attempt, image.ref, image.size, image.containerfile, image.node_id as node, image.failure,
      image.created_at, image.started_at, image.ended_at, coalesce(used.by, '{}') as used_by
    from image left join used on used.ref = image.ref
    where image.workspace_id = ${workspace}`;

function toImage({ createdAt, startedAt, endedAt, attempt, failure, size, ...row }: ImageRow): Image {
  return {
    ...row,
    logsAfter: seqBefore(row.state === "queued" ? attempt + 1 : attempt),
    size: size === null ? null : Number(size),
    createdAt: createdAt.toISOString(),
    startedAt: startedAt?.toISOString() ?? null,
    endedAt: endedAt?.toISOString() ?? null,
    ...(failure === null ? {} : { failure }),
  };
}

/** One image of a workspace, by id or digest. */
export async function findImage(
  sql: Sql,
  { workspace, called }: { workspace: string; called: string },
): Promise<Image | undefined> {
  const [row] = await sql<ImageRow[]>`
    ${shown(sql, workspace)} and (image.id = ${called} or image.digest = ${called})`;
  return row && toImage(row);
}

/** Images of a workspace, newest first, after the place where the page before ended. */
export async function listImages(
  sql: Sql,
  { workspace, after, limit }: {
    readonly workspace: string;
    readonly after?: readonly [createdMs: number, id: string] | undefined;
    readonly limit: number;
  },
): Promise<Image[]> {
  const rows = await sql<ImageRow[]>`
    ${shown(sql, workspace)} and image.state not in ('removing', 'left')
      ${
    after === undefined ? sql`` : sql`and (image.created_at, image.id) < (${new Date(after[0])}, ${after[1]})`
  }
    order by image.created_at desc, image.id desc  -- image_recent
    limit ${limit}`;
  return rows.map(toImage);
}

/**
 * The image of this digest as it is, when it is ready or on its way; undefined when it must be asked for. One that has another tag is
 * not where it is looked for, and one that stays on a node is of no use when that is gone.
 */
export async function usableImage(
  sql: Sql,
  now: Date,
  { workspace, digest, tag }: Pick<WantedImage, "workspace" | "digest" | "tag">,
): Promise<Image | undefined> {
  const [row] = await sql<{ id: string }[]>`
    update image set asked_at = ${now}
    where workspace_id = ${workspace} and digest = ${digest} and tag = ${tag} and state in ('queued', 'building', 'ready')
      and (state <> 'ready' or push or exists (select from node where node.id = image.node_id and node.state = 'up'))
    returning id`;
  return row && await findImage(sql, { workspace, called: row.id });
}

/** Asks for an image. Who asks for one that is on its way waits for the same build. */
export async function askForImage(sql: Sql, now: Date, wanted: WantedImage): Promise<Image> {
  const { id, workspace, digest, containerfile, context, secret, registry, tag, push, rebuild } = wanted;
  // Somebody else may have had it built since we looked.
  const again = sql`(image.state = any(${
    sources(imageMachine, "ask")
  }) and (image.state <> 'ready' or excluded.rebuild
    or image.tag <> excluded.tag or not image.push))`;
  const [row] = await sql<[{ id: string }]>`
    insert into image (id, workspace_id, digest, containerfile, context, secret, registry, tag, push, rebuild, state,
      created_at, asked_at)
    values (${id}, ${workspace}, ${digest}, ${containerfile}, ${context}, ${secret}, ${registry}, ${tag}, ${push}, ${rebuild},
      'queued', ${now}, ${now})
    on conflict (workspace_id, digest) do update set
      asked_at = excluded.asked_at,
      tag = excluded.tag, push = excluded.push, registry = excluded.registry, secret = excluded.secret,
      rebuild = excluded.rebuild,
      losses = 0,
      node_id = case when ${again} then null else image.node_id end,
      state = case when ${again} then 'queued' else image.state end
    returning id`;
  return (await findImage(sql, { workspace, called: row.id }))!;
}

/** The digest of the files that an image copies; null when it copies none. */
export async function contextOfImage(sql: Sql, id: string): Promise<string | null> {
  const [row] = await sql<{ context: string | null }[]>`select context from image where id = ${id}`;
  return row?.context ?? null;
}

/** Has an image built again: one that failed, or with `rebuild` any. False when there is nothing to do. */
export async function askAgain(
  sql: Sql,
  now: Date,
  { id, rebuild }: { id: string; rebuild: boolean },
): Promise<boolean> {
  const { count } = await sql`
    update image set state = 'queued', rebuild = ${rebuild}, losses = 0, node_id = null, asked_at = ${now}
    where id = ${id} and state = any(${sources(imageMachine, "ask")}) and (${rebuild} or state <> 'ready')`;
  return count > 0;
}

export interface Builders {
  readonly nodes: number;
  readonly builders: number;
  /** Of the builders: those that can't now. */
  readonly away: number;
}

/** Nodes that are up, and those of them that can build. */
export async function countBuilders(sql: Sql): Promise<Builders> {
  const [row] = await sql<[Builders]>`
    select count(*)::int as nodes, count(*) filter (where images is not null)::int as builders,
      count(*) filter (where images is not null and engine_away is not null)::int as away
    from node where state in ('up', 'draining')`;
  return row;
}

/** Images that no deployed function runs in and nobody has asked for since; their removal begins unless it is only asked. */
export async function pruneImages(
  sql: Sql,
  { workspace, before, dryRun }: { workspace: string; before: Date; dryRun: boolean },
): Promise<Image[]> {
  const rows = await sql<ImageRow[]>`
    with unused as (${shown(sql, workspace)}
      and image.asked_at <= ${before}
        and image.state = any(${sources(imageMachine, "remove")}))
    select * from unused where cardinality(used_by) = 0 order by created_at`;
  if (!dryRun && rows.length > 0) {
    const ids = rows.map((row) => row.id);
    const removing = await sql<{ nodeId: string | null }[]>`
      update image set state = 'removing', attempt = attempt + 1
      where id = any(${ids}) and state = any(${sources(imageMachine, "remove")})
      returning node_id`;
    await tellNodes(sql, removing.flatMap((row) => row.nodeId ?? []));
  }
  return rows.map(toImage);
}

/** Has nodes pull these images ahead, those with the most room that could run what needs them. Returns the nodes. */
export async function prefetchImages(
  sql: Sql,
  now: Date,
  wanted: readonly Prefetched[],
): Promise<string[]> {
  if (wanted.length === 0) return [];
  const expiresAt = new Date(now.getTime() + PREFETCH_MS);
  await sql`delete from prefetch where expires_at <= ${now}`;
  const rows = await sql<{ nodeId: string }[]>`
    with chosen as (
      select distinct node.id, wanted.ref
      from json_to_recordset(${
    JSON.stringify(wanted)
  }::text::json) as wanted(ref text, labels jsonb, nodes int)
      cross join lateral (
        select id from node
        where state = 'up' and not cordoned and images is not null and engine_away is null and not (wanted.ref = any(images))
          and labels::jsonb @> wanted.labels
        order by cpu_milli_free desc, id
        limit wanted.nodes
      ) node
    ),
    told as (
      insert into prefetch (node_id, ref, expires_at)
      select id, ref, ${expiresAt} from chosen order by id, ref
      on conflict (node_id, ref) do update set expires_at = excluded.expires_at
      returning node_id
    )
    select distinct node_id from told`;
  const nodeIds = rows.map((row) => row.nodeId);
  await tellNodes(sql, nodeIds);
  return nodeIds;
}

/** Makes parked syncs of these nodes answer, once they are woken. Rows are locked in one order, as everywhere. */
async function tellNodes(sql: Sql, nodeIds: readonly string[]): Promise<void> {
  await sql`
    update node set revision = revision + 1
    from (select id from node where id = any(${nodeIds as string[]}) order by id for no key update) told
    where node.id = told.id`;
}

/** An image, where it may be needed, and on how many nodes. */
export interface Prefetched {
  readonly ref: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly nodes: number;
}

/** Long enough for any pull. */
const PREFETCH_MS = 30 * 60_000;

/** What a node is to pull ahead. */
export async function wantedPrefetch(sql: Sql, now: Date, nodeId: string): Promise<string[]> {
  const rows = await sql<{ ref: string }[]>`
    select prefetch.ref
    from prefetch join node on node.id = prefetch.node_id
    where prefetch.node_id = ${nodeId} and prefetch.expires_at > ${now} and not (prefetch.ref = any(node.images))
    order by prefetch.ref`;
  return rows.map((row) => row.ref);
}
