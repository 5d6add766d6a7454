/** What a reader of results still lacks, as ranges to ask the store for. Pure. */
import type { Range } from "../scheduler/store/results.ts";

/** Which indexes of a batch one connection has not had yet. */
export class Unsent {
  readonly #sent: Uint8Array;
  #low: number;
  #count: number;

  constructor(from: number, size: number) {
    this.#sent = new Uint8Array(size);
    this.#low = Math.min(from, size);
    this.#count = size - this.#low;
  }

  get count(): number {
    return this.#count;
  }

  remove(indexes: readonly number[]): void {
    for (const index of indexes) this.#sent[index] = 1;
    this.#count -= indexes.length;
    while (this.#sent[this.#low] === 1) this.#low++;
  }

  /** The gaps, so that what was sent is not read again, however long one straggler takes. */
  ranges(): Range[] {
    const ranges: Range[] = [];
    for (let lo = this.#low; lo < this.#sent.length;) {
      const end = this.#sent.indexOf(1, lo);
      const hi = end === -1 ? this.#sent.length : end;
      if (hi > lo) ranges.push([lo, hi]);
      const next = this.#sent.indexOf(0, hi);
      lo = next === -1 ? this.#sent.length : next;
    }
    return ranges;
  }
}
