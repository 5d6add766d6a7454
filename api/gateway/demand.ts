/**
 * Tells the scheduler, through the store, how many requests each function serves and holds: at once when the first one waits,
 * since a container must be started for it; otherwise seldom, and never per request.
 */
import type { DemandRow } from "../../scheduler/store/demand.ts";
import type { Wakes } from "../../scheduler/wakes.ts";
import type { Clock, Log } from "../../sdk/ports.ts";

export interface DemandOptions {
  readonly clock: Clock;
  /** Writes and commits the rows of this gateway. */
  readonly report: (rows: readonly DemandRow[], now: number) => Promise<void>;
  readonly wakes: Pick<Wakes, "wake">;
  readonly log: Log;
}

export interface Load {
  readonly inFlight: number;
  readonly waiting: number;
  /** Since when the first of them waits. */
  readonly oldestAt: number | null;
}

/** What is known of a function here, and what was said of it last. */
export interface FunctionDemand extends Load {
  /** Most requests in flight since the last report: what is reported, so that a short lull does not look like the end. */
  readonly peak: number;
  /** Last time there was a request. */
  readonly activeAt: number;
  readonly said: { readonly inFlight: number; readonly waiting: number; readonly at: number };
}

/** Changes of one function are joined for this long. */
export const COALESCE_MS = 100;
/** Without a request for this long, none is in flight. */
export const QUIET_MS = 1_000;
/** Rows that say something other than zero are written again this often: the scheduler ignores old ones, whose gateway is dead. */
export const REFRESH_MS = 5_000;

/** Whether what was said of a function is no longer good enough. */
export function isDue(demand: FunctionDemand, now: number): boolean {
  const { inFlight, waiting, peak, activeAt, said } = demand;
  if (waiting > 0 && said.waiting === 0) return true;
  if (now - said.at < COALESCE_MS) return false;
  if (waiting !== said.waiting || peak > said.inFlight) return true;
  if (inFlight === 0 && waiting === 0 && said.inFlight > 0 && now - activeAt >= QUIET_MS) return true;
  return now - said.at >= REFRESH_MS && !isSettled(demand);
}

/** Nothing is there, and that is known. */
export const isSettled = ({ inFlight, waiting, said }: FunctionDemand): boolean =>
  inFlight === 0 && waiting === 0 && said.inFlight === 0 && said.waiting === 0;

export class DemandReporter {
  readonly #options: DemandOptions;
  readonly #demands = new Map<number, FunctionDemand>();
  readonly #closed = new AbortController();
  #looking = false;
  #reporting: Promise<void> | null = null;
  #failedAt = -Infinity;

  constructor(options: DemandOptions) {
    this.#options = options;
  }

  /** To be called after every change. */
  note(functionId: number, load: Load): void {
    if (this.#closed.signal.aborted) return;
    const now = this.#options.clock.now();
    const before = this.#demands.get(functionId) ??
      { peak: 0, said: { inFlight: 0, waiting: 0, at: -Infinity } };
    const demand = { ...load, peak: Math.max(before.peak, load.inFlight), activeAt: now, said: before.said };
    this.#demands.set(functionId, demand);
    if (demand.waiting > 0 && demand.said.waiting === 0) this.#report();
    this.#look();
  }

  /** Takes back what this gateway said. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#reporting;
    const now = this.#options.clock.now();
    const rows = [...this.#demands].map(([id, { activeAt }]) => rowOf(id, { ...NOTHING, activeAt }));
    this.#demands.clear();
    if (rows.length > 0) await this.#options.report(rows, now).catch((error) => this.#failed(error));
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    while (this.#demands.size > 0 && !this.#closed.signal.aborted) {
      await this.#options.clock.sleep(COALESCE_MS, this.#closed.signal);
      await this.#report();
      for (const [id, demand] of this.#demands) if (isSettled(demand)) this.#demands.delete(id);
    }
    this.#looking = false;
  }

  /** One report at a time: what falls due meanwhile goes with the next. */
  #report(): Promise<void> {
    return this.#reporting ??= this.#reportDue().finally(() => this.#reporting = null);
  }

  async #reportDue(): Promise<void> {
    for (;;) {
      const now = this.#options.clock.now();
      if (now - this.#failedAt < COALESCE_MS || this.#closed.signal.aborted) return;
      const due = [...this.#demands].filter(([, demand]) => isDue(demand, now));
      if (due.length === 0) return;
      const rows = due.map(([id, demand]) => rowOf(id, wordOf(demand, now)));
      try {
        await this.#options.report(rows, now);
      } catch (error) {
        return this.#failed(error);
      }
      for (const row of rows) this.#said(row, now);
      if (rows.some(({ waiting }) => waiting > 0)) this.#options.wakes.wake("tick");
    }
  }

  #said({ functionId, inFlight, waiting }: DemandRow, at: number): void {
    const demand = this.#demands.get(functionId)!;
    this.#demands.set(functionId, { ...demand, peak: demand.inFlight, said: { inFlight, waiting, at } });
  }

  /** What was due stays due, and is tried again soon. */
  #failed(error: unknown): void {
    this.#failedAt = this.#options.clock.now();
    this.#options.log("gateway.demand_failed", { message: String(error) });
  }
}

const NOTHING = { inFlight: 0, waiting: 0, oldestAt: null };

/** What to say: while there is traffic, its peak; then nothing. */
function wordOf({ inFlight, waiting, oldestAt, peak, activeAt }: FunctionDemand, now: number) {
  const busy = inFlight > 0 || waiting > 0;
  const quiet = !busy && now - activeAt >= QUIET_MS;
  return { inFlight: quiet ? 0 : peak, waiting, oldestAt, activeAt: busy ? now : activeAt };
}

const rowOf = (functionId: number, word: Load & { activeAt: number }): DemandRow => ({ functionId, ...word });
