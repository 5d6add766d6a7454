/** Waiting to be told, level-triggered: a ring while nobody waits is not missed. */
import type { Clock } from "../sdk/ports.ts";

export class Bell {
  readonly #clock: Clock;
  #rung = false;
  #answer: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#rung = true;
    this.#answer();
  }

  /** Resolves when it has rung since the last time, or after `ms`. */
  async wait(ms = Infinity): Promise<void> {
    if (!this.#rung) {
      const over = new AbortController();
      const rung = new Promise<void>((resolve) => this.#answer = resolve);
      await (ms === Infinity ? rung : Promise.race([rung, this.#clock.sleep(ms, over.signal)]));
      over.abort();
    }
    this.#rung = false;
  }
}

/** Resolves to true when `done` does, or to false after `ms`. */
export async function within(clock: Clock, ms: number, done: Promise<unknown>): Promise<boolean> {
  const over = new AbortController();
  const late = clock.sleep(ms, over.signal).then(() => false);
  const inTime = await Promise.race([done.then(() => true), late]);
  over.abort();
  return inTime;
}
