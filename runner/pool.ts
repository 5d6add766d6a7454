/** A few things prepared ahead, each used once: here, guests that have started and connected but have no code yet. */
import type { Clock, Log } from "../sdk/ports.ts";
import { backoffMs } from "./api.ts";

/** Something prepared that can end by itself. */
export interface Prepared {
  readonly ended: Promise<unknown>;
  discard(): void;
}

export interface PoolDeps<T extends Prepared> {
  readonly size: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Makes one; gives up when `signal` aborts. */
  make(signal: AbortSignal): Promise<T>;
}

/** Failures that the first pause counts as: what cannot be made at once can wait. */
const FIRST_PAUSE = 3;

export class Pool<T extends Prepared> {
  readonly #deps: PoolDeps<T>;
  readonly #ready = new Set<T>();
  readonly #closed = new AbortController();
  #filling: Promise<void> | null = null;

  constructor(deps: PoolDeps<T>) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#ready.size;
  }

  /** Takes one, if there is one. The pool stays smaller until {@link fill}. */
  take(): T | null {
    const one = this.#ready.values().next().value ?? null;
    if (one !== null) this.#ready.delete(one);
    return one;
  }

  /** Makes what is missing, one at a time, with pauses when making fails. */
  fill(): Promise<void> {
    return this.#filling ??= this.#fill().finally(() => this.#filling = null);
  }

  /** Discards all, also what is being made. */
  async close(): Promise<void> {
    this.#closed.abort();
    for (const one of this.#ready) one.discard();
    this.#ready.clear();
    await this.#filling;
  }

  async #fill(): Promise<void> {
    const { size, clock, log, make } = this.#deps;
    const { signal } = this.#closed;
    for (let failures = 0; this.#ready.size < size && !signal.aborted;) {
      try {
        this.#add(await make(signal));
        failures = 0;
      } catch (error) {
        if (!signal.aborted) log("pool.make_failed", { error: String(error) });
        await clock.sleep(backoffMs(FIRST_PAUSE + failures++), signal);
      }
    }
  }

  #add(one: T): void {
    if (this.#closed.signal.aborted) return one.discard();
    this.#ready.add(one);
    one.ended.then(() => {
      if (this.#ready.delete(one)) this.fill();
    });
  }
}
