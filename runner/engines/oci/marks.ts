/**
 * Marks in what a container prints: written into the same pipe from outside, and taken out again where it is read. When a mark has
 * come, all that was printed before it has come too, whatever ways the engine takes. Pure.
 */

import type { Random } from "../../../sdk/ports.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const NUL = 0;
const RANDOM_BYTES = 16;

/** One container's own, which nothing else prints. Only its first byte is NUL, so that it begins in one place only. */
export const newMark = (random: Pick<Random, "bytes">): Bytes =>
  new Uint8Array([NUL, ...random.bytes(RANDOM_BYTES).map((byte) => byte | 1)]);

export class MarkFilter {
  readonly #mark: Bytes;
  readonly #seen: () => void;
  /** What may be the beginning of a mark. */
  #held: Bytes = new Uint8Array();

  /** @param seen is called for each mark, after what was before it was given back */
  constructor(mark: Bytes, seen: () => void) {
    this.#mark = mark;
    this.#seen = seen;
  }

  /** These bytes without marks; those that may begin one come with the next. */
  *push(bytes: Bytes): Generator<Bytes> {
    const all = this.#held.length === 0 ? bytes : new Uint8Array([...this.#held, ...bytes]);
    this.#held = new Uint8Array();
    let from = 0;
    for (let at = all.indexOf(NUL); at >= 0; at = all.indexOf(NUL, at + 1)) {
      const found = this.#matchedAt(all, at);
      if (found === 0) continue;
      if (at > from) yield all.slice(from, at);
      from = at + found;
      if (found === this.#mark.length) this.#seen();
      else this.#held = all.slice(at);
    }
    if (from < all.length) yield all.slice(from);
  }

  /** What was held back, when nothing more comes. */
  rest(): Bytes {
    return this.#held;
  }

  /** Length of the mark, or of its beginning at the end of `all`; 0 when something else is there. */
  #matchedAt(all: Bytes, at: number): number {
    const length = Math.min(this.#mark.length, all.length - at);
    for (let i = 0; i < length; i++) if (all[at + i] !== this.#mark[i]) return 0;
    return length;
  }
}
