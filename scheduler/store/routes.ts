/** Endpoints and the containers that serve them. */
import { parseDuration } from "../../sdk/duration.ts";
import type { FunctionSpec } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** An endpoint as deployed, and its containers. */
export interface RouteRow {
  readonly workspace: string;
  readonly app: string;
  readonly endpoint: string;
  readonly auth: "key" | "public";
  readonly functionId: number;
  readonly functionName: string;
  readonly body: FunctionSpec["body"];
  readonly concurrency: number;
  readonly startTimeoutMs: number;
  readonly timeoutMs: number;
  /** Those that take requests. */
  readonly containers: readonly ServingContainer[];
}

export interface ServingContainer {
  readonly id: string;
  /** On its machine. */
  readonly address: string;
  /** Identity of that machine. */
  readonly host: string;
  /** The port of its runner, for whoever is on another machine; null where there is none. */
  readonly relay: { readonly hostname: string; readonly port: number; readonly key: string } | null;
}

type Raw = Omit<RouteRow, "startTimeoutMs" | "timeoutMs"> & {
  readonly startTimeout: string;
  readonly timeout: string;
};

/**
 * Every endpoint of every live app. Of the containers only ready ones that are wanted and of the current deployment: a
 * request that comes after a deploy is answered by what was deployed, as a call is.
 */
export async function loadRoutes(sql: Sql): Promise<RouteRow[]> {
  const rows = await sql<Raw[]>`
    select a.workspace_id as workspace, a.name as app,
      m.method->'endpoint'->>'name' as endpoint, m.method->'endpoint'->>'auth' as auth,
      f.id as function_id, f.name as function_name, f.spec->>'body' as body, (f.spec->>'concurrency')::int as concurrency,
      f.spec->>'startTimeout' as start_timeout, f.spec->>'timeout' as timeout,
      coalesce(serving.containers, '[]') as containers
    from app a
    join function f on f.app_id = a.id and f.removed_at is null
    cross join json_array_elements(f.spec->'methods') as m (method)
    left join lateral (
      select json_agg(json_build_object('id', c.id, 'address', c.address, 'host', n.host, 'relay',
        case when n.relay_port is not null then json_build_object('hostname', n.address, 'port', n.relay_port, 'key', n.relay_key) end
      ) order by c.id) as containers
      from container c                                   -- by index container_live
      join node n on n.id = c.node_id
      where c.function_id = f.id
        and c.exited_at is null
        and c.observed = 'ready'
        and c.desired = 'run'
        and c.deployment_id = f.deployment_id
        and c.address is not null
    ) serving on true
    where a.deleted_at is null
      and m.method->>'kind' = 'endpoint'
    order by a.workspace_id, a.name, endpoint`;
  return rows.map(({ startTimeout, timeout, ...row }) => ({
    ...row,
    startTimeoutMs: parseDuration(startTimeout),
    timeoutMs: parseDuration(timeout),
  }));
}
