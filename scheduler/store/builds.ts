/** Builds of images: which node does which, what its runner says of it, and what becomes of those whose node is gone. */
import { type BuildReport, type ContainerLog, LIMITS, type WantedBuild } from "../../sdk/protocol.ts";
import { imageMachine, sources } from "../states.ts";
import type { Pool, Sql } from "./connect.ts";
import type { SealedRow } from "./secrets.ts";
import type { Part } from "./story.ts";
import { storable } from "./telemetry.ts";

/** A build that has lost this many nodes in a row may be what kills them. */
const LOSSES_MAX = 3;

/** How long it can be read why a registry keeps an image. */
const LEFT_MS = 24 * 3_600_000;

/** Builds of one image whose lines are kept, this one and those before. */
const ATTEMPTS_KEPT = 3;

/** What changed, for those to be woken. */
export interface Tended {
  readonly nodes: readonly string[];
  readonly images: readonly string[];
  /** Some are not over: they are to be looked at again. */
  readonly open: boolean;
}

/** Gives builds to nodes that can do them, and takes them from nodes that are gone. May run in several processes at a time. */
export async function tendBuilds(pool: Pool, now: Date): Promise<Tended> {
  const lost = await loseBuilds(pool, now);
  await handRemovals(pool, now);
  const given: Given[] = [];
  for (let next = await giveBuild(pool, now); next !== null; next = await giveBuild(pool, now)) {
    given.push(next);
  }
  const [{ open }] = await pool<[{ open: boolean }]>`
    select exists (select from image where state in ('queued', 'building', 'removing')) as open  -- image_live`;
  return {
    nodes: given.map(({ node }) => node),
    images: [...lost, ...given.map(({ image }) => image)],
    open,
  };
}

/** Removals whose node is gone: another that may push can do what is left to do, in the registry. */
async function handRemovals(pool: Pool, now: Date): Promise<void> {
  const isStranded =
    pool`(image.node_id is null or exists (select from node where node.id = image.node_id and node.state = 'left'))`;
  await pool.begin(async (sql) => {
    const handed = await sql<{ node: string }[]>`
      update image set node_id = other.id, attempt = attempt + 1
      from (
        select id from node where state = 'up' and images is not null and engine_away is null
        order by cpu_milli_free desc, id limit 1
      ) other
      where image.state = 'removing' and ${isStranded} and image.push and image.ref is not null  -- image_live
      returning other.id as node`;
    await sql`update node set revision = revision + 1 where id = any(${handed.map(({ node }) => node)})`;
  });
  await pool`delete from image where state = 'removing' and ${isStranded}`;
  await pool`delete from image where state = 'left' and ended_at < ${new Date(now.getTime() - LEFT_MS)}`;
}

interface Given {
  readonly image: string;
  readonly node: string;
}

/** Gives the oldest build to the node with the fewest; null when there is none, or none has room. */
function giveBuild(pool: Pool, now: Date): Promise<Given | null> {
  return pool.begin(async (sql) => {
    const [given] = await sql<Given[]>`
      with next as (
        select id from image where state = 'queued' order by asked_at, id limit 1 for update skip locked  -- image_live
      ),
      builder as (
        select node.id, node.session
        from node
        cross join lateral (
          select count(*) as builds from image where image.node_id = node.id and image.state = 'building'  -- image_node
        ) has
        where node.state = 'up' and not node.cordoned and node.images is not null and node.engine_away is null and has.builds < ${LIMITS.buildsPerNode}
        order by has.builds, node.cpu_milli_free desc, node.id
        limit 1
      )
      update image set state = ${imageMachine.queued.begin}, attempt = attempt + 1, node_id = builder.id,
        session = builder.session, started_at = ${now}, ended_at = null, failure = null
      from next, builder
      where image.id = next.id
      returning image.id as image, builder.id as node`;
    if (given === undefined) return null;
    await sql`update node set revision = revision + 1 where id = ${given.node}`;
    await sql`
      delete from build_log where image_id = ${given.image}
        and attempt < (select attempt - ${ATTEMPTS_KEPT} + 1 from image where id = ${given.image})`;
    return given;
  }) as Promise<Given | null>;
}

