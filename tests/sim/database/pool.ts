/** The `Pool` of a simulated process: what postgres.js gives, as far as the platform uses it, over simulated connections. */
import type { Pool, Sql } from "../../../scheduler/store/connect.ts";
import type { Connection, Unit } from "./connection.ts";
import { connectionError } from "./connection.ts";
import { Made, type Rows, Statement } from "./statement.ts";

export interface PoolPorts {
  readonly max: number;
  /** A new connection, told what to do when it is lost. */
  connect(onLost: (connection: Connection) => void): Promise<Connection>;
  listen(channel: string, hear: (payload: string) => void, onListen: () => void): Promise<unknown>;
  notify(channel: string, payload: string): Promise<unknown>;
}

interface Waiting {
  readonly resolve: (connection: Connection) => void;
  readonly reject: (error: unknown) => void;
}

class Connections {
  readonly #ports: PoolPorts;
  readonly #idle: Connection[] = [];
  readonly #waiting: Waiting[] = [];
  #open = 0;
  #ended = false;

  constructor(ports: PoolPorts) {
    this.#ports = ports;
  }

  async with<T>(use: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#acquire();
    try {
      return await use(connection);
    } finally {
      this.#release(connection);
    }
  }

  end(): void {
    this.#ended = true;
    for (const { reject } of this.#waiting.splice(0)) reject(connectionError("CONNECTION_DESTROYED"));
  }

  #acquire(): Promise<Connection> {
    if (this.#ended) return Promise.reject(connectionError("CONNECTION_ENDED"));
    const idle = this.#idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (this.#open < this.#ports.max) return this.#connect();
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  async #connect(): Promise<Connection> {
    this.#open++;
    try {
      return await this.#ports.connect((connection) => this.#forget(connection));
    } catch (error) {
      this.#open--;
      this.#serve();
      throw error;
    }
  }

  /** An idle one was lost. */
  #forget(connection: Connection): void {
    const at = this.#idle.indexOf(connection);
    if (at === -1) return;
    this.#idle.splice(at, 1);
    this.#open--;
  }

  #release(connection: Connection): void {
    if (connection.lost) this.#open--;
    else this.#idle.push(connection);
    this.#serve();
  }

  #serve(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) this.#acquire().then(next.resolve, next.reject);
  }
}

export function poolOf(ports: PoolPorts): Pool {
  const connections = new Connections(ports);
  const run = (statement: Statement) => connections.with((connection) => connection.send(statement));
  return Object.assign(taggerOf(run), {
    begin: (work: (sql: Sql) => unknown) => connections.with((connection) => transaction(connection, work)),
    listen: ports.listen,
    notify: ports.notify,
    end: () => Promise.resolve(connections.end()),
  }) as unknown as Pool;
}

/** `` sql`…` ``, `sql(name)` and `sql.json(value)`. */
function taggerOf(run: (statement: Statement) => Promise<Rows>): Sql {
  const tag = (first: unknown, ...rest: unknown[]) =>
    isTemplate(first)
      ? new Statement(first, rest, run)
      : new Made((real) => (real as unknown as (...args: unknown[]) => unknown)(first, ...rest));
  const json = (value: never) => new Made((real) => (real as Pool).json(value));
  return Object.assign(tag, { json }) as unknown as Sql;
}

const isTemplate = (first: unknown): first is TemplateStringsArray =>
  Array.isArray(first) && Array.isArray((first as { raw?: unknown }).raw);

const word = (text: string): Unit => ({ text, values: [], build: (real) => (real as Pool).unsafe(text) });
export const BEGIN = word("begin");
export const COMMIT = word("commit");
export const ROLLBACK = word("rollback");

/** As `begin` of postgres.js: an error that nobody caught, or a lost connection, ends it. */
async function transaction(connection: Connection, work: (sql: Sql) => unknown): Promise<unknown> {
  const closed = new Promise<never>((_, reject) => connection.onClose = reject);
  closed.catch(() => {}); // whoever sent something hears of it too
  await connection.send(BEGIN);
  return await Promise.race([scope(connection, work), closed]);
}

async function scope(connection: Connection, work: (sql: Sql) => unknown): Promise<unknown> {
  let uncaught: unknown;
  const run = (statement: Statement) => {
    const running = connection.send(statement);
    running.catch((error) => uncaught ??= error);
    return running;
  };
  let result: unknown;
  try {
    const made = work(taggerOf(run));
    result = await (Array.isArray(made) ? Promise.all(made) : made);
    if (uncaught !== undefined) throw uncaught;
  } catch (error) {
    await connection.send(ROLLBACK);
    const aborted = (error as { code?: unknown } | null)?.code === "25P02";
    throw aborted && uncaught !== undefined ? uncaught : error;
  }
  await connection.send(COMMIT);
  return result;
}
