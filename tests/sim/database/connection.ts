/**
 * One connection of a simulated process to the database. Statements arrive in the order they were sent, each after its own time on
 * the way, and run when their turn comes; answers take their time too. Either end may lose it.
 */
import type { Process } from "../process.ts";
import type { Timeline } from "../timeline.ts";
import type { Outcome, Session } from "./sessions.ts";
import type { Rewrite, Rows } from "./statement.ts";
import type { Sql } from "../../../scheduler/store/connect.ts";

/** What is run in one go. */
export interface Unit {
  readonly text: string;
  readonly values: readonly unknown[];
  build(real: Sql, rewrite: Rewrite): PromiseLike<Rows>;
}

interface Sent {
  readonly unit: Unit;
  readonly resolve: (rows: Rows) => void;
  readonly reject: (error: unknown) => void;
}

/** The server's side. */
export interface Server {
  readonly timeline: Timeline;
  /** Time of a message on its way. */
  latency(): number;
  /** Runs a unit, and says so to {@link Connection.answer}. */
  execute(connection: Connection, unit: Unit): Promise<void>;
}

export class Connection {
  readonly process: Process;
  /** Of its pool. */
  readonly name: string;
  readonly pinned: boolean;
  readonly #server: Server;
  readonly #onLost: () => void;
  /** At the server: what has arrived, and whether one of it runs. */
  readonly #arrived: Sent[] = [];
  #running: Sent | null = null;
  #arrivesAt = 0;
  /** At the process: what has not been answered. */
  readonly #open = new Set<Sent>();
  #lost: Error | null = null;

  /** The server's end: the session of a transaction, and what it has done. */
  session: Session | null = null;
  inTransaction = false;
  /** The server has closed its end. */
  gone = false;
  /** Statements of the transaction. */
  done: Unit[] = [];
  /** A transaction that says nothing for this long is cut off. */
  idleMsMax = Infinity;
  /** Counts what has run. */
  turns = 0;

  constructor(
    server: Server,
    of: {
      readonly process: Process;
      readonly name: string;
      readonly pinned: boolean;
      readonly onLost: () => void;
    },
  ) {
    ({ process: this.process, name: this.name, pinned: this.pinned } = of);
    this.#server = server;
    this.#onLost = of.onLost;
  }

  get lost(): boolean {
    return this.#lost !== null;
  }

  /** True while a unit runs or waits at the server. */
  get busy(): boolean {
    return this.#running !== null || this.#arrived.length > 0;
  }

  /** Told when the connection is lost. */
  onClose: (error: Error) => void = () => {};

  send(unit: Unit): Promise<Rows> {
    if (this.#lost !== null) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      const sent: Sent = { unit, resolve, reject };
      this.#open.add(sent);
      const { timeline } = this.#server;
      this.#arrivesAt = Math.max(this.#arrivesAt, timeline.now + this.#server.latency());
      timeline.at(this.#arrivesAt, () => this.#arrive(sent));
    });
  }

  /** The running unit has come to this. */
  answer(outcome: Outcome): void {
    const { unit: _unit, ...sent } = this.#running!;
    const answered = this.#running!;
    this.#running = null;
    this.turns++;
    this.#server.timeline.after(this.#server.latency(), () =>
      this.process.enter(() => {
        if (!this.#open.delete(answered)) return;
        if ("rows" in outcome) sent.resolve(outcome.rows);
        else sent.reject(outcome.error);
      }));
    if (this.#arrived.length > 0) this.#server.timeline.after(0, () => this.#pump());
  }

  /** The server's end is closed; the process hears of it when it hears of anything. */
  closeAtServer(): void {
    this.gone = true;
    this.#server.timeline.after(this.#server.latency(), () => this.process.enter(() => this.#lose()));
  }

  #lose(): void {
    if (this.#lost !== null) return;
    this.#lost = connectionError("CONNECTION_CLOSED");
    for (const { reject } of this.#open) reject(this.#lost);
    this.#open.clear();
    this.onClose(this.#lost);
    this.#onLost();
  }

  #arrive(sent: Sent): Promise<void> | void {
    if (this.gone) return;
    this.#arrived.push(sent);
    return this.#pump();
  }

  #pump(): Promise<void> | void {
    if (this.#running !== null || this.gone) return;
    const next = this.#arrived.shift();
    if (next === undefined) return;
    this.#running = next;
    return this.#server.execute(this, next.unit);
  }
}

/** As postgres.js makes them. */
export const connectionError = (code: string): Error =>
  Object.assign(new Error(`write ${code} database.sim:5432`), { code, errno: code });
