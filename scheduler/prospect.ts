/**
 * How much of a node's free GPUs will go to waste, given the mix of work that comes. Pure; the heart of the ranking.
 *
 * Two looks ahead, in milli-GPU, and the sum of both:
 * - **near**: what the next piece of work could not use, on average over the mix. This is the measure of fragmentation gradient
 *   descent (USENIX ATC 2023), weighted half by how often work comes and half by the GPUs it takes, so that rare work that
 *   needs all GPUs of a node counts.
 * - **far**: what is still free after {@link DRAWS} pieces of work, drawn from the mix, went to this node wherever they fitted:
 *   room that nothing in the mix will ever fill, since the CPU is gone, or the pieces are too small. The mean over
 *   {@link STREAMS} such futures, the same ones for each node and state, so that differences are not chance.
 *
 * The near look alone does not see where things end: on the published trace at full load it leaves 4.8 % of the GPUs free, both
 * together 4.1 %, where 3.7 % is the least for work that takes all classes alike. Longer and more futures gain nothing.
 */
import { WHOLE } from "./fit.ts";

/** What the near look counts beside the far one: more of it helps where containers come and go, less where they only come. */
const NEAR = 1.25;
const STREAMS = 16;
const DRAWS = 20;
/** States remembered for one kind of node. */
const REMEMBERED_MAX = 200_000;
/** Successive multiples of it, less their whole part, cover 0..1 evenly however many there are: one over the plastic number. */
const SPREAD = 0.754_877_666_246_692_7;

/** Work as a node sees it. */
export interface Piece {
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  /** GPUs, and milli of each; 0 for none. */
  readonly count: number;
  readonly milli: number;
  /** By GPU: whether this one would do. Null: all would. */
  readonly usable: Uint8Array | null;
  readonly weight: number;
}

/** What may come to nodes of a kind. */
export class Prospect {
  /** Whether it is all the same which of two GPUs has more free. */
  readonly isUniform: boolean;
  readonly #sizes: readonly Size[];
  /** The part of the near look that is work which can't come here. */
  readonly #elsewhere: number;
  readonly #futures: Futures;
  readonly #steps: { readonly cpuMilli: number; readonly memoryMiB: number };
  readonly #remembered = new Map<number, number>();
  #free = new Int32Array(0);
  #left = new Int32Array(0);

  /** @param near by piece: its weight in the near look; what is missing to 1 is work that can't come here */
  constructor(
    pieces: readonly Piece[],
    near: readonly number[],
    steps: { readonly cpuMilli: number; readonly memoryMiB: number },
  ) {
    this.isUniform = pieces.every((piece) => piece.usable === null);
    this.#sizes = sizesOf(pieces, near);
    this.#elsewhere = Math.max(0, 1 - near.reduce((sum, weight) => sum + weight, 0));
    this.#futures = futuresOf(pieces);
    this.#steps = steps;
  }

