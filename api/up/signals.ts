/** SIGTERM, SIGHUP and Ctrl-C ask a machine to stop; a further Ctrl-C does not wait for it. */
import { onInterrupt } from "../../sdk/cli/interrupts.ts";
import type { Clock } from "../../sdk/ports.ts";

const SIGNALS = ["SIGTERM", "SIGHUP"] as const;

/** Aborts at the first signal; calls `onForce` at a second Ctrl-C. Dispose it to hear no more. */
export class StopSignal implements Disposable {
  readonly #asked = new AbortController();
  readonly #deaf: () => void;

  constructor(clock: Clock, onForce: () => void) {
    this.#deaf = onInterrupt(clock, this.#ask, onForce);
    for (const name of SIGNALS) Deno.addSignalListener(name, this.#ask);
  }

  get signal(): AbortSignal {
    return this.#asked.signal;
  }

  /** Resolves when it is asked to stop. */
  async asked(): Promise<void> {
    const { signal } = this;
    if (!signal.aborted) {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    }
  }

  [Symbol.dispose](): void {
    this.#deaf();
    for (const name of SIGNALS) Deno.removeSignalListener(name, this.#ask);
  }

  readonly #ask = (): void => this.#asked.abort();
}
