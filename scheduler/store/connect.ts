/** The one place where a database client is built. */
import postgres from "postgres";
import { realClock } from "../../sdk/ports.ts";
import { withSafeTransactions } from "./transactions.ts";

/** A pool, or a transaction of one: every statement takes either. */
export type Sql = postgres.ISql<Record<string, never>>;
export type Pool = postgres.Sql<Record<string, never>>;

export interface ConnectOptions {
  /** Connections at most. */
  readonly max: number;
  /** Shows in `pg_stat_activity`. */
  readonly name: string;
  /**
   * False for what may be lost with the server: its commits don't wait for the disk.
   * @default true
   */
  readonly durable?: boolean;
  /**
   * True for few statements, run often, each of which has one right plan: by index. It is made once, not per run, and does not
   * change with what the statistics say of a table that has just been filled or emptied.
   * @default false
   */
  readonly pinned?: boolean;
}

/**
 * Columns are camelCased, keys inside json values are not (postgres.js' own `camel` would rewrite users' payloads). A short
 * reconnect back-off, since with the default one queries stay away for seconds after a restart of the server.
 */
export function connect(url: string, { max, name, durable = true, pinned = false }: ConnectOptions): Pool {
  const pool: Pool = postgres(url, {
    max,
    backoff: () => 0.1,
    connect_timeout: 5,
    idle_timeout: 0,
    max_lifetime: null,
    onnotice: () => {},
    onclose: () => keepTypes(pool),
    transform: { column: { from: postgres.toCamel, to: postgres.fromCamel } },
    connection: {
      application_name: name,
      ...(durable ? {} : { synchronous_commit: "off" }),
      ...(pinned ? { plan_cache_mode: "force_generic_plan", enable_seqscan: "off" } : {}),
    },
    types: {
      bigint: { to: 20, from: [20], parse: Number, serialize: String },
    },
  }) as unknown as Pool;
  return withSafeTransactions(pool, () => realClock.sleep(0));
}

/**
 * Types of arrays are read once. The driver would read them again on every connection, and one lost meanwhile fails outside of
 * any promise, which ends the process.
 */
function keepTypes({ options }: Pool): void {
  const own = options as unknown as { fetch_types: boolean };
  if (TEXT_ARRAY in options.serializers) own.fetch_types = false;
}

const TEXT_ARRAY = 1009;

/** The connection went away or the server is starting: the statement may be repeated. */
export function isAway(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && AWAY.has(code);
}

const AWAY = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "57P01", // admin shutdown
  "57P02", // crash shutdown
  "57P03", // cannot connect now
]);
