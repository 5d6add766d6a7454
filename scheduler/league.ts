/** The least of many numbers that change one at a time: a tree of minima. Changing one costs log n, reading the least nothing. */
export class League {
  readonly #size: number;
  /** The leaves are the second half; each other entry is the least of its two children; [1] is the root. */
  readonly #tree: Float64Array;

  constructor(size: number) {
    this.#size = size;
    this.#tree = new Float64Array(2 * Math.max(1, size)).fill(Infinity);
  }

  /** Of all entries; Infinity when there is none. */
  get least(): number {
    return this.#tree[1]!;
  }

  set(entry: number, value: number): void {
    const tree = this.#tree;
    let i = entry + this.#size;
    if (tree[i] === value) return;
    tree[i] = value;
    for (i >>= 1; i >= 1; i >>= 1) {
      const a = tree[2 * i]!, b = tree[2 * i + 1]!;
      const least = a < b ? a : b;
      if (tree[i] === least) return;
      tree[i] = least;
    }
  }
}
