/** The ends of a map's calls: kept as they come, handed out in the order of the inputs or as they came. Pure. */
import type { ResultLine } from "./protocol/calls.ts";

/** One create request. Each of its calls' ends is missing (undefined), here, or handed out (null). */
export interface Batch {
  /** Index of its first input in the map. */
  readonly base: number;
  readonly ends: (ResultLine | null | undefined)[];
  /** Calls whose end is missing. */
  left: number;
  /** The id that the platform gave it. */
  id: string;
}

/** One end, and where it belongs. */
export interface End {
  readonly batch: Batch;
  readonly line: ResultLine;
}

export class Ends {
  readonly #ordered: boolean;
  /** In the order of the inputs; those before the first one are handed out. */
  #batches: Batch[] = [];
  #next = 0;
  #arrived: End[] = [];
  #arrivedNext = 0;
  #total = 0;

  constructor(order: "input" | "completion") {
    this.#ordered = order === "input";
  }

  /** Room for the ends of one more batch. */
  add(size: number): Batch {
    const batch = { base: this.#total, ends: new Array(size).fill(undefined), left: size, id: "" };
    this.#total += size;
    if (this.#ordered) this.#batches.push(batch);
    return batch;
  }

  /** Cuts a batch of which no end is known: it keeps the first `size` calls, the others make one that follows it. */
  split(batch: Batch, size: number): Batch {
    const rest = batch.ends.length - size;
    const tail = { base: batch.base + size, ends: new Array(rest).fill(undefined), left: rest, id: "" };
    batch.ends.length = batch.left = size;
    if (this.#ordered) this.#batches.splice(this.#batches.indexOf(batch) + 1, 0, tail);
    return tail;
  }

  /** Keeps the first line of each call: after a lost connection the platform may repeat some. */
  accept(batch: Batch, line: ResultLine): void {
    const [index] = line;
    if (index >= batch.ends.length || batch.ends[index] !== undefined) return;
    batch.ends[index] = line;
    batch.left--;
    if (!this.#ordered) this.#arrived.push({ batch, line });
  }

  /** The next end in the wanted order, or undefined while it is missing. */
  take(): End | undefined {
    return this.#ordered ? this.#takeInOrder() : this.#takeArrived();
  }

  #takeInOrder(): End | undefined {
    const batch = this.#batches[0];
    const line = batch?.ends[this.#next];
    if (batch === undefined || !line) return undefined;
    batch.ends[this.#next++] = null;
    if (this.#next === batch.ends.length) {
      this.#batches.shift();
      this.#next = 0;
    }
    return { batch, line };
  }

  #takeArrived(): End | undefined {
    const end = this.#arrived[this.#arrivedNext];
    if (end === undefined) return undefined;
    if (++this.#arrivedNext === this.#arrived.length) {
      this.#arrived = [];
      this.#arrivedNext = 0;
    }
    return end;
  }
}
