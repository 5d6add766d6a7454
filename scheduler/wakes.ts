/**
 * Wakes: hints that something changed, given after commit. Subscribers in this process hear them at once, those in other
 * processes by NOTIFY, coalesced while one is under way. A hint may be lost; whoever waits also looks by itself now and then.
 */
import type { Pool } from "./store/connect.ts";

/**
 * `ready`: calls of a function wait (key: function id) · `done`: calls ended (batch id) · `call`: new logs or events (batch id)
 * · `container`: new lines of a container, or its end (container id) · `node`: what is wanted on a node changed (node id) · `routes`: endpoints or their containers changed · `tick`: the
 * scheduler should look · `pool`: a pool's provider has something to do · `build`: images wait to be built, or nodes may build
 * again · `image`: new lines of a build, or its end (image id).
 */
export type Topic =
  | "ready"
  | "done"
  | "call"
  | "container"
  | "node"
  | "routes"
  | "tick"
  | "pool"
  | "build"
  | "image";
export type Key = string | number;

export interface Wakes {
  wake(topic: Topic, key?: Key): void;
  /** Calls `hear` on each wake of a topic, for one key or all (`"*"`); returns how to stop. */
  on(topic: Topic, key: Key, hear: () => void): () => void;
}

/** Wakes within one process. */
export class LocalWakes implements Wakes {
  readonly #hearers = new Map<string, Set<() => void>>();

  wake(topic: Topic, key: Key = "*"): void {
    if (key !== "*") this.#call(`${topic}:${key}`);
    this.#call(`${topic}:*`);
  }

  on(topic: Topic, key: Key, hear: () => void): () => void {
    const name = `${topic}:${key}`;
    const hearers = this.#hearers.get(name) ?? new Set();
    this.#hearers.set(name, hearers.add(hear));
    return () => {
      hearers.delete(hear);
      if (hearers.size === 0 && this.#hearers.get(name) === hearers) this.#hearers.delete(name);
    };
  }

  /** Everybody looks: after a lost connection nobody knows what was missed. */
  all(): void {
    for (const name of [...this.#hearers.keys()]) this.#call(name);
  }

  #call(name: string): void {
    for (const hear of [...this.#hearers.get(name) ?? []]) hear();
  }
}

const CHANNEL = "berth";
/** A NOTIFY payload holds at most 8,000 bytes. */
const PAYLOAD_MAX = 7_000;

/** Wakes across processes, over the database that all of them share. */
export class SharedWakes implements Wakes {
  readonly #local = new LocalWakes();
  readonly #sql: Pool;
  readonly #origin: string;
  #pending = new Set<string>();
  #sending = false;

  /** @param origin names this process, so that it does not hear itself twice */
  private constructor(sql: Pool, origin: string) {
    this.#sql = sql;
    this.#origin = origin;
  }

  /** `sql` should be a small pool of its own: notifications must not wait behind other statements. */
  static async listen(sql: Pool, origin: string): Promise<SharedWakes> {
    const wakes = new SharedWakes(sql, origin);
    await sql.listen(CHANNEL, (payload) => wakes.#receive(payload), () => wakes.#local.all());
    return wakes;
  }

  wake(topic: Topic, key: Key = "*"): void {
    this.#local.wake(topic, key);
    this.#pending.add(`${topic}:${key}`);
    if (!this.#sending) this.#send();
  }

  on(topic: Topic, key: Key, hear: () => void): () => void {
    return this.#local.on(topic, key, hear);
  }

  async #send(): Promise<void> {
    this.#sending = true;
    await Promise.resolve(); // join what this turn still wakes
    while (this.#pending.size > 0) {
      let payload = this.#origin;
      for (const name of this.#pending) {
        if (payload.length + name.length > PAYLOAD_MAX) break;
        payload += ` ${name}`;
        this.#pending.delete(name);
      }
      // A lost hint is made good by polling.
      await this.#sql.notify(CHANNEL, payload).catch(() => {});
    }
    this.#sending = false;
  }

  #receive(payload: string): void {
    const [origin, ...names] = payload.split(" ");
    if (origin === this.#origin) return;
    for (const name of names) {
      const [topic, key] = name.split(":") as [Topic, string];
      this.#local.wake(topic, key);
    }
  }
}
