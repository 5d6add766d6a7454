/** Nodes as their runners keep them: the lease of a session, what is wanted on them, and what ails their GPUs. */
import type { Assignment, Gang, ObservedContainer } from "../../sdk/protocol.ts";
import { containerMachine, nodeMachine, type NodeState, sources } from "../states.ts";
import { LABEL_OCI } from "../../sdk/labels.ts";
import type { Sql } from "./connect.ts";
import { NOTHING, type Touched } from "./touched.ts";

/** How long a node counts as up after it was last heard. */
export const NODE_LEASE_MS = 30_000;

/** What a runner says of its node with each sync. */
export interface Said {
  readonly nodeId: string;
  readonly session: string;
  readonly images?: readonly string[] | undefined;
  /** Its container engine, which may have come after the runner. */
  readonly engine?: { readonly away: string | null; readonly only: boolean } | undefined;
}

/**
 * Prolongs the session's lease, and notes which images the node has and whether its engine answers; null when the session is over, since
 * the runner has joined anew. `news`: whether the engine came, went away or is back.
 */
export async function renew(
  sql: Sql,
  now: Date,
  { nodeId, session, images, engine }: Said,
): Promise<{ state: NodeState; news: boolean } | null> {
  const until = new Date(now.getTime() + NODE_LEASE_MS);
  const has = sql.json(engine === undefined ? {} : { [LABEL_OCI]: "yes" });
  const [row] = await sql<{ state: NodeState; news: boolean }[]>`
    update node set seen_at = ${now}, lease_until = ${until}, images = ${(images ?? null) as string[] | null},
      engine_away = ${engine?.away ?? null}, engine_only = ${
    engine?.only ?? false
  }, labels = node.labels || ${has}::jsonb
    from (select engine_away, engine_only, labels from node where id = ${nodeId}) before
    where node.id = ${nodeId} and node.session = ${session}
    returning node.state, (before.engine_away, before.engine_only, before.labels) is distinct from
      (node.engine_away, node.engine_only, node.labels) as news`;
  return row ?? null;
}

/** A node that was lost is up again. */
export async function rejoin(sql: Sql, nodeId: string): Promise<void> {
  await sql`update node set state = ${nodeMachine.lost.rejoin} where id = ${nodeId} and state = 'lost'`;
}

/** The runner of a node ends in order. Should it come back, so does the node. */
export async function leave(sql: Sql, nodeId: string): Promise<void> {
  await sql`
    update node set state = 'left', revision = revision + 1
    where id = ${nodeId} and state = any(${sources(nodeMachine, "leave")})`;
}

/** Notes which GPUs of a node fail, and how; those not named are well. Returns whether that is news. */
export async function noteAilments(
  sql: Sql,
  nodeId: string,
  ailing: readonly { readonly index: number; readonly ailment: string }[],
): Promise<boolean> {
  const { count } = await sql`
    update gpu set healthy = said.ailment is null, ailment = said.ailment
    from (
      select fitted.index, a.ailment
      from gpu fitted left join json_to_recordset(${
    JSON.stringify(ailing)
  }::text::json) as a(index int, ailment text) using (index)
      where fitted.node_id = ${nodeId}
    ) said
    where gpu.node_id = ${nodeId} and gpu.index = said.index and gpu.ailment is distinct from said.ailment`;
  return count > 0;
}

