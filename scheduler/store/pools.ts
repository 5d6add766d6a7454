/** Pools as operators make and change them, and who keeps each. */
import { formatDuration, parseDuration } from "../../sdk/duration.ts";
import type { Pool, PoolSettings, PoolShape } from "../../sdk/protocol.ts";
import type { NodeShape } from "../model.ts";
import { poolMachine, sources } from "../states.ts";
import type { Sql } from "./connect.ts";

interface PoolRow {
  name: string;
  provider: Pool["provider"];
  state: Pool["state"];
  nodes: number;
  starting: number;
  gpus: number;
  gpusFree: number;
  minNodes: number;
  maxNodes: number;
  shape: NodeShape | null;
  costPerHour: number;
  idleTimeoutMs: number;
  provisionTimeoutMs: number;
  config: Pool["config"];
  failure: { message: string; at: string } | null;
  keeper: string | null;
  createdAt: Date;
}

interface PoolFilter {
  readonly name?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Pools by name, with what their nodes have that are there. */
export async function listPools(
  sql: Sql,
  now: Date,
  { name, after = "", limit }: PoolFilter,
): Promise<Pool[]> {
  const rows = await sql<PoolRow[]>`
    select p.name, p.provider, p.state, p.min_nodes, p.max_nodes, p.shape, p.cost_per_hour, p.idle_timeout_ms,
      p.provision_timeout_ms, p.config, p.created_at, here.nodes, here.gpus, here.gpus_free,
      case when p.keeper_until > ${now} then p.keeper end as keeper,
      (select count(*)::int from provision -- provision_live
       where provision.pool = p.name and ended_at is null and provision.state in ('requested', 'starting')) as starting,
      (select case when last.state = 'failed' then json_build_object('message', last.error, 'at', last.ended_at) end
       from provision last
       where last.pool = p.name and (last.state = 'failed' or last.node_id is not null)
       order by last.requested_at desc, last.id desc limit 1) as failure
    from pool p
    cross join lateral (
      select count(*)::int as nodes, coalesce(sum(g.gpus), 0)::int as gpus,
        (coalesce(sum(g.milli_free), 0) / 1000)::float8 as gpus_free
      from node n
      left join lateral (
        select count(*) as gpus, sum(milli_free) as milli_free from gpu where node_id = n.id
      ) g on true
      where n.pool = p.name and n.state in ('up', 'draining')
    ) here
    where p.state <> 'deleted' and p.name > ${after} ${name === undefined ? sql`` : sql`and p.name = ${name}`}
    order by p.name
    limit ${limit}`;
  return rows.map(toPool);
}

export async function findPool(sql: Sql, now: Date, name: string): Promise<Pool | undefined> {
  return (await listPools(sql, now, { name, limit: 1 }))[0];
}

function toPool(
  { minNodes, maxNodes, shape, idleTimeoutMs, provisionTimeoutMs, failure, createdAt, ...rest }: PoolRow,
): Pool {
  return {
    ...rest,
    min: minNodes,
    max: maxNodes,
    shape: shape && toPoolShape(shape),
    idleTimeout: formatDuration(idleTimeoutMs),
    provisionTimeout: formatDuration(provisionTimeoutMs),
    failure: failure && { message: failure.message, at: new Date(failure.at).toISOString() },
    createdAt: createdAt.toISOString(),
  };
}

/** As the wire has it. */
const toPoolShape = ({ cpuMilli, memoryMiB, diskMiB, gpus, labels }: NodeShape): PoolShape => ({
  cpu: cpuMilli / 1000,
  memory: memoryMiB,
  disk: diskMiB,
  gpus: gpus.map((gpu) => ({ ...gpu })),
  labels: { ...labels },
});

const toNodeShape = ({ cpu, memory, disk, gpus, labels }: PoolShape): NodeShape => ({
  cpuMilli: Math.round(cpu * 1000),
  memoryMiB: memory,
  diskMiB: disk,
  gpus,
  labels,
});

/** As the table has them. */
const columns = (settings: PoolSettings) => ({
  ...settings,
  shape: settings.shape && JSON.stringify(toNodeShape(settings.shape)),
  idleMs: parseDuration(settings.idleTimeout),
  provisionMs: parseDuration(settings.provisionTimeout),
  config: JSON.stringify(settings.config),
});

/** Makes a pool; false when there is one of this name. A deleted one is made anew. */
export async function insertPool(
  sql: Sql,
  now: Date,
  name: string,
  settings: PoolSettings,
): Promise<boolean> {
  const { provider, min, max, shape, costPerHour, idleMs, provisionMs, config } = columns(settings);
  const { count } = await sql`
    insert into pool (name, provider, state, created_at, min_nodes, max_nodes, shape, cost_per_hour, idle_timeout_ms,
      provision_timeout_ms, config)
    values (${name}, ${provider}, 'active', ${now}, ${min}, ${max}, ${shape}::text::json, ${costPerHour}, ${idleMs},
      ${provisionMs}, ${config}::text::json)
    on conflict (name) do update set provider = excluded.provider, state = 'active', created_at = excluded.created_at,
      min_nodes = excluded.min_nodes, max_nodes = excluded.max_nodes, shape = excluded.shape,
      cost_per_hour = excluded.cost_per_hour, idle_timeout_ms = excluded.idle_timeout_ms,
      provision_timeout_ms = excluded.provision_timeout_ms, config = excluded.config
    where pool.state = 'deleted'`;
  return count > 0;
}

/** Replaces the settings of a pool; its provider stays. */
export async function updatePool(sql: Sql, name: string, settings: PoolSettings): Promise<void> {
  const { min, max, shape, costPerHour, idleMs, provisionMs, config } = columns(settings);
  await sql`
    update pool set min_nodes = ${min}, max_nodes = ${max}, shape = ${shape}::text::json, cost_per_hour = ${costPerHour},
      idle_timeout_ms = ${idleMs}, provision_timeout_ms = ${provisionMs}, config = ${config}::text::json
    where name = ${name} and state <> 'deleted'`;
}

/** Lets a pool drain, or go on. It may be so already. */
export async function movePool(sql: Sql, name: string, event: "drain" | "resume"): Promise<void> {
  const to = event === "drain" ? poolMachine.active.drain : poolMachine.draining.resume;
  await sql`update pool set state = ${to} where name = ${name} and state = any(${
    sources(poolMachine, event)
  })`;
}

/**
 * Deletes a pool, unless something of it is there: then answers what. An active pool that has nothing needs no draining first. Call it
 * inside a transaction. Tokens for it are void.
 */
export async function deletePool(
  sql: Sql,
  name: string,
): Promise<{ nodes: readonly string[]; provisions: number }> {
  await sql`select from pool where name = ${name} for update`;
  const [there] = await sql<[{ nodes: string[]; provisions: number }]>`
    select array(select name from node where pool = ${name} and state in ('up', 'draining') order by id limit 5) as nodes,
      (select count(*)::int from provision where pool = ${name} and ended_at is null) as provisions`;
  if (there.nodes.length + there.provisions > 0) return there;
  await sql`delete from join_token where pool = ${name}`;
  await sql`update node set state = 'left' where pool = ${name} and state = 'lost'`;
  await sql`update pool set state = 'deleted', keeper = null, keeper_until = null where name = ${name}`;
  return there;
}

/** A pool as its keeper needs it. */
export interface KeptPool {
  readonly name: string;
  readonly shape: NodeShape | null;
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Pools of a provider that `keeper` keeps until `until`: those that it has kept so far, and those that nobody keeps any more. What
 * is kept for long enough anyway is not written again.
 */
export async function keepPools(
  sql: Sql,
  now: Date,
  { keeper, provider, until }: { keeper: string; provider: string; until: Date },
): Promise<KeptPool[]> {
  const enough = new Date((now.getTime() + until.getTime()) / 2);
  await sql`
    update pool set keeper = ${keeper}, keeper_until = ${until}
    where provider = ${provider} and state <> 'deleted'
      and (keeper is null or keeper_until <= ${now} or (keeper = ${keeper} and keeper_until < ${enough}))`;
  return await sql<KeptPool[]>`
    select name, shape, config from pool
    where provider = ${provider} and keeper = ${keeper} and keeper_until >= ${enough}
    order by name`;
}

/** Whoever comes next need not wait. */
export async function letGoOfPools(sql: Sql, keeper: string): Promise<void> {
  await sql`update pool set keeper = null, keeper_until = null where keeper = ${keeper}`;
}
