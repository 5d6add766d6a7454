/**
 * The database as simulated processes see it: the real SQL on the real server, one statement at a time, at instants of virtual
 * time. Transactions of different connections interleave statement by statement; one that waits for a lock is parked until the lock
 * is released. Connections break, commits are made and never answered, and the whole server goes away now and then.
 */
import type { ConnectOptions, Pool } from "../../../scheduler/store/connect.ts";
import type { Dice } from "../dice.ts";
import type { Process } from "../process.ts";
import type { Story } from "../story.ts";
import type { Timeline } from "../timeline.ts";
import { Connection, connectionError, type Server, type Unit } from "./connection.ts";
import { Hints } from "./hints.ts";
import { BEGIN, COMMIT, poolOf, ROLLBACK } from "./pool.ts";
import { type Outcome, type Session, Sessions } from "./sessions.ts";
import type { Rewrite } from "./statement.ts";

/** How the way to the database is. */
export interface DatabaseWeather {
  /** Of one message, least and most. */
  readonly latencyMs: readonly [number, number];
  /** That the connection breaks before a statement is run, or after it, with its answer. */
  readonly cutBefore: number;
  readonly cutAfter: number;
  /** That a hint does not arrive. */
  readonly lostHints: number;
}

export const FINE_DATABASE: DatabaseWeather = {
  latencyMs: [0.1, 1],
  cutBefore: 0,
  cutAfter: 0,
  lostHints: 0,
};

/** A statement that ran, seen by whoever looks on. */
export interface Ran {
  readonly connection: Connection;
  readonly unit: Unit;
  readonly outcome: Outcome;
}

export interface Watcher {
  ran?(ran: Ran): void;
  /** What was written is there for everybody. */
  committed?(connection: Connection, units: readonly Unit[]): Promise<void>;
  /** A transaction is over, committed or not. */
  over?(connection: Connection): void;
  /** Transactions that wait for one another. */
  deadlocked?(units: readonly string[]): void;
}

interface Parked {
  readonly connection: Connection;
  readonly unit: Unit;
  readonly session: Session;
  readonly cut: boolean;
}

export interface DatabaseOptions {
  readonly timeline: Timeline;
  readonly story: Story;
  readonly dice: Dice;
  readonly sessions: Sessions;
  readonly rewrite: Rewrite;
  readonly watchers: Watcher[];
}

const WRITES = /\b(insert into|update \w|delete from)/;

export class Database implements Server {
  readonly timeline: Timeline;
  weather = FINE_DATABASE;
  readonly #story: Story;
  readonly #dice: Dice;
  readonly #sessions: Sessions;
  readonly #rewrite: Rewrite;
  readonly #watchers: Watcher[];
  readonly #hints: Hints;
  readonly #connections = new Set<Connection>();
  readonly #parked: Parked[] = [];
  #downUntil = -Infinity;
  statements = 0;

