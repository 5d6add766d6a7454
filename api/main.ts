/** Builds the api with its scheduler, gateway and store. `berth up` calls it; run as a program it serves an existing database. */
import { migrate } from "../migrations/migrate.ts";
import { createScheduler } from "../scheduler/loop.ts";
import { connect, type ConnectOptions, type Pool } from "../scheduler/store/connect.ts";
import { forgetDemand, reportDemand } from "../scheduler/store/demand.ts";
import { ensureWorkspace, insertJoinToken, insertKey, revokeKeys } from "../scheduler/store/keys.ts";
import { waitingReason } from "../scheduler/store/apps.ts";
import { loadRoutes } from "../scheduler/store/routes.ts";
import { LocalWakes, SharedWakes, type Wakes } from "../scheduler/wakes.ts";
import { type Clock, type Log, newId, type Random, realClock, realLog, realRandom } from "../sdk/ports.ts";
import type { Scope } from "../sdk/protocol.ts";
import { type ApiDeps, createApi } from "./app.ts";
import { Auth, createKey, hashOf, secret } from "./auth.ts";
import { FileBlobs } from "./blobs/files.ts";
import { Callables } from "./callables.ts";
import { optionsOf, printable, readConfig } from "./config.ts";
import { EnqueueGroup } from "./enqueue.ts";
import { Exchanges } from "./exchange.ts";
import { createGateway, type Gateway } from "./gateway/gateway.ts";
import { dialUnix } from "./gateway/connection.ts";
import { routeTableOf } from "./gateway/routes.ts";
import { HttpUpstream } from "./gateway/upstream.ts";
import { listen } from "./listen.ts";
import { Syncs } from "./sync.ts";

export interface PlatformOptions {
  readonly databaseUrl: string;
  /** Folder of blobs. */
  readonly blobsDir: string;
  /** @default "127.0.0.1" */
  readonly hostname?: string;
  /** @default 0, any free one */
  readonly port?: number;
  /** Socket for the runner of this machine. */
  readonly unixSocket?: string;
  /** Where users reach the api, when that is not what their requests say. */
  readonly publicUrl?: string;
  /** Accepted as an admin key of the default workspace, from the start. */
  readonly adminKey?: string;
  /** Accepted as a join token of pool `default`, from the start. */
  readonly joinToken?: string;
  /**
   * Nobody else uses the database, so that wakes need not leave this process.
   * @default false
   */
  readonly alone?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
}

export interface Platform {
  readonly url: string;
  /** A new key of a workspace; keys of the same name there are revoked when `replace` is set. */
  createKey(of: { name: string; scope: Scope; workspace?: string; replace?: boolean }): Promise<string>;
  /** A token with which runners join a pool. */
  createJoinToken(of: { pool: string; expiresAt?: Date }): Promise<string>;
  /** Answers what is under way, loses nothing, and lets go of everything. */
  stop(): Promise<void>;
}

/** The workspace of those who did not make any. */
export const DEFAULT_WORKSPACE = "default";

/** Time that requests under way have to end. */
const GRACE_MS = 10_000;

/** A gateway that has said nothing for this long is gone for good. */
const GATEWAY_DEAD_MS = 24 * 3_600_000;

type Pools = ReturnType<typeof openPools>;
type World = Pick<ApiDeps, "clock" | "random" | "log" | "wakes">;

/** Brings the database up to date, begins to schedule, and serves. */
export async function createPlatform(options: PlatformOptions): Promise<Platform> {
  const pools = openPools(options);
  try {
    return await start(options, pools);
  } catch (error) {
    await closePools(pools);
    throw error;
  }
}

async function start(options: PlatformOptions, pools: Pools): Promise<Platform> {
  const { clock = realClock, random = realRandom, log = realLog } = options;
  await prepare(pools.api, new Date(clock.now()), options, newId("key", { clock, random }));
  const wakes = await wakesOf(options, pools, newId("api", { clock, random }));
  const world = { clock, random, log, wakes };
  const auth = new Auth({ sql: pools.api, clock });
  const gateway = gatewayOf(pools.api, auth, world);
  await gateway.start();

  const closing = new AbortController();
  const place = { url: "" };
  const deps: ApiDeps = {
    ...world,
    ...depsOf(pools, world),
    auth,
    blobs: await FileBlobs.open({ folder: options.blobsDir, clock }),
    endpoints: gateway,
    publicUrl: options.publicUrl,
    ownUrl: () => place.url,
    startedAt: clock.now(),
    closing: closing.signal,
  };
  const listening = await listen(createApi(deps), { ...options, log }).catch(async (error) => {
    await gateway.drain(0);
    throw error;
  });
  place.url = listening.url;
  const scheduling = createScheduler({ ...world, sql: pools.scheduler }).run(closing.signal);

  const stop = async () => {
    closing.abort(); // long polls and streams end, the scheduler too
    const grace = new AbortController();
    const ended = Promise.all([listening.shutdown(), gateway.drain(GRACE_MS), scheduling]);
    await Promise.race([ended, clock.sleep(GRACE_MS, grace.signal)]);
    grace.abort();
    await closePools(pools);
  };
  let stopped: Promise<void> | undefined;
  return { url: place.url, ...issuer(deps), stop: () => stopped ??= stop() };
}

