/** Which endpoint is served by which containers: an in-memory table, so that a request needs no database. Pure. */
import type { RouteRow, ServingContainer } from "../../scheduler/store/routes.ts";
import { formatRelayAddress } from "../../sdk/container_address.ts";

/** A container that takes requests: ready, wanted, and of the deployment that has the traffic. */
export interface RouteContainer {
  readonly id: string;
  /** Where its endpoints are reached from here. */
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

/** Of the store's rows, one per endpoint; `host` is the identity of this machine. */
export function routeTableOf(rows: readonly RouteRow[], host: string): RouteTable {
  const functions = new Map(rows.map((row) => [row.functionId, functionOf(row, host)]));
  return routeTable(rows.map(({ workspace, app, endpoint, auth, functionId }) => (
    { workspace, app, endpoint, auth, function: functions.get(functionId)! }
  )));
}

const functionOf = (row: RouteRow, host: string): FunctionRoute => ({
  id: row.functionId,
  name: row.functionName,
  concurrency: row.concurrency,
  startTimeoutMs: row.startTimeoutMs,
  timeoutMs: row.timeoutMs,
  mounted: row.body === "server",
  containers: row.containers.map((one) => ({ id: one.id, address: addressFrom(host, one) })),
});

/** The runner's port is the longer way, and the only one from another machine. */
const addressFrom = (here: string, { id, address, host, relay }: ServingContainer): string =>
  host === here || relay === null ? address : formatRelayAddress({ ...relay, container: id });

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