/** It waits for another node, or fails when that went on too often. */
const losing = (sql: Sql, now: Date, what: string) =>
  sql`
    state = case when losses + 1 < ${LOSSES_MAX} then ${imageMachine.building.lose} else ${imageMachine.building.fail} end,
    failure = case when losses + 1 < ${LOSSES_MAX} then null
      else ${what}::text || ', ' || (losses + 1) || ' times in a row: its build may be what ends them' end,
    ended_at = case when losses + 1 < ${LOSSES_MAX} then null else ${now}::timestamptz end,
    losses = losses + 1`;

/** Builds whose node is gone wait for another, or fail when that went on too often. */
async function loseBuilds(sql: Sql, now: Date): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    with lost as (
      update image set ${losing(sql, now, "The node that built it went away")}
      where state = 'building' and not exists (  -- image_live
        select from node
        where node.id = image.node_id and node.session = image.session and node.state in ('up', 'draining'))
      returning id, attempt, node_id
    )
    insert into build_log (image_id, attempt, n, at, stream, text)
    select id, attempt, ${LIMITS.buildLogLines}, ${now}, 'system', 'Node ' || node_id || ' went away while it built this' from lost
    on conflict do nothing
    returning image_id as id`;
  return rows.map((row) => row.id);
}

/** What the runner of a node is to build or remove. */
export async function wantedBuilds(sql: Sql, nodeId: string): Promise<WantedBuild[]> {
  return await sql<WantedBuild[]>`
    select image.id as image, image.attempt, case image.state when 'building' then 'build' else 'remove' end as do,
      image.containerfile, image.context, image.tag, image.ref, image.push,
      image.state = 'removing' and image.push and image.ref like '%@sha256:%' and not exists (
        -- its digest may be that of another's too; of those that go at the same time the first one takes it along
        select from image other
        where other.id <> image.id and (other.ref = image.ref or other.tag = image.tag) and other.state <> 'left'
          and (other.state <> 'removing' or other.id < image.id)
      ) and not exists (
        select from function where function.removed_at is null and function.spec->'image'->>'ref' = image.ref
      ) as unpush,
      case when image.secret is not null then image.registry end as registry, image.rebuild
    from image join node on node.id = image.node_id
    where image.node_id = ${nodeId}              -- image_node
      and (image.state = 'building' and image.session = node.session or image.state = 'removing')
    order by image.id`;
}

/** What a runner says of a build; false when that is not its own, or over. */
export async function reportBuild(
  sql: Sql,
  now: Date,
  { node, image, attempt, lines, end }: BuildReport & { readonly node: string; readonly image: string },
): Promise<boolean> {
  const [known] = await sql`
    select from image
    where id = ${image} and attempt = ${attempt} and node_id = ${node} and state in ('building', 'removing')
    for update`;
  if (known === undefined) return false;
  if (lines.length > 0) {
    await sql`
      insert into build_log (image_id, attempt, n, at, stream, text)
      select ${image}, ${attempt}, n, to_timestamp(at_ms / 1000), stream, text
      from unnest(${lines.map(([n]) => n)}::int[], ${lines.map(([, at]) => at)}::float8[],
        ${lines.map(([, , stream]) => stream)}::text[], ${lines.map(([, , , text]) => storable(text))}::text[]
      ) as said(n, at_ms, stream, text)
      on conflict do nothing`;
  }
  if (end === undefined) return true;
  if ("removed" in end) await removed(sql, now, { image, kept: end.kept });
  else if ("lost" in end) {
    await sql`
      update image set ${losing(sql, now, "The container engine that built it went away")}
      where id = ${image} and state = any(${sources(imageMachine, "lose")})`;
  } else if ("failure" in end) {
    await sql`
      update image set state = ${imageMachine.building.fail}, failure = ${
      storable(end.failure)
    }, ended_at = ${now}
      where id = ${image} and state = any(${sources(imageMachine, "finish")})`;
  } else {
    await sql`
      update image set state = ${imageMachine.building.finish}, ref = ${end.ref}, size = ${end.size}, losses = 0,
        rebuild = false, ended_at = ${now}
      where id = ${image} and state = any(${sources(imageMachine, "finish")})`;
  }
  return true;
}

/** It is gone from its node, and from its registry unless that keeps it. */
async function removed(
  sql: Sql,
  now: Date,
  { image, kept }: { readonly image: string; readonly kept: string | undefined },
): Promise<void> {
  if (kept === undefined) await sql`delete from image where id = ${image} and state = 'removing'`;
  else {
    await sql`
      update image set state = ${imageMachine.removing.keep}, failure = ${
      storable(kept)
    }, ended_at = ${now}, node_id = null
      where id = ${image} and state = any(${sources(imageMachine, "keep")})`;
  }
}

/** Lines of one attempt are numbered within this. */
const PER_ATTEMPT = 1_000_000;

/** Beyond this are the lines of an attempt. */
export const seqBefore = (attempt: number): number => Math.max(0, attempt * PER_ATTEMPT - 1);

/** What the builds of an image printed, in their order. */
export async function listBuildLogs(
  sql: Sql,
  image: string,
  { after = -1, limit }: Part,
): Promise<ContainerLog[]> {
  const attempt = Math.floor(Math.max(0, after) / PER_ATTEMPT), n = after < 0 ? -1 : after % PER_ATTEMPT;
  const rows = await sql<(Omit<ContainerLog, "at" | "seq"> & { attempt: number; n: number; at: Date })[]>`
    select attempt, n, at, stream, text
    from build_log
    where image_id = ${image} and (attempt, n) > (${attempt}, ${n})   -- by its primary key
    order by attempt, n
    limit ${limit}`;
  return rows.map(({ attempt, n, at, ...row }) => ({
    seq: attempt * PER_ATTEMPT + n,
    at: at.toISOString(),
    ...row,
  }));
}

/** Where the files of a build lie that this node does now: a runner gets no others. */
export async function contextOfNode(
  sql: Sql,
  { node, digest }: { readonly node: string; readonly digest: string },
): Promise<string | undefined> {
  const [row] = await sql<{ blob: string }[]>`
    select bundle.blob
    from image join bundle on bundle.workspace_id = image.workspace_id and bundle.digest = image.context
    where image.node_id = ${node} and image.state = 'building' and image.context = ${digest}  -- image_node
    limit 1`;
  return row?.blob;
}

/** The secret with which the base of an image is pulled, for the node that builds it; undefined when there is no such build or secret. */
export async function secretOfBuild(
  sql: Sql,
  { node, image }: { node: string; image: string },
): Promise<SealedRow | undefined> {
  const [row] = await sql<SealedRow[]>`
    select secret.workspace_id as workspace, secret.name, secret.version, secret.sealed, secret.data_key, secret.key_id
    from image join secret on secret.workspace_id = image.workspace_id and secret.name = image.secret
    where image.id = ${image} and image.node_id = ${node} and image.state = 'building'`;
  return row;
}

/** The secret with which the image of a live container is pulled, for its node; undefined when there is no such container or secret. */
export async function secretOfContainerImage(
  sql: Sql,
  { node, container }: { node: string; container: string },
): Promise<SealedRow | undefined> {
  const [row] = await sql<SealedRow[]>`
    select secret.workspace_id as workspace, secret.name, secret.version, secret.sealed, secret.data_key, secret.key_id
    from container c
    join function on function.id = c.function_id
    join app on app.id = function.app_id
    join deployment on deployment.id = c.deployment_id
    cross join lateral json_array_elements(deployment.manifest->'functions') as element(spec)
    join secret on secret.workspace_id = app.workspace_id and secret.name = element.spec->'image'->>'secret'
    where c.id = ${container} and c.node_id = ${node} and c.exited_at is null and element.spec->>'name' = function.name`;
  return row;
}
