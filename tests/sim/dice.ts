/** Chance from a seed. Each name draws from a stream of its own, so that a draw more in one place changes nothing in another. */
import type { Random } from "../../sdk/ports.ts";

export class Dice implements Random {
  readonly #name: string;
  #state: number;

  constructor(name: string) {
    this.#name = name;
    this.#state = hash(name);
  }

  /** Dice of their own for `name`. */
  of(name: string | number): Dice {
    return new Dice(`${this.#name}/${name}`);
  }

  /** Uniform in [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  bytes(n: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length: n }, () => Math.floor(this.next() * 256));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** Uniform in [lo, hi). */
  between(lo: number, hi: number): number {
    return lo + this.next() * (hi - lo);
  }

  /** A whole number in [lo, hi], both included. */
  whole(lo: number, hi: number): number {
    return lo + Math.floor(this.next() * (hi - lo + 1));
  }

  /** Mostly small, now and then large: uniform in the exponent. */
  spread(lo: number, hi: number): number {
    return lo * (hi / lo) ** this.next();
  }

  pick<T>(all: readonly T[]): T {
    return all[Math.floor(this.next() * all.length)]!;
  }

  /** Those of `all` that a coin chose, in their order; at least one. */
  some<T>(all: readonly T[], probability = 0.5): T[] {
    const chosen = all.filter(() => this.chance(probability));
    return chosen.length > 0 || all.length === 0 ? chosen : [this.pick(all)];
  }
}

/** FNV-1a, then mixed, since names differ in their last letters only. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return Math.imul(h ^ (h >>> 13), 0xc2b2ae35) ^ (h >>> 16);
}
