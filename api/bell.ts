/** Waiting for a wake, level-triggered: one that rang while nobody waited is not missed. */
import type { Key, Topic, Wakes } from "../scheduler/wakes.ts";
import type { Clock } from "../sdk/ports.ts";

/** A reason of our own: without one, each abort makes an error with a stack. */
const RUNG = "rung";

export class Bell {
  readonly #clock: Clock;
  readonly #stops: (() => void)[] = [];
  #rung = false;
  #waiting: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  on(wakes: Wakes, topic: Topic, key: Key): this {
    this.#stops.push(wakes.on(topic, key, () => this.ring()));
    return this;
  }

  ring(): void {
    this.#rung = true;
    this.#waiting?.abort(RUNG);
  }

  /** Resolves when it has rung since the last time, after `ms`, or when `signal` aborts. True when it had rung. */
  async rung(ms: number, signal?: AbortSignal): Promise<boolean> {
    if (!this.#rung && !signal?.aborted) {
      this.#waiting = new AbortController();
      const either = signal === undefined
        ? this.#waiting.signal
        : AbortSignal.any([signal, this.#waiting.signal]);
      await this.#clock.sleep(ms, either);
      this.#waiting = undefined;
    }
    const had = this.#rung;
    this.#rung = false;
    return had;
  }

  [Symbol.dispose](): void {
    for (const stop of this.#stops) stop();
  }
}
