/**
 * An api process put together from its ports: handlers, gateway and the scheduler's loop, each on the pool that is its own.
 * main.ts brings the real ports; a simulation brings others, and runs the same.
 */
import { placeBuilds } from "../scheduler/builds.ts";
import { createScheduler } from "../scheduler/loop.ts";
import { createKeeping, type Keeping } from "../scheduler/providers/loop.ts";
import type { Provider } from "../scheduler/providers/provider.ts";
import { waitingReason } from "../scheduler/store/apps.ts";
import type { ConnectOptions, Pool } from "../scheduler/store/connect.ts";
import { reportDemand } from "../scheduler/store/demand.ts";
import { loadRoutes } from "../scheduler/store/routes.ts";
import type { Wakes } from "../scheduler/wakes.ts";
import { type Clock, type Log, newId, type Random } from "../sdk/ports.ts";
import { type Answer, type ApiDeps, createApi } from "./app.ts";
import { Auth, hashOf, secret } from "./auth.ts";
import type { Blobs } from "./blobs/blobs.ts";
import { Callables } from "./callables.ts";
import { EnqueueGroup } from "./enqueue.ts";
import { Execs } from "./execs.ts";
import { Exchanges } from "./exchange.ts";
import type { Dial } from "./gateway/connection.ts";
import { createGateway, type Gateway } from "./gateway/gateway.ts";
import { routeTableOf } from "./gateway/routes.ts";
import { HttpUpstream } from "./gateway/upstream.ts";
import type { Keyring } from "./secrets/keyring.ts";
import { Vault } from "./secrets/vault.ts";
import { Sweeper } from "./sweeper.ts";
import { IMAGE_DEFAULTS, type ImageSettings } from "./images.ts";
import { Syncs } from "./sync.ts";

/** The workspace of those who did not make any. */
export const DEFAULT_WORKSPACE = "default";

/** The pools of connections of one process. Statements of one kind don't wait behind those of another. */
export const POOLS = {
  api: { max: 8 },
  /** Group enqueue runs one statement at a time. */
  enqueue: { max: 1, pinned: true },
  exchange: { max: 4, pinned: true },
  scheduler: { max: 1 },
  /** A wake is a hint, and a lost one is made good: it need not reach the disk. */
  wakes: { max: 2, durable: false },
} as const satisfies Record<string, Omit<ConnectOptions, "name">>;

export type Pools = Readonly<Record<keyof typeof POOLS, Pool>>;

/** All pools, each opened by `open`. */
export const openPools = (open: (options: ConnectOptions) => Pool): Pools =>
  Object.fromEntries(
    Object.entries(POOLS).map(([name, options]) => [name, open({ ...options, name: `berth ${name}` })]),
  ) as Pools;

export interface AssemblyPorts {
  readonly pools: Pools;
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly wakes: Wakes;
  /** Opens and seals secrets; without one there are none. */
  readonly keyring?: Keyring | null;
  /** Identity of this machine; see `sdk/host.ts`. */
  readonly host: string;
  /** Connects to the endpoints of a container. */
  readonly dial: Dial;
  readonly publicUrl?: string | undefined;
  /**
   * How long calls that have ended are kept, with all that belongs to them.
   * @default 0, for ever
   */
  readonly retentionMs?: number | undefined;
  /** @default no registry, and bases of the public hub */
  readonly images?: ImageSettings;
  /** Where this process listens. */
  readonly ownUrl: () => string;
  /** Who bring the nodes of pools, by name; and how this process is called that keeps them. */
  readonly providers?: Readonly<Record<string, Provider>>;
  readonly keeper?: string;
}

export interface Assembly {
  readonly deps: ApiDeps;
  readonly answer: Answer;
  readonly gateway: Gateway;
  /** Schedules until {@link close}. */
  schedule(): Promise<void>;
  /** Keeps the pools of its providers until then. */
  keep(): Promise<void>;
  /** Removes what nobody refers to any more, until then. */
  sweep(): Promise<void>;
  /** Long polls and streams end, the scheduler too. */
  close(): void;
}

/** Resolves when there are routes to serve. */
export async function assemble(ports: AssemblyPorts): Promise<Assembly> {
  const { pools, clock, random, log, wakes } = ports;
  const world = { clock, random, log, wakes };
  const auth = new Auth({ sql: pools.api, clock });
  const gateway = gatewayOf(ports, auth);
  await gateway.start();

  const closing = new AbortController();
  const deps: ApiDeps = {
    ...world,
    ...verbsOf(pools, world),
    execs: new Execs({ ...world, sql: pools.api, closing: closing.signal }),
    auth,
    blobs: ports.blobs,
    endpoints: gateway,
    vault: new Vault(ports.keyring ?? null, random),
    images: ports.images ?? IMAGE_DEFAULTS,
    publicUrl: ports.publicUrl,
    ownUrl: ports.ownUrl,
    startedAt: clock.now(),
    closing: closing.signal,
  };
  return {
    deps,
    answer: createApi(deps),
    gateway,
    schedule: async () => {
      const scheduler = createScheduler({ ...world, sql: pools.scheduler });
      const building = placeBuilds({ ...world, sql: pools.api }, closing.signal);
      await Promise.all([scheduler.run(closing.signal), building]);
    },
    keep: () => keepingOf(ports).run(closing.signal),
    sweep: () => sweeperOf(ports).run(closing.signal),
    close: () => closing.abort(),
  };
}

/** What the handlers work with, each on the pool that is its own. */
function verbsOf(pools: Pools, world: Pick<ApiDeps, "clock" | "random" | "log" | "wakes">) {
  const exchanges = new Exchanges({ ...world, sql: pools.exchange });
  return {
    sql: pools.api,
    callables: new Callables({ ...world, sql: pools.api }),
    enqueue: new EnqueueGroup({ ...world, sql: pools.enqueue }),
    exchanges,
    syncs: new Syncs({ ...world, sql: pools.api }),
  };
}

function keepingOf(
  { pools, clock, random, log, wakes, providers = {}, keeper = "" }: AssemblyPorts,
): Keeping {
  const newToken = () => {
    const token = secret("join", random);
    return { token, hash: hashOf(token) };
  };
  return createKeeping({ sql: pools.api, clock, log, wakes, providers, keeper, newToken });
}

const sweeperOf = ({ pools, clock, log, blobs, retentionMs = 0 }: AssemblyPorts): Sweeper =>
  new Sweeper({ sql: pools.api, clock, log, blobs, retentionMs });

function gatewayOf({ pools, host, dial, clock, random, log, wakes }: AssemblyPorts, auth: Auth): Gateway {
  const { api: sql } = pools;
  const gateway = newId("gw", { clock, random });
  return createGateway({
    clock,
    random,
    log,
    wakes,
    upstream: new HttpUpstream({ clock, dial }),
    loadRoutes: async () => routeTableOf(await loadRoutes(sql), host),
    reportDemand: (rows, now) => reportDemand(sql, new Date(now), { gateway, rows }),
    waitingReason: (functionId) => waitingReason(sql, functionId),
    authenticate: (request) => auth.caller(request.headers.get("authorization") ?? undefined),
    publicWorkspace: DEFAULT_WORKSPACE,
  });
}
