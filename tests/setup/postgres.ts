/**
 * A real PostgreSQL for tests: one server per test run (its address in BERTH_TEST_POSTGRES, set by tests/run.ts) or, when a
 * file is run alone, one for that file; and for each test a database of its own, copied from a migrated template.
 */
import { after } from "node:test";
import { startPostgres } from "../../api/postgres.ts";
import { migrate } from "../../migrations/migrate.ts";
import { connect, type Pool } from "../../scheduler/store/connect.ts";
import { realClock } from "../../sdk/ports.ts";

export interface TestDatabase {
  readonly url: string;
  readonly sql: Pool;
  [Symbol.asyncDispose](): Promise<void>;
}

const TEMPLATE = "berth_template";
let server: Promise<string> | undefined;
let count = 0;

/** A fresh, migrated database with workspace `default`; dropped at the end of the scope: `await using db = await testDatabase()`. */
export async function testDatabase(): Promise<TestDatabase> {
  const base = await testServer();
  const name = `t${Deno.pid}_${crypto.randomUUID().slice(0, 8)}_${count++}`;
  await onServer(
    base,
    (sql) => sql.unsafe(`create database ${name} template ${TEMPLATE} strategy file_copy`),
  );
  const url = base.replace(/\/postgres$/, `/${name}`);
  const sql = connect(url, { max: 4, name: "test" });
  return {
    url,
    sql,
    [Symbol.asyncDispose]: async () => {
      await sql.end({ timeout: 1 });
      await onServer(base, (sql) => sql.unsafe(`drop database ${name} with (force)`));
    },
  };
}

/** Address of the server of this test run. */
export const testServer = (): Promise<string> => server ??= serverUrl();

async function serverUrl(): Promise<string> {
  return Deno.env.get("BERTH_TEST_POSTGRES") ?? await ownServer();
}

async function ownServer(): Promise<string> {
  const { url, stop } = await startTestServer();
  after(stop);
  return url;
}

/** A server on a temporary folder, without fsync, with the template made; `stop` also removes the folder. */
export async function startTestServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const dataDir = await Deno.makeTempDir({ prefix: "berth-pg-" });
  const settings = {
    fsync: "off",
    full_page_writes: "off",
    max_connections: "200",
    update_process_title: "off",
  };
  const postgres = await startPostgres({ dataDir, port: freePort(), clock: realClock, settings });
  await onServer(postgres.url, (sql) => sql.unsafe(`create database ${TEMPLATE}`));
  await onServer(postgres.url.replace(/\/postgres$/, `/${TEMPLATE}`), async (sql) => {
    const now = new Date(0);
    await migrate(sql, now);
    await sql`insert into workspace (id, name, created_at) values ('default', 'default', ${now}) on conflict do nothing`;
    await sql`insert into pool (name, provider, created_at) values ('default', 'local', ${now}) on conflict do nothing`;
  });
  return {
    url: postgres.url,
    stop: async () => {
      await postgres.stop();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}

/** A port that was free a moment ago. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return (listener.addr as Deno.NetAddr).port;
}

async function onServer(url: string, run: (sql: Pool) => PromiseLike<unknown>): Promise<void> {
  const sql = connect(url, { max: 1, name: "test setup" });
  try {
    await run(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