/** Containers that the runner should have, with all that is needed to start them; and whether it should leave, since its provision is over. */
export async function wanted(
  sql: Sql,
  nodeId: string,
): Promise<{ revision: number; leave: boolean; containers: Assignment[] }> {
  const rows = await sql<WantedRow[]>`
    select node.revision, c.id, c.desired, app.name as app, c.deployment_id as deployment, deployment.digest as bundle,
      coalesce(deployment.manifest->'external', '[]') as external,
      (select element.spec from json_array_elements(deployment.manifest->'functions') as element(spec)
       where element.spec->>'name' = function.name) as spec,
      case when c.volume_ids is null then '[]' else (
        select coalesce(json_agg(json_build_object(
          'id', volume.id, 'name', volume.name, 'storage', volume.storage, 'path', mounted.path,
          'readOnly', mounted.ref->'readOnly') order by mounted.path), '[]')
        from json_array_elements(deployment.manifest->'functions') as element(spec)
          cross join json_each(element.spec->'volumes') as mounted(path, ref)
          join volume on volume.id = any(c.volume_ids) and volume.name = mounted.ref->>'name'
        where element.spec->>'name' = function.name) end as volumes,
      c.gpus, (extract(epoch from c.preempt_at) * 1000)::bigint as preempt_at,
      case when c.gang_id is not null then
        json_build_object('id', c.gang_id, 'rank', c.rank, 'size', (select size from gang where gang.id = c.gang_id)) end as gang,
      coalesce((select state not in ('requested', 'starting', 'joined') from provision where id = node.provision_id), false) as leave
    from node
      left join container c on c.node_id = node.id and c.exited_at is null and c.session = node.session -- container_node
      left join function on function.id = c.function_id
      left join app on app.id = function.app_id
      left join deployment on deployment.id = c.deployment_id
    where node.id = ${nodeId}
    order by c.created_at, c.id`;
  return {
    revision: rows[0]?.revision ?? 0,
    leave: rows[0]?.leave ?? false,
    containers: rows.filter((row) => row.id !== null).map((
      { revision: _, leave: _leave, gang, preemptAt, ...rest },
    ) => ({
      ...rest,
      ...(gang === null ? {} : { gang }),
      ...(preemptAt === null ? {} : { preemptAt }),
    })),
  };
}

/** Null where there is no container, no gang, no preemption. */
interface WantedRow extends Omit<Assignment, "gang" | "preemptAt"> {
  readonly revision: number;
  readonly leave: boolean;
  readonly gang: Gang | null;
  readonly preemptAt: number | null;
}

/** Notes containers that have come to start or to be ready. Of a gang, the node of rank 0 is touched: it may have waited for them. */
export async function observeRunning(
  sql: Sql,
  now: Date,
  nodeId: string,
  observed: readonly ObservedContainer[],
): Promise<Touched> {
  const alive = observed.filter((container) => container.observed !== "exited");
  if (alive.length === 0) return NOTHING;
  const rows = await sql<{ observed: string; leaderNode: string | null }[]>`
    update container set observed = seen.observed,
      address = seen.address,
      ready_at = case when seen.observed = 'ready' then ${now}::timestamptz end,
      busy_at = case when seen.observed = 'ready' then ${now} else busy_at end
    from json_to_recordset(${JSON.stringify(alive)}::text::json) as seen(id text, observed text, address text)
    where container.id = seen.id and container.node_id = ${nodeId}
      and container.observed = any(
        case seen.observed when 'ready' then ${sources(containerMachine, "ready")}::text[]
        else ${sources(containerMachine, "start")}::text[] end)
    returning container.observed, case when container.gang_id is not null then (
      select leader.node_id from container leader -- container_rank
      where leader.gang_id = container.gang_id and leader.rank = 0 and leader.exited_at is null
    ) end as leader_node`;
  const ready = rows.filter((row) => row.observed === "ready");
  return { ...NOTHING, containers: ready.length, nodeIds: ready.flatMap((row) => row.leaderNode ?? []) };
}

/** Those of `ids` that the store holds to be alive on a node. */
export async function aliveAmong(sql: Sql, nodeId: string, ids: readonly string[]): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    select id from container where node_id = ${nodeId} and id = any(${ids as string[]}) and exited_at is null`;
  return new Set(rows.map((row) => row.id));
}

/** What a container is for. */
export interface Role {
  readonly functionId: number;
  /** Its place in its gang; null when it belongs to none. */
  readonly rank: number | null;
}

/** The roles of these containers of a node. */
export async function rolesOf(sql: Sql, nodeId: string, ids: readonly string[]): Promise<Map<string, Role>> {
  const rows = await sql<(Role & { id: string })[]>`
    select id, function_id, case when gang_id is not null then rank end as rank
    from container where node_id = ${nodeId} and id = any(${ids as string[]})`;
  return new Map(rows.map(({ id, ...role }) => [id, role]));
}