  /**
   * Milli-GPU that will go to waste.
   *
   * @param gpus what is free of each GPU
   * @param healthy the GPUs that count, by position
   */
  of(cpuMilli: number, memoryMiB: number, gpus: Int32Array, healthy: readonly number[]): number {
    const n = healthy.length;
    if (this.#free.length !== n) [this.#free, this.#left] = [new Int32Array(n), new Int32Array(n)];
    const sum = this.#gather(gpus, healthy);
    if (sum === 0) return 0;
    const cpuStep = Math.floor(cpuMilli / this.#steps.cpuMilli);
    const memoryStep = Math.floor(memoryMiB / this.#steps.memoryMiB);
    const key = hash(cpuStep, memoryStep, this.#free);
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    const cpu = (cpuStep + 0.5) * this.#steps.cpuMilli, memory = (memoryStep + 0.5) * this.#steps.memoryMiB;
    const waste = NEAR * this.#nearWaste(cpu, memory, sum) + this.#farWaste(cpu, memory, sum);
    if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
    this.#remembered.set(key, waste);
    return waste;
  }

  /** What is free, in ascending order if GPUs are alike, so that equal states are one; returns the sum. */
  #gather(gpus: Int32Array, healthy: readonly number[]): number {
    const free = this.#free;
    let sum = 0;
    for (let i = 0; i < healthy.length; i++) {
      const milli = gpus[healthy[i]!]!;
      sum += milli;
      let j = i;
      if (this.isUniform) { for (; j > 0 && free[j - 1]! > milli; j--) free[j] = free[j - 1]!; }
      free[j] = milli;
    }
    return sum;
  }

  #nearWaste(cpu: number, memory: number, sum: number): number {
    let waste = this.#elsewhere * sum;
    for (const { count, milli, usable, all, cpuMilli, memoryMiB, weight } of this.#sizes) {
      const scraps = scrapsOf(this.#free, count, milli, usable);
      if (scraps === sum) waste += all * sum;
      else {
        let fits = 0;
        for (let i = 0; i < weight.length; i++) {
          if (cpu >= cpuMilli[i]! && memory >= memoryMiB[i]!) fits += weight[i]!;
        }
        waste += fits * scraps + (all - fits) * sum;
      }
    }
    return waste;
  }

  /** The mean of what the futures leave free. */
  #farWaste(cpuFree: number, memoryFree: number, sum: number): number {
    const { cpuMilli, memoryMiB, count, milli, usable, leastMilli, leastCpuMilli } = this.#futures;
    const left = this.#left;
    let waste = 0;
    for (let from = 0; from < cpuMilli.length; from += DRAWS) {
      let cpu = cpuFree, memory = memoryFree, free = sum;
      left.set(this.#free);
      for (let i = from; i < from + DRAWS && free >= leastMilli && cpu >= leastCpuMilli; i++) {
        const n = count[i]!, each = milli[i]!;
        if (cpuMilli[i]! > cpu || memoryMiB[i]! > memory || n * each > free) continue;
        if (n > 0 && !take(left, n, each, usable[i]!)) continue;
        cpu -= cpuMilli[i]!;
        memory -= memoryMiB[i]!;
        free -= n * each;
      }
      waste += free;
    }
    return waste / STREAMS;
  }
}

/** Work that takes as much of the GPUs. */
interface Size {
  readonly count: number;
  readonly milli: number;
  readonly usable: Uint8Array | null;
  /** The sum of the weights. */
  readonly all: number;
  readonly cpuMilli: Float64Array;
  readonly memoryMiB: Float64Array;
  readonly weight: Float64Array;
}

function sizesOf(pieces: readonly Piece[], near: readonly number[]): Size[] {
  const weighed = pieces.map((piece, i) => ({ ...piece, weight: near[i]! })).filter(({ weight }) =>
    weight > 0
  );
  const sizes = Map.groupBy(weighed, ({ count, milli, usable }) => `${count} ${milli} ${usable ?? ""}`);
  return [...sizes.values()].map((same) => ({
    count: same[0]!.count,
    milli: same[0]!.milli,
    usable: same[0]!.usable,
    all: same.reduce((sum, { weight }) => sum + weight, 0),
    cpuMilli: Float64Array.from(same, (one) => one.cpuMilli),
    memoryMiB: Float64Array.from(same, (one) => one.memoryMiB),
    weight: Float64Array.from(same, (one) => one.weight),
  }));
}

/** What is free of GPUs that work of this size can't use; all of it if there are too few others. */
function scrapsOf(free: Int32Array, count: number, milli: number, usable: Uint8Array | null): number {
  let fitting = 0, scraps = 0, sum = 0;
  for (let g = 0; g < free.length; g++) {
    const one = free[g]!;
    sum += one;
    if (one >= milli && (usable === null || usable[g] === 1)) fitting++;
    else scraps += one;
  }
  return fitting >= count ? scraps : sum;
}

/** Takes of the tightest GPU that suffices, or of the first that do when several are needed. */
function take(left: Int32Array, count: number, milli: number, usable: Uint8Array | null): boolean {
  if (count > 1) return takeMany(left, count, milli, usable);
  let best = -1, least = WHOLE + 1;
  for (let g = 0; g < left.length; g++) {
    const free = left[g]!;
    if (free >= milli && free < least && (usable === null || usable[g] === 1)) {
      best = g;
      least = free;
    }
  }
  if (best === -1) return false;
  left[best] = least - milli;
  return true;
}

function takeMany(left: Int32Array, count: number, milli: number, usable: Uint8Array | null): boolean {
  let fitting = 0;
  for (let g = 0; g < left.length; g++) {
    if (left[g]! >= milli && (usable === null || usable[g] === 1)) fitting++;
  }
  if (fitting < count) return false;
  for (let g = 0, n = count; n > 0; g++) {
    if (left[g]! < milli || (usable !== null && usable[g] === 0)) continue;
    left[g] = left[g]! - milli;
    n--;
  }
  return true;
}

/** Pieces in the order in which they come, {@link DRAWS} to a future. */
interface Futures {
  readonly cpuMilli: Float64Array;
  readonly memoryMiB: Float64Array;
  readonly count: Int32Array;
  readonly milli: Int32Array;
  readonly usable: readonly (Uint8Array | null)[];
  /** The least that any of those on GPUs takes. */
  readonly leastMilli: number;
  readonly leastCpuMilli: number;
}

/** Draws by weight, spread so evenly that each future is a fair sample of the mix. */
function futuresOf(pieces: readonly Piece[]): Futures {
  const bounds: number[] = [];
  let sum = 0;
  for (const { weight } of pieces) bounds.push(sum += weight);
  const drawn = Array.from({ length: sum === 0 ? 0 : STREAMS * DRAWS }, (_, i) => {
    const x = ((i + 0.5) * SPREAD % 1) * sum;
    return pieces[Math.max(0, bounds.findIndex((bound) => bound > x))]!;
  });
  const onGpus = pieces.filter((piece) => piece.count > 0);
  return {
    cpuMilli: Float64Array.from(drawn, (one) => one.cpuMilli),
    memoryMiB: Float64Array.from(drawn, (one) => one.memoryMiB),
    count: Int32Array.from(drawn, (one) => one.count),
    milli: Int32Array.from(drawn, (one) => one.milli),
    usable: drawn.map((one) => one.usable),
    leastMilli: Math.max(1, Math.min(...onGpus.map(({ count, milli }) => count * milli))),
    leastCpuMilli: Math.min(...onGpus.map(({ cpuMilli }) => cpuMilli)),
  };
}

/** 53 bits of a state. Two states with the same hash would only be ranked alike: what fits is never read from here. */
function hash(cpuStep: number, memoryStep: number, free: Int32Array): number {
  let a = Math.imul(cpuStep + 1, 0x85ebca6b), b = Math.imul(memoryStep + 7, 0xc2b2ae35);
  for (let g = 0; g < free.length; g++) {
    a = Math.imul(a ^ free[g]!, 0x01000193) + 0x7ed55d16 | 0;
    a ^= a >>> 15;
    b = Math.imul(b ^ free[g]! + g, 0x5bd1e995);
    b ^= b >>> 13;
  }
  return (a >>> 0) * 2 ** 21 + (b >>> 11);
}
