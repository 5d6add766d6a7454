/** Which endpoint is served by which containers: an in-memory table, so that a request needs no database. Pure. */
import type { RouteRow } from "../../scheduler/store/routes.ts";

/** A container that takes requests: ready, wanted, and of the deployment that has the traffic. */
export interface RouteContainer {
  readonly id: string;
  /** Unix socket of its endpoints, or `HOST:PORT`. */
  readonly address: string;
}

/** What is placed and scaled: several endpoints may share it, and with it its containers. */
export interface FunctionRoute {
  readonly id: number;
  readonly name: string;
  /** Requests that one container takes at a time. */
  readonly concurrency: number;
  /** How long a request may wait for a container. */
  readonly startTimeoutMs: number;
  /** How long a request may run before its response begins. */
  readonly timeoutMs: number;
  /** A program that knows no paths but its own: `/e/{app}/{endpoint}/x` is asked of it as `/x`. */
  readonly mounted: boolean;
  readonly containers: readonly RouteContainer[];
}

export interface EndpointRoute {
  readonly workspace: string;
  readonly app: string;
  readonly endpoint: string;
  readonly auth: "key" | "public";
  readonly function: FunctionRoute;
}

export interface RouteTable {
  readonly endpoints: readonly EndpointRoute[];
  readonly functions: ReadonlyMap<number, FunctionRoute>;
  find(workspace: string, app: string, endpoint: string): EndpointRoute | undefined;
}

/** Of the store's rows, one per endpoint. */
export function routeTableOf(rows: readonly RouteRow[]): RouteTable {
  const functions = new Map(rows.map((row) => [row.functionId, functionOf(row)]));
  return routeTable(rows.map(({ workspace, app, endpoint, auth, functionId }) => (
    { workspace, app, endpoint, auth, function: functions.get(functionId)! }
  )));
}

const functionOf = (row: RouteRow): FunctionRoute => ({
  id: row.functionId,
  name: row.functionName,
  concurrency: row.concurrency,
  startTimeoutMs: row.startTimeoutMs,
  timeoutMs: row.timeoutMs,
  mounted: row.body === "server",
  containers: row.containers,
});

export function routeTable(endpoints: readonly EndpointRoute[]): RouteTable {
  const byName = new Map(
    endpoints.map((route) => [keyOf(route.workspace, route.app, route.endpoint), route]),
  );
  return {
    endpoints,
    functions: new Map(endpoints.map((route) => [route.function.id, route.function])),
    find: (workspace, app, endpoint) => byName.get(keyOf(workspace, app, endpoint)),
  };
}

/** No name holds a slash. */
const keyOf = (workspace: string, app: string, endpoint: string): string => `${workspace}/${app}/${endpoint}`;
