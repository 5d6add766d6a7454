/** Keeps one part of a machine running: starts it again, ever later, when it ends without being told to. */
import type { Clock, Log } from "../../sdk/ports.ts";

/** A part that was started. */
export interface Running {
  readonly pid: number;
  /** Resolves when it has ended, however it did. */
  readonly exited: Promise<unknown>;
  stop(): Promise<void>;
}

export interface KeepOptions {
  /** Its name in the log. */
  readonly part: string;
  readonly start: () => Promise<Running>;
  readonly clock: Clock;
  readonly log: Log;
}

/** One that has run for this long was well: when it ends, it is started again at once. */
const STEADY_MS = 10_000;
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 5_000;

/** A part that is kept running until it is stopped. */
export class Kept implements AsyncDisposable {
  readonly #options: KeepOptions;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;
  #running: Running;

  private constructor(options: KeepOptions, running: Running) {
    this.#options = options;
    this.#running = running;
    this.#watching = this.#watch();
  }

  /** Throws when it cannot be started at all. */
  static async start(options: KeepOptions): Promise<Kept> {
    return new Kept(options, await options.start());
  }

  /** Of the process that runs now, or ran last. */
  get pid(): number {
    return this.#running.pid;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running.stop();
    await this.#watching;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #watch(): Promise<void> {
    const { clock, log, part } = this.#options;
    for (let failures = 0; !this.#stopping.signal.aborted;) {
      const startedAt = clock.now();
      await this.#running.exited;
      if (this.#stopping.signal.aborted) return;
      if (clock.now() - startedAt > STEADY_MS) failures = 0;
      log("up.part_ended", { part });
      while (!await this.#again(failures++)) { /* it waits longer each time */ }
    }
  }

  /** True when it runs again, or need not. */
  async #again(failures: number): Promise<boolean> {
    const { clock, log, part, start } = this.#options;
    const { signal } = this.#stopping;
    await clock.sleep(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures), signal);
    if (signal.aborted) return true;
    try {
      this.#running = await start();
    } catch (error) {
      log("up.part_not_started", { part, message: (error as Error).message });
      return false;
    }
    if (signal.aborted) await this.#running.stop();
    else log("up.part_restarted", { part, pid: this.#running.pid });
    return true;
  }
}
