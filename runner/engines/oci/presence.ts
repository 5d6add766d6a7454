/** Whether the container engine answers. While it does, that costs nothing: its end is heard, and only its return is looked for. */
import type { Clock, Log } from "../../../sdk/ports.ts";
import type { OciClient } from "./client.ts";

export interface PresenceDeps {
  readonly client: Pick<OciClient, "version">;
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** One that was gone for this long is away; an engine that is restarted is back sooner, and nobody need know. */
const AWAY_AFTER_MS = 5_000;
const LOOK_MS = 1_000;

export class Presence {
  readonly #deps: PresenceDeps;
  #away: string | null = null;

  constructor(deps: PresenceDeps) {
    this.#deps = deps;
  }

  /** Why it can start nothing now; null when it can. */
  get away(): string | null {
    return this.#away;
  }

  /** Looks until the signal; calls `changed` when it goes away and when it is back. */
  async watch(signal: AbortSignal, changed: () => void): Promise<void> {
    const { clock, log, socket } = this.#deps;
    while (!signal.aborted) {
      await hungUp(socket, signal);
      const since = clock.now();
      for (let why = await this.#whyAway(signal); why !== null; why = await this.#whyAway(signal)) {
        if (signal.aborted) return;
        if (clock.now() - since >= AWAY_AFTER_MS && this.#away === null) {
          this.#away = `${socket}: ${why}`;
          log("oci.away", { why: this.#away });
          changed();
        }
        await clock.sleep(LOOK_MS, signal);
      }
      if (this.#away !== null) {
        this.#away = null;
        log("oci.back", { awayMs: clock.now() - since });
        changed();
      }
      await clock.sleep(LOOK_MS, signal); // should it hang up on all who say nothing
    }
  }

  /** Null when it answers. One that takes a connection and says nothing is away too. */
  async #whyAway(over: AbortSignal): Promise<string | null> {
    const { client, clock } = this.#deps;
    const answered = new AbortController(), late = new AbortController();
    clock.sleep(AWAY_AFTER_MS, answered.signal).then(() => late.abort());
    try {
      await client.version(AbortSignal.any([over, late.signal]));
      return null;
    } catch (error) {
      return late.signal.aborted ? "it takes connections, and does not answer" : (error as Error).message;
    } finally {
      answered.abort();
    }
  }
}

/** Resolves when whoever listens there ends a connection on which nothing is said, and at once where nobody listens. */
export async function hungUp(path: string, signal: AbortSignal): Promise<void> {
  const connection = await Deno.connect({ transport: "unix", path }).catch(() => null);
  if (connection === null) return;
  const close = () => connection.close();
  signal.addEventListener("abort", close, { once: true });
  await connection.read(new Uint8Array(1)).catch(() => null);
  signal.removeEventListener("abort", close);
  if (!signal.aborted) close();
}
