/**
 * Real connections to the real server. Only one of them runs a statement at a time; one whose statement waits for a lock is found out
 * by asking the server, and halted until something may have released the lock: a lock that several wait for goes to whoever is the
 * quickest, and that must not be left to the machine.
 */
import { connect, type Pool, type Sql } from "../../../scheduler/store/connect.ts";
import type { Rows } from "./statement.ts";

type Asks = () => Promise<boolean>;
export type Outcome = { readonly rows: Rows } | { readonly error: unknown };

/**
 * One plan per statement, whatever ran before: a plan that depends on how often a statement ran would make a replay differ from the
 * run it replays. Deadlocks are ours to find.
 */
const SETTINGS = `
  set plan_cache_mode = force_generic_plan;
  set deadlock_timeout = '1h';
  set synchronous_commit = off;
  set jit = off`;

/** Statements that take longer may be waiting for a lock. */
const PATIENCE_MS = 2;
const LOOK_MS = 0.5;

export class Session {
  readonly sql: Pool;
  readonly pid: number;
  /** The statement under way. */
  #running: Promise<Outcome> | null = null;

  private constructor(sql: Pool, pid: number) {
    this.sql = sql;
    this.pid = pid;
  }

  static async open(url: string, { pinned }: { readonly pinned: boolean }): Promise<Session> {
    const sql = connect(url, { max: 1, name: "simulation", pinned });
    await sql.unsafe(SETTINGS);
    const [row] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
    return new Session(sql, row!.pid);
  }

  /** Runs a statement; null when it waits for a lock: {@link goOn} then. */
  async run(start: (real: Sql) => PromiseLike<Rows>, isBlocked: Asks): Promise<Outcome | null> {
    this.#running = outcomeOf(start(this.sql));
    return await this.#follow(PATIENCE_MS, isBlocked);
  }

  /** Lets the statement that waited go on, if it has its lock by now; null when it waits again, or still. */
  async goOn(isBlocked: Asks): Promise<Outcome | null> {
    this.#resume();
    return await this.#follow(LOOK_MS, isBlocked);
  }

  /** Ends the statement that waits. */
  async interrupt(watch: Pool): Promise<void> {
    this.#resume();
    await watch`select pg_cancel_backend(${this.pid})`;
    await this.#running;
  }

  async #follow(patienceMs: number, isBlocked: Asks): Promise<Outcome | null> {
    for (let wait = patienceMs;; wait = LOOK_MS) {
      const outcome = await within(this.#running!, wait);
      if (outcome !== null) return outcome;
      if (await isBlocked()) {
        Deno.kill(this.pid, "SIGSTOP");
        return null;
      }
    }
  }

  #resume(): void {
    Deno.kill(this.pid, "SIGCONT");
  }

  async rollback(): Promise<void> {
    await this.sql.unsafe("rollback");
  }

  async close(): Promise<void> {
    this.#resume();
    await this.sql.end({ timeout: 0 });
  }
}

/** The sessions of one database, kept for whoever needs one next; and one that watches the others. */
export class Sessions {
  readonly #url: string;
  readonly #free = new Map<boolean, Session[]>();
  readonly #all: Session[] = [];
  readonly #watch: Session;

  private constructor(url: string, watch: Session) {
    this.#url = url;
    this.#watch = watch;
  }

  static async open(url: string): Promise<Sessions> {
    return new Sessions(url, await Session.open(url, { pinned: false }));
  }

  /** For whoever looks on. */
  get watch(): Pool {
    return this.#watch.sql;
  }

  async take(pinned: boolean): Promise<Session> {
    const free = this.#free.get(pinned)?.shift();
    if (free !== undefined) return free;
    const session = await Session.open(this.#url, { pinned });
    this.#all.push(session);
    return session;
  }

  giveBack(session: Session, pinned: boolean): void {
    const free = this.#free.get(pinned) ?? [];
    free.push(session);
    this.#free.set(pinned, free.sort((a, b) => this.#all.indexOf(a) - this.#all.indexOf(b)));
  }

  /** Who waits for whom, of these backends. */
  async blockers(pids: readonly number[]): Promise<Map<number, number[]>> {
    const rows = await this.watch<{ pid: number; blockers: number[] }[]>`
      select pid, pg_blocking_pids(pid) as blockers from unnest(${pids as number[]}::int[]) as pid`;
    return new Map(
      rows.filter(({ blockers }) => blockers.length > 0).map(({ pid, blockers }) => [pid, blockers]),
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.#watch, ...this.#all].map((session) => session.close()));
  }
}

const outcomeOf = (running: PromiseLike<Rows>): Promise<Outcome> =>
  Promise.resolve(running).then((rows) => ({ rows }), (error) => ({ error }));

/** What comes within `ms` of real time, or null. */
export async function within<T>(coming: Promise<T>, ms: number): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<null>((resolve) => timer = setTimeout(resolve, ms, null));
  const first = await Promise.race([coming, late]);
  clearTimeout(timer);
  return first;
}
