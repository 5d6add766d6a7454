/** The real server under the simulation: a database of its own for each seed, copied from one in which everything stands still. */
import { createHash } from "node:crypto";
import { connect, type Pool } from "../../scheduler/store/connect.ts";
import { ensureWorkspace, insertJoinToken, insertKey } from "../../scheduler/store/keys.ts";
import { Sessions } from "./database/sessions.ts";
import { JOIN_TOKEN } from "./platform.ts";
import { EPOCH } from "./timeline.ts";
import { keyOf } from "./world.ts";

/** The migrated template of tests/setup/postgres.ts. */
const BASE = "berth_template";
const WORKSPACES = ["default", "other"] as const;

export class Laboratory {
  readonly #server: string;
  readonly #admin: Pool;
  readonly #template: string;
  #count = 0;

  private constructor(server: string, admin: Pool, template: string) {
    this.#server = server;
    this.#admin = admin;
    this.#template = template;
  }

  /** @param server address of a test server, as tests/setup/postgres.ts starts one */
  static async open(server: string): Promise<Laboratory> {
    const admin = connect(server, { max: 1, name: "simulation setup" });
    const template = `sim${Deno.pid}`;
    await admin.unsafe(`create database ${template} template ${BASE} strategy file_copy`);
    const sql = connect(urlOf(server, template), { max: 1, name: "simulation setup" });
    await quieten(sql);
    await admit(sql);
    await sql.end({ timeout: 1 });
    return new Laboratory(server, admin, template);
  }

  /** Runs something on a fresh database. */
  async with<T>(work: (sessions: Sessions) => Promise<T>): Promise<T> {
    const name = `${this.#template}_${this.#count++}`;
    await this.#admin.unsafe(`create database ${name} template ${this.#template} strategy file_copy`);
    const sessions = await Sessions.open(urlOf(this.#server, name));
    try {
      return await work(sessions);
    } finally {
      await sessions.close();
      await this.#admin.unsafe(`drop database ${name} with (force)`);
    }
  }

  async close(): Promise<void> {
    await this.#admin.unsafe(`drop database ${this.#template} with (force)`);
    await this.#admin.end({ timeout: 1 });
  }
}

/** Nothing happens in the database by itself: rows move, and plans change, only when a statement says so. */
async function quieten(sql: Pool): Promise<void> {
  const tables = await sql<
    { name: string }[]
  >`select tablename as name from pg_tables where schemaname = 'public'`;
  for (const { name } of tables) await sql.unsafe(`alter table "${name}" set (autovacuum_enabled = false)`);
}

/** Keys and tokens that are known from the start. */
async function admit(sql: Pool): Promise<void> {
  const now = new Date(EPOCH);
  for (const workspace of WORKSPACES) {
    await ensureWorkspace(sql, now, workspace);
    const id = `key_${workspace}`;
    await insertKey(sql, now, {
      id,
      workspace,
      name: "simulation",
      hash: hashOf(keyOf(workspace)),
      scope: "admin",
    });
  }
  await insertJoinToken(sql, now, { hash: hashOf(JOIN_TOKEN), pool: "default", expiresAt: null });
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

const urlOf = (server: string, database: string): string => server.replace(/\/[^/]*$/, `/${database}`);
