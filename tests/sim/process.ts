/**
 * A simulated process: its own clock, chance and log over the shared time. Whatever reaches it (a timer, an answer, a row)
 * reaches it through {@link Process.enter}; so a frozen process hears everything late, and a dead one hears nothing any more,
 * though its code still waits somewhere for what never comes.
 */
import type { Clock, Log } from "../../sdk/ports.ts";
import type { Dice } from "./dice.ts";
import type { Entry, Timeline } from "./timeline.ts";

export interface ProcessOptions {
  readonly timeline: Timeline;
  readonly log: Log;
  readonly dice: Dice;
  readonly name: string;
  /** How far its clock is ahead of time, or behind it. */
  readonly skewMs?: number;
}

export class Process {
  readonly name: string;
  readonly clock: Clock;
  readonly random: Dice;
  readonly log: Log;
  readonly #timeline: Timeline;
  readonly #skewMs: number;
  readonly #ends: (() => void)[] = [];
  #alive = true;
  #frozenUntil = -Infinity;

  constructor({ timeline, log, dice, name, skewMs = 0 }: ProcessOptions) {
    this.name = name;
    this.#timeline = timeline;
    this.#skewMs = skewMs;
    this.random = dice.of(name);
    this.clock = { now: () => this.#now(), sleep: (ms, signal) => this.#sleep(ms, signal) };
    this.log = log;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Lets something happen in this process: now, when it thaws, or never. */
  enter(act: () => void): void {
    if (!this.#alive) return;
    if (this.#timeline.now >= this.#frozenUntil) return act();
    this.#timeline.at(this.#frozenUntil, () => this.enter(act));
  }

  /** Stands still for a while, as in a long collection of garbage. */
  freeze(ms: number): void {
    this.#frozenUntil = Math.max(this.#frozenUntil, this.#timeline.now + ms);
  }

  /** Ends at once. Who holds something for it lets go. */
  kill(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const end of this.#ends) end();
  }

  onEnd(end: () => void): void {
    this.#ends.push(end);
  }

  /** Clocks count whole milliseconds. */
  #now(): number {
    return Math.floor(this.#timeline.now + this.#skewMs);
  }

  #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      let entry: Entry | null = null;
      const done = () => {
        if (entry !== null) this.#timeline.cancel(entry);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      if (ms < Infinity) entry = this.#timeline.after(ms > 0 ? ms : 0, () => this.enter(done));
      signal?.addEventListener("abort", done);
    });
  }
}
