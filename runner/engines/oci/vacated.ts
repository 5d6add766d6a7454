/**
 * Addresses that servers have left. An engine gives one away again at once, and gateways connect to it until they have heard that its
 * server has ended: so nothing starts in between.
 */
import type { Clock } from "../../../sdk/ports.ts";

/** An api that is away is not waited for: then gateways hear nothing anyway. */
const HEARD_MS = 5_000;

export class Vacated {
  readonly #clock: Clock;
  readonly #unheard = new Set<Promise<void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A server has left its address. Call what it gives when the platform has heard of it. */
  leave(): () => void {
    const heard = new AbortController();
    const over = this.#clock.sleep(HEARD_MS, heard.signal).then(() => void this.#unheard.delete(over));
    this.#unheard.add(over);
    return () => heard.abort();
  }

  /** Resolves when there is no address to which others may still be led. */
  async settled(): Promise<void> {
    while (this.#unheard.size > 0) await Promise.all(this.#unheard);
  }
}
