/**
 * What was found empty of late: not looked at again until a wake says that there is something, or a second has passed, should
 * the wake have been lost. It spares an idle platform most of its statements.
 */
import type { Topic, Wakes } from "../scheduler/wakes.ts";
import type { Clock } from "../sdk/ports.ts";

const BELIEVED_MS = 1_000;

interface Found {
  /** Counts the wakes, so that one which comes while we look is not overlooked. */
  version: number;
  emptyUntil: number;
  /** Ends with the look before, for those who take turns. */
  turn: Promise<unknown>;
}

export class Emptiness<Key extends string | number> {
  readonly #clock: Clock;
  readonly #wakes: Wakes;
  readonly #topic: Topic;
  readonly #found = new Map<Key, Found>();

  constructor({ clock, wakes }: { readonly clock: Clock; readonly wakes: Wakes }, topic: Topic) {
    this.#clock = clock;
    this.#wakes = wakes;
    this.#topic = topic;
  }

  /** Whether a look at `key` would find nothing, as far as we know. */
  has(key: Key): boolean {
    return this.#of(key).emptyUntil > this.#clock.now();
  }

  /** Looks at `key`, unless it is known to be empty; `isEmpty` tells what was found. */
  async look<T>(key: Key, nothing: T, look: () => Promise<T>, isEmpty: (found: T) => boolean): Promise<T> {
    const found = this.#of(key);
    if (found.emptyUntil > this.#clock.now()) return nothing;
    const { version } = found;
    const value = await look();
    if (isEmpty(value) && found.version === version) found.emptyUntil = this.#clock.now() + BELIEVED_MS;
    return value;
  }

  /** The same, one look at a time, where they would only be in each other's way: a wake brings many at once, most in vain. */
  async lookInTurn<T>(
    key: Key,
    nothing: T,
    look: () => Promise<T>,
    isEmpty: (found: T) => boolean,
  ): Promise<T> {
    const found = this.#of(key);
    const mine = found.turn.then(() => this.look(key, nothing, look, isEmpty));
    found.turn = mine.catch(() => {});
    return await mine;
  }

  #of(key: Key): Found {
    let found = this.#found.get(key);
    if (found === undefined) {
      const fresh = { version: 0, emptyUntil: 0, turn: Promise.resolve() };
      this.#found.set(key, found = fresh);
      this.#wakes.on(this.#topic, key, () => {
        fresh.version++;
        fresh.emptyUntil = 0;
      });
    }
    return found;
  }
}