/** What must be in the database before anything asks it. */
async function prepare(sql: Pool, now: Date, options: PlatformOptions, keyId: string): Promise<void> {
  await migrate(sql, now);
  await ensureWorkspace(sql, now, DEFAULT_WORKSPACE);
  await acceptGiven(sql, now, options, keyId);
  await forgetDemand(sql, new Date(now.getTime() - GATEWAY_DEAD_MS));
}

/** What the handlers work with, each on the pool that is its own. */
function depsOf(pools: Pools, world: World) {
  const exchanges = new Exchanges({ ...world, sql: pools.exchange });
  const wouldTake = (functionId: number, calls: number) => exchanges.wouldTake(functionId, calls);
  return {
    sql: pools.api,
    callables: new Callables({ ...world, sql: pools.api }),
    enqueue: new EnqueueGroup({ ...world, sql: pools.enqueue, wouldTake }),
    exchanges,
    syncs: new Syncs({ ...world, sql: pools.api }),
  };
}

/** Keys and tokens that were made elsewhere. */
async function acceptGiven(
  sql: Pool,
  now: Date,
  { adminKey, joinToken }: PlatformOptions,
  id: string,
): Promise<void> {
  if (adminKey !== undefined) {
    const hash = hashOf(adminKey);
    await insertKey(sql, now, {
      id,
      workspace: DEFAULT_WORKSPACE,
      name: "given at start",
      hash,
      scope: "admin",
    });
  }
  if (joinToken !== undefined) {
    await insertJoinToken(sql, now, { hash: hashOf(joinToken), pool: "default", expiresAt: null });
  }
}

/** Statements of one kind don't wait behind those of another. */
function openPools({ databaseUrl }: PlatformOptions) {
  const open = (name: string, options: Omit<ConnectOptions, "name">): Pool =>
    connect(databaseUrl, { ...options, name: `berth ${name}` });
  return {
    api: open("api", { max: 8 }),
    /** Group enqueue runs one statement at a time. */
    enqueue: open("enqueue", { max: 1, pinned: true }),
    exchange: open("exchange", { max: 4, pinned: true }),
    scheduler: open("scheduler", { max: 1 }),
    /** A wake is a hint, and a lost one is made good: it need not reach the disk. */
    wakes: open("wakes", { max: 2, durable: false }),
  };
}

const closePools = (pools: Pools): Promise<unknown> =>
  Promise.all(Object.values(pools).map((pool) => pool.end({ timeout: 1 })));

const wakesOf = (
  { alone = false }: PlatformOptions,
  pools: { wakes: Pool },
  origin: string,
): Promise<Wakes> => alone ? Promise.resolve(new LocalWakes()) : SharedWakes.listen(pools.wakes, origin);

function gatewayOf(
  sql: Pool,
  auth: Auth,
  world: World,
): Gateway {
  const gateway = newId("gw", world);
  return createGateway({
    ...world,
    upstream: new HttpUpstream({ clock: world.clock, dial: dialUnix }),
    loadRoutes: async () => routeTableOf(await loadRoutes(sql)),
    reportDemand: (rows, now) => reportDemand(sql, new Date(now), { gateway, rows }),
    waitingReason: (functionId) => waitingReason(sql, functionId),
    authenticate: (request) => auth.caller(request.headers.get("authorization") ?? undefined),
    publicWorkspace: DEFAULT_WORKSPACE,
  });
}

function issuer(deps: ApiDeps): Pick<Platform, "createKey" | "createJoinToken"> {
  const { sql, clock, random } = deps;
  return {
    createKey: async ({ name, scope, workspace = DEFAULT_WORKSPACE, replace = false }) => {
      if (replace) await revokeKeys(sql, new Date(clock.now()), { workspace, name });
      return (await createKey(deps, { workspace, name, scope })).key;
    },
    createJoinToken: async ({ pool, expiresAt = null }) => {
      const token = secret("join", random);
      await insertJoinToken(sql, new Date(clock.now()), { hash: hashOf(token), pool, expiresAt });
      return token;
    },
  };
}

if (import.meta.main) {
  const config = readConfig(Deno.env.toObject());
  realLog("api.starting", printable(config));
  const platform = await createPlatform(optionsOf(config));
  realLog("api.ready", { url: platform.url });
  const asked = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => asked.resolve());
  await asked.promise;
  await platform.stop();
  Deno.exit(0);
}
