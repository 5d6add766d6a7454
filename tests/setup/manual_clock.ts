/** A clock that stands still until it is told to move. */
import type { Clock } from "../../sdk/ports.ts";

export class ManualClock implements Clock {
  #now: number;
  #sleepers = new Set<{ at: number; wake: () => void }>();

  constructor(now = 1_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const sleeper = { at: this.#now + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => {
        this.#sleepers.delete(sleeper);
        resolve();
      });
    });
  }

  /** Lets `ms` pass: who sleeps wakes at its own time, and acts before the next one does. */
  async advance(ms: number): Promise<void> {
    await settle();
    const end = this.#now + ms;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#now = next.at;
      this.#sleepers.delete(next);
      next.wake();
      await settle();
    }
    this.#now = end;
  }

  #next(end: number) {
    return [...this.#sleepers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
  }
}

/** Whatever can go on without time passing has gone on. */
export const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