  constructor({ timeline, story, dice, sessions, rewrite, watchers }: DatabaseOptions) {
    this.timeline = timeline;
    this.#story = story;
    this.#dice = dice.of("database");
    this.#sessions = sessions;
    this.#rewrite = (text) => rewrite(untimed(text));
    this.#watchers = watchers;
    this.#hints = new Hints({
      timeline,
      latency: () => this.latency(),
      loses: () => this.#dice.chance(this.weather.lostHints),
    });
  }

  latency(): number {
    return this.#dice.between(...this.weather.latencyMs);
  }

  /** A pool of a process, which loses it when it ends. */
  pool(process: Process, { max, name, pinned = false }: ConnectOptions): Pool {
    return poolOf({
      max,
      connect: (onLost) => this.#connect(process, name, pinned, onLost),
      listen: (channel, hear, onListen) => this.#hints.listen(process, channel, hear, onListen),
      notify: (channel, payload) => this.#hints.notify(process, channel, payload),
    });
  }

  /** The server goes away, with all connections, and comes back. */
  async restart(ms: number): Promise<void> {
    this.#story.tell("database", `restarts, for ${Math.round(ms)} ms`);
    this.#downUntil = this.timeline.now + ms;
    this.#hints.deafen(ms);
    for (const connection of [...this.#connections]) await this.#drop(connection);
  }

  /** Breaks the connections that `which` chooses. */
  async cut(which: (connection: Connection) => boolean): Promise<void> {
    for (const connection of [...this.#connections].filter(which)) await this.#drop(connection);
  }

  async execute(connection: Connection, unit: Unit): Promise<void> {
    const fate = this.#dice.next();
    const { cutBefore, cutAfter } = this.weather;
    if (fate < cutBefore) {
      this.#story.tell("database", `cuts ${connection.process.name} off before "${head(unit)}"`);
      return await this.#drop(connection);
    }
    const cut = fate < cutBefore + cutAfter;
    const session = connection.session ??= await this.#sessions.take(connection.pinned);
    const outcome = await session.run((real) => unit.build(real, this.#rewrite), this.#asks(session));
    if (outcome === null) return await this.#park({ connection, unit, session, cut });
    await this.#finish(connection, unit, outcome, cut);
    await this.#settle();
  }

  async #connect(
    process: Process,
    name: string,
    pinned: boolean,
    onLost: (connection: Connection) => void,
  ): Promise<Connection> {
    await process.clock.sleep(2 * this.latency());
    if (this.timeline.now < this.#downUntil) throw connectionError("ECONNREFUSED");
    const connection: Connection = new Connection(this, {
      process,
      name,
      pinned,
      onLost: () => onLost(connection),
    });
    this.#connections.add(connection);
    process.onEnd(() => this.timeline.after(0, () => this.#drop(connection)));
    return connection;
  }

  async #finish(connection: Connection, unit: Unit, outcome: Outcome, cut: boolean): Promise<void> {
    this.statements++;
    this.#tell(connection, unit, outcome);
    for (const watcher of this.#watchers) watcher.ran?.({ connection, unit, outcome });
    const committed = this.#track(connection, unit, outcome);
    if (committed.some(({ text }) => WRITES.test(text))) {
      for (const watcher of this.#watchers) await watcher.committed?.(connection, committed);
    }
    if (unit === COMMIT || unit === ROLLBACK) this.#endTransaction(connection);
    if (!connection.inTransaction) this.#free(connection);
    if (cut) {
      this.#story.tell("database", `cuts ${connection.process.name} off after "${head(unit)}"`);
      return await this.#drop(connection);
    }
    connection.answer(outcome);
    this.#watchIdle(connection);
  }

  /** Follows transactions; returns what has been committed now. */
  #track(connection: Connection, unit: Unit, outcome: Outcome): readonly Unit[] {
    if (unit === BEGIN) {
      connection.inTransaction = "rows" in outcome;
      return [];
    }
    if (unit === ROLLBACK) return [];
    if (unit === COMMIT) return isDone(outcome) ? connection.done : [];
    if (!connection.inTransaction) return "rows" in outcome ? [unit] : [];
    connection.done.push(unit);
    const limit = IDLE_LIMIT.exec(unit.text);
    if (limit !== null) connection.idleMsMax = Number(limit[1]);
    return [];
  }

  #endTransaction(connection: Connection): void {
    if (!connection.inTransaction) return;
    connection.inTransaction = false;
    connection.done = [];
    connection.idleMsMax = Infinity;
    for (const watcher of this.#watchers) watcher.over?.(connection);
  }

  #free(connection: Connection): void {
    if (connection.session !== null) this.#sessions.giveBack(connection.session, connection.pinned);
    connection.session = null;
  }

  /** PostgreSQL measures this in real time; here it is virtual. */
  #watchIdle(connection: Connection): void {
    const { idleMsMax, turns } = connection;
    if (!connection.inTransaction || idleMsMax === Infinity) return;
    this.timeline.after(idleMsMax, () => {
      if (connection.gone || connection.turns !== turns || connection.busy) return;
      this.#story.tell("database", `cuts ${connection.process.name} off: idle in transaction`);
      return this.#drop(connection);
    });
  }

  /** The server's end is closed: what was not committed is undone. */
  async #drop(connection: Connection): Promise<void> {
    if (connection.gone) return;
    connection.closeAtServer();
    this.#connections.delete(connection);
    const at = this.#parked.findIndex((parked) => parked.connection === connection);
    if (at !== -1) await this.#parked.splice(at, 1)[0]!.session.interrupt(this.#sessions.watch);
    if (connection.inTransaction) await connection.session!.rollback();
    this.#endTransaction(connection);
    this.#free(connection);
    await this.#settle();
  }

  // ── locks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #park(parked: Parked): Promise<void> {
    this.#story.tellStatement(parked.connection.process.name, `waits for a lock: ${head(parked.unit)}`);
    this.#parked.push(parked);
    if (this.#parked.length > 1) await this.#findDeadlocks();
  }

  /** Lets those go on whose lock was released: one at a time, in the order in which they came. */
  async #settle(): Promise<void> {
    for (let at = 0; at < this.#parked.length;) {
      const { connection, unit, session, cut } = this.#parked[at]!;
      const outcome = await session.goOn(this.#asks(session));
      if (outcome === null) {
        at++;
        continue;
      }
      this.#parked.splice(at, 1);
      await this.#finish(connection, unit, outcome, cut);
      at = 0;
    }
  }

  /** Whether a session waits for a lock. */
  #asks({ pid }: Session): () => Promise<boolean> {
    return async () => (await this.#sessions.blockers([pid])).size > 0;
  }

  async #findDeadlocks(): Promise<void> {
    const waitsFor = await this.#sessions.blockers(this.#parked.map(({ session }) => session.pid));
    const isStuck = (pid: number, seen: readonly number[]): boolean =>
      seen.includes(pid) || (waitsFor.get(pid) ?? []).some((other) => isStuck(other, [...seen, pid]));
    const stuck = this.#parked.filter(({ session }) => isStuck(session.pid, []));
    if (stuck.length === 0) return;
    const texts = stuck.map(({ connection, unit }) => `${connection.process.name}: ${unit.text}`);
    for (const watcher of this.#watchers) watcher.deadlocked?.(texts);
  }

  #tell({ process, name }: Connection, unit: Unit, outcome: Outcome): void {
    const result = "rows" in outcome
      ? `${outcome.rows.length} rows`
      : `error: ${(outcome.error as Error).message}`;
    this.#story.tellStatement(process.name, `${name}: ${head(unit)} → ${result}`);
  }
}

/** The server answers `commit` of a transaction that has failed with the word that it rolled it back. */
const isDone = (outcome: Outcome): boolean =>
  "rows" in outcome && (outcome.rows as { command?: unknown }).command === "COMMIT";

const head = (unit: Unit): string => unit.text.slice(0, 160);

const IDLE_LIMIT = /'idle_in_transaction_session_timeout', '(\d+)'/;

/** The real server must not cut off what stands still in virtual time. */
const untimed: Rewrite = (text) => text.replace(IDLE_LIMIT, "'idle_in_transaction_session_timeout', '0'");
