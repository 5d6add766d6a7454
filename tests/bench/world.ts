/** What all benches share: a PostgreSQL server with the settings of the embedded one, and a platform on it. */
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { type RunningPostgres, startPostgres } from "../../api/postgres.ts";
import { connect, type Pool } from "../../scheduler/store/connect.ts";
import { Client } from "../../sdk/client.ts";
import { type Platform, startPlatform } from "../../sdk/examples/quickstart/platform.ts";
import type { Clock, Fetch } from "../../sdk/ports.ts";
import { freePort } from "../setup/postgres.ts";

export interface World {
  readonly clock: Clock;
  readonly fetch: Fetch;
  readonly postgres: RunningPostgres;
  readonly platform: Platform;
  readonly client: Client;
  /** The platform's own database. */
  readonly sql: Pool;
  /** Makes an empty database on the same server; returns its address. */
  database(name: string): Promise<string>;
  /** `n`, or a fiftieth of it in a quick run, whose figures mean nothing. */
  scaled(n: number): number;
  /** What its functions run in; null where they are plain processes. */
  readonly engine: BenchEngine | null;
}

/** A container engine of the bench's own. */
export interface BenchEngine {
  readonly name: "docker" | "podman";
  readonly socket: string;
  /** Image with Deno. */
  readonly image: string;
  /** What was made of a function's container before it is asked: it waits, it is only created, or nothing is there. */
  readonly ahead: "waiting" | "created" | "nothing";
}

export interface WorldOptions {
  readonly clock: Clock;
  readonly fetch: Fetch;
  readonly quick: boolean;
  /** More arguments of `berth up`. */
  readonly args?: readonly string[];
  readonly engine?: BenchEngine | null;
}

const APP = fileURLToPath(new URL("app.ts", import.meta.url));

/** Runs `use` in a world of its own, and clears it away. */
export async function withWorld<T>(options: WorldOptions, use: (world: World) => Promise<T>): Promise<T> {
  const { clock, fetch, quick, args = [], engine = null } = options;
  const dir = await Deno.makeTempDir({ prefix: "berth-bench-" });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => Deno.remove(dir, { recursive: true }));
  const postgres = await startPostgres({ dataDir: join(dir, "postgres"), port: freePort(), clock });
  undo.defer(() => postgres.stop());
  const admin = connect(postgres.url, { max: 1, name: "bench" });
  undo.defer(() => admin.end({ timeout: 1 }));
  const database = async (name: string) => {
    await admin.unsafe(`create database ${name}`);
    return postgres.url.replace(/\/postgres$/, `/${name}`);
  };

  const url = await database("berth");
  const platform = await startPlatform({ clock, args, env: { DATABASE_URL: url, ...engineEnv(engine) } });
  undo.defer(async () => {
    await platform.stop();
    await Deno.remove(platform.dir, { recursive: true });
  });
  const sql = connect(url, { max: 2, name: "bench" });
  undo.defer(() => sql.end({ timeout: 1 }));
  await platform.berth("deploy", APP);
  const client = new Client({ url: platform.url, key: platform.key });
  const scaled = (n: number) => quick ? Math.ceil(n / 50) : n;
  return await use({ clock, fetch, postgres, platform, client, sql, database, scaled, engine });
}

const engineEnv = (engine: BenchEngine | null): Record<string, string> =>
  engine === null ? {} : {
    BERTH_ENGINE: "oci",
    BERTH_OCI_SOCKET: engine.socket,
    BERTH_DENO_IMAGE: engine.image,
    BERTH_POOL_MEMORY: engine.ahead === "waiting" ? "256" : "0",
  };
