/**
 * Requests that wait for a container of one function: first in, first out, bounded by count and by time. Knows nothing of HTTP.
 */
import type { Clock } from "../../sdk/ports.ts";

/** Why a request does not wait any longer: too many do, its time was up, its client left, or there is nothing left to wait for. */
export type HoldEnd = "full" | "late" | "gone" | "closed";

export class HoldError extends Error {
  override readonly name = "HoldError";

  constructor(readonly end: HoldEnd) {
    super(`Cannot wait: ${end}`);
  }
}

interface Waiter<T> {
  readonly since: number;
  readonly settle: (outcome: T | HoldEnd) => void;
}

export class HoldQueue<T extends object> {
  readonly #clock: Clock;
  readonly #limit: number;
  /** In order of arrival. */
  readonly #waiters = new Set<Waiter<T>>();

  constructor({ clock, limit }: { clock: Clock; limit: number }) {
    this.#clock = clock;
    this.#limit = limit;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** Since when the first one waits. */
  get oldestAt(): number | null {
    for (const { since } of this.#waiters) return since;
    return null;
  }

  /** Resolves with what {@link give} gives; rejects with a {@link HoldError}. */
  wait({ until, signal }: { until: number; signal: AbortSignal }): Promise<T> {
    const now = this.#clock.now();
    if (signal.aborted) return Promise.reject(new HoldError("gone"));
    if (this.#waiters.size >= this.#limit) return Promise.reject(new HoldError("full"));
    if (now >= until) return Promise.reject(new HoldError("late"));
    return new Promise((resolve, reject) => {
      const settled = new AbortController();
      const waiter: Waiter<T> = {
        since: now,
        settle: (outcome) => {
          if (!this.#waiters.delete(waiter)) return;
          settled.abort();
          if (typeof outcome === "string") reject(new HoldError(outcome));
          else resolve(outcome);
        },
      };
      this.#waiters.add(waiter);
      signal.addEventListener("abort", () => waiter.settle("gone"), { signal: settled.signal });
      this.#clock.sleep(until - now, settled.signal).then(() => waiter.settle("late"));
    });
  }

  /** Hands `item` to the one who waits longest; false when nobody does. */
  give(item: T): boolean {
    for (const waiter of this.#waiters) {
      waiter.settle(item);
      return true;
    }
    return false;
  }

  /** Sends everybody away. */
  close(end: HoldEnd): void {
    for (const waiter of [...this.#waiters]) waiter.settle(end);
  }
}
