/**
 * Searches for those who could make room, kept few: each looks at all that hold some. Pure but for its own counting.
 *
 * What failed once fails again in the same tick, for the same need, the same importance and the same workspace. And of those that
 * could succeed a tick makes {@link SEARCHES_MAX}: what gives way takes longer to leave than the next tick to come. Half of them
 * go to the first in turn, the others to functions in rotation, so that none is passed over for ever.
 */
import type { Asking } from "./claims.ts";
import type { Ask } from "./rank.ts";

const SEARCHES_MAX = 32;
/** How long a place in the rotation lasts. */
const ROTATION_MS = 1_000;

export class Searches {
  /** By need: equal needs have the same asks. */
  readonly #failed = new Map<readonly Ask[], Set<string>>();
  readonly #turns: number;
  readonly #turn: number;
  #left = SEARCHES_MAX;

  /** @param functions how many lack something */
  constructor(functions: number, now: number) {
    this.#turns = Math.ceil(functions / (SEARCHES_MAX / 2));
    this.#turn = Math.floor(now / ROTATION_MS);
  }

  /** Whether it is worth to search, and the claim's turn. */
  may(claim: Asking, asks: readonly Ask[]): boolean {
    if (claim.since === Infinity || this.#left === 0) return false;
    const isFirst = this.#left > SEARCHES_MAX / 2;
    if (!isFirst && (claim.functionId + this.#turn) % this.#turns !== 0) return false;
    if (this.#failed.get(asks)?.has(kindOf(claim))) return false;
    this.#left--;
    return true;
  }

  fail(claim: Asking, asks: readonly Ask[]): void {
    const kinds = this.#failed.get(asks) ?? new Set();
    this.#failed.set(asks, kinds.add(kindOf(claim)));
  }
}

/** Claims of one kind have the same who could make room for them, but for those of their own function. */
const kindOf = ({ account, priority, count, nth, fn, broken }: Asking): string => {
  const own = nth > 0 || broken !== null ? fn.id : "";
  const failing = fn.startFailures === null ? "" : "failing";
  return [account.workspace.id, priority, count, own, failing].join(" ");
};
