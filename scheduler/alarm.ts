/** A sleep that somebody else can end; a ring since the last reset ends it before it begins. */
import type { Clock } from "../sdk/ports.ts";

export class Alarm {
  readonly #clock: Clock;
  #bell = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  reset(): void {
    this.#bell = new AbortController();
  }

  ring(): void {
    this.#bell.abort();
  }

  async until(instant: number): Promise<void> {
    const ms = instant - this.#clock.now();
    if (ms > 0) await this.#clock.sleep(ms, this.#bell.signal);
  }
}
