/** Apps, their deployments and functions, as they are read. */
import type { App, Deployment, FunctionSpec, Manifest } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";
import { waitingCalls } from "./quotas.ts";

export interface AppRow {
  readonly id: number;
  readonly name: string;
  readonly createdAt: Date;
  readonly deployment: string;
  readonly version: number;
  readonly digest: string;
  readonly manifest: Manifest;
  readonly deployedAt: Date;
}

interface AppFilter {
  readonly workspace: string;
  readonly name?: string | undefined;
  readonly after?: string | undefined;
  readonly limit: number;
}

/** The apps of a workspace, by name, each with the deployment that has its traffic. */
export async function listApps(
  sql: Sql,
  { workspace, name, after = "", limit }: AppFilter,
): Promise<AppRow[]> {
  return await sql<AppRow[]>`
    select a.id, a.name, a.created_at, d.id as deployment, d.version, d.digest, d.manifest, d.created_at as deployed_at
    from app a
    join deployment d on d.id = a.deployment_id
    where a.workspace_id = ${workspace} and a.deleted_at is null and a.name > ${after}
      ${name === undefined ? sql`` : sql`and a.name = ${name}`}
    order by a.name  -- app_live
    limit ${limit}`;
}

export async function findApp(sql: Sql, workspace: string, name: string): Promise<AppRow | undefined> {
  return (await listApps(sql, { workspace, name, limit: 1 }))[0];
}

/** Names of a workspace's apps, to say what there is. */
export async function appNames(sql: Sql, workspace: string): Promise<string[]> {
  return (await listApps(sql, { workspace, limit: 100 })).map((app) => app.name);
}

/** What can be called in an app. */
export interface Callable {
  readonly functionId: number;
  readonly method: string;
}

/** Everything that can be called in an app now; undefined when there is no such app. */
export async function callables(sql: Sql, workspace: string, app: string): Promise<Callable[] | undefined> {
  const rows = await sql<{ functionId: number | null; method: string | null }[]>`
    select f.id as function_id, m->>'name' as method
    from app a
    left join function f on f.app_id = a.id and f.removed_at is null
    left join lateral json_array_elements(f.spec->'methods') m on m->>'kind' = 'call'
    where a.workspace_id = ${workspace} and a.name = ${app} and a.deleted_at is null  -- app_live
    order by f.id`;
  if (rows.length === 0) return undefined;
  return rows.filter((row): row is Callable => row.functionId !== null && row.method !== null);
}

/** Calls of a function that wait. */
export async function countQueued(sql: Sql, functionId: number): Promise<number> {
  const [row] = await sql<{ queued: number }[]>`
    select ${waitingCalls(sql, "function.id")} as queued from function where id = ${functionId}`;
  return row?.queued ?? 0;
}

/** Why the calls and requests of a function wait, as the last tick saw it. */
export async function waitingReason(sql: Sql, functionId: number): Promise<string | null> {
  const [row] = await sql<{ reason: string }[]>`select reason from waiting where function_id = ${functionId}`;
  return row?.reason ?? null;
}

/** @param endpointUrl the address of an endpoint, by its name */
export function toApp(row: AppRow, endpointUrl: (endpoint: string) => string): App {
  return {
    name: row.name,
    deployment: row.deployment,
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    deployedAt: row.deployedAt.toISOString(),
    functions: row.manifest.functions,
    endpoints: endpointsOf(row.manifest.functions, endpointUrl),
  };
}

export function toDeployment(row: AppRow, endpointUrl: (endpoint: string) => string): Deployment {
  return {
    app: row.name,
    deployment: row.deployment,
    version: row.version,
    bundle: row.digest,
    createdAt: row.deployedAt.toISOString(),
    functions: row.manifest.functions.map((spec) => spec.name),
    endpoints: endpointsOf(row.manifest.functions, endpointUrl),
  };
}

const endpointsOf = (
  functions: readonly FunctionSpec[],
  url: (endpoint: string) => string,
): Deployment["endpoints"] =>
  functions.flatMap((spec) => spec.methods).flatMap(({ endpoint }) =>
    endpoint === undefined ? [] : [{ ...endpoint, url: url(endpoint.name) }]
  );
