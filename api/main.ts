/** Builds the api with its scheduler, gateway and store. `berth up` calls it; run as a program it serves an existing database. */
import { migrate } from "../migrations/migrate.ts";
import { connect, type Pool } from "../scheduler/store/connect.ts";
import { forgetDemand } from "../scheduler/store/demand.ts";
import { ensureWorkspace, insertJoinToken, insertKey, revokeKeys } from "../scheduler/store/keys.ts";
import { LocalWakes, SharedWakes, type Wakes } from "../scheduler/wakes.ts";
import { parseDuration } from "../sdk/duration.ts";
import { hostIdentity } from "../sdk/host.ts";
import { type Clock, type Log, newId, type Random, realClock, realLog, realRandom } from "../sdk/ports.ts";
import type { Scope } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { assemble, DEFAULT_WORKSPACE, openPools, type Pools } from "./assemble.ts";
import { createKey, hashOf, secret } from "./auth.ts";
import type { Blobs } from "./blobs/blobs.ts";
import { FileBlobs } from "./blobs/files.ts";
import type { S3Place } from "./blobs/s3_settings.ts";
import { optionsOf, printable, readConfig, RETENTION, secretKeysOf } from "./config.ts";
import { dialContainer } from "./gateway/dial.ts";
import type { ImageSettings } from "./images.ts";
import { listen } from "./listen.ts";
import { type LocalNodes, openLocalNodes } from "./local_nodes.ts";
import { readKeyFile } from "./secrets/key_file.ts";
import { type Keyring, keyringOf } from "./secrets/keyring.ts";

export interface PlatformOptions {
  readonly databaseUrl: string;
  /** Folder of blobs. */
  readonly blobsDir: string;
  /** Where they lie instead, if on S3. */
  readonly s3?: S3Place | undefined;
  /** @default "127.0.0.1" */
  readonly hostname?: string;
  /** @default 0, any free one */
  readonly port?: number;
  /** Socket for the runner of this machine. */
  readonly unixSocket?: string;
  /** Where users reach the api, when that is not what their requests say. */
  readonly publicUrl?: string;
  /** How images are made that the platform builds. @default no registry, and bases of the public hub */
  readonly images?: ImageSettings;
  /** Accepted as an admin key of the default workspace, from the start. */
  readonly adminKey?: string;
  /** Accepted as a join token of pool `default`, from the start. */
  readonly joinToken?: string;
  /**
   * How long calls that have ended are kept, with their inputs, results, logs and checkpoints; 0: for ever.
   * @default 30 days
   */
  readonly retentionMs?: number;
  /** Opens and seals secrets; without one there are none. */
  readonly keyring?: Keyring | null;
  /**
   * Nobody else uses the database, so that wakes need not leave this process.
   * @default false
   */
  readonly alone?: boolean;
  /** The nodes of this machine's pools; none are kept without. */
  readonly nodes?: LocalNodes | null;
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

/** Time that requests under way have to end. */
const GRACE_MS = 10_000;

/** A gateway that has said nothing for this long is gone for good. */
const GATEWAY_DEAD_MS = 24 * 3_600_000;

/** Brings the database up to date, begins to schedule, and serves. */
export async function createPlatform(options: PlatformOptions): Promise<Platform> {
  const pools = openPools((pool) => connect(options.databaseUrl, pool));
  try {
    return await start(options, pools);
  } catch (error) {
    await closePools(pools);
    throw error;
  }
}

async function start(options: PlatformOptions, pools: Pools): Promise<Platform> {
  const { clock = realClock, random = realRandom, log = realLog } = options;
  const blobs = await openBlobs(options, { clock, random });
  await prepare(pools.api, new Date(clock.now()), options, newId("key", { clock, random }));
  const place = { url: "" };
  const { deps, answer, gateway, schedule, keep, sweep, close } = await assemble({
    pools,
    blobs,
    clock,
    random,
    log,
    wakes: await wakesOf(options, pools, newId("api", { clock, random })),
    host: await hostIdentity(),
    dial: dialContainer,
    publicUrl: options.publicUrl,
    retentionMs: options.retentionMs ?? parseDuration(RETENTION),
    ...(options.images === undefined ? {} : { images: options.images }),
    ownUrl: () => place.url,
    keyring: options.keyring ?? null,
    ...(options.nodes ? { providers: { local: options.nodes.provider }, keeper: options.nodes.keeper } : {}),
  });
  const listening = await listen(answer, { ...options, log }).catch(async (error) => {
    await gateway.drain(0);
    throw error;
  });
  place.url = listening.url;
  const scheduling = Promise.all([schedule(), keep(), sweep()]);

  const stop = async () => {
    close();
    const grace = new AbortController();
    const ended = Promise.all([listening.shutdown(), gateway.drain(GRACE_MS), scheduling]);
    await Promise.race([ended, clock.sleep(GRACE_MS, grace.signal)]);
    grace.abort();
    await closePools(pools);
  };
  let stopped: Promise<void> | undefined;
  return { url: place.url, ...issuer(deps), stop: () => stopped ??= stop() };
}

/** Opened first: what is wrong with it shows before anything is done. The SDK of S3 is loaded only where it is used. */
async function openBlobs(
  { blobsDir, s3 }: PlatformOptions,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<Blobs> {
  if (s3 === undefined) return await FileBlobs.open({ folder: blobsDir, clock, random });
  const { S3Blobs } = await import("./blobs/s3.ts");
  return await S3Blobs.open(s3, { clock });
}

/** What must be in the database before anything asks it. */
async function prepare(sql: Pool, now: Date, options: PlatformOptions, keyId: string): Promise<void> {
  await migrate(sql, now);
  await ensureWorkspace(sql, now, DEFAULT_WORKSPACE);
  await acceptGiven(sql, now, options, keyId);
  await forgetDemand(sql, new Date(now.getTime() - GATEWAY_DEAD_MS));
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

const closePools = (pools: Pools): Promise<unknown> =>
  Promise.all(Object.values(pools).map((pool) => pool.end({ timeout: 1 })));

const wakesOf = (
  { alone = false }: PlatformOptions,
  pools: { wakes: Pool },
  origin: string,
): Promise<Wakes> => alone ? Promise.resolve(new LocalWakes()) : SharedWakes.listen(pools.wakes, origin);

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
  const env = Deno.env.toObject();
  const config = readConfig(env);
  realLog("api.starting", printable(config));
  const place = { url: "" };
  const nodes = await openLocalNodes({
    folder: config.BERTH_NODES,
    api: () => place.url,
    env,
    clock: realClock,
    log: realLog,
  });
  const { BERTH_SECRETS_KEY_FILE: keyFile } = config;
  const keyring = keyringOf([
    ...secretKeysOf(config),
    ...keyFile === undefined ? [] : await readKeyFile(keyFile),
  ]);
  const platform = await createPlatform({ ...optionsOf(config), nodes, keyring });
  place.url = platform.url;
  realLog("api.ready", { url: platform.url });
  const asked = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => asked.resolve());
  await asked.promise;
  await platform.stop();
  nodes?.release();
  Deno.exit(0);
}
