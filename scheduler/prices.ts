/**
 * What the GPUs of each stock are worth to others, so that work that would run anywhere leaves alone what other work can't do
 * without. Pure.
 *
 * A price rises with how much of the stock is spoken for: what is taken, and of what is free the part that work will claim which
 * can't go elsewhere. It is the dearer, the more such work there is in the mix.
 */
import type { GpuChoice } from "../sdk/gpu.ts";
import { admits, choices, opened, WHOLE } from "./fit.ts";
import type { Workload } from "./mix.ts";
import type { Need } from "./model.ts";
import type { Kind, Stock } from "./spot.ts";
import { usableOf } from "./waste.ts";

/** The price of a whole GPU of which all are spoken for, in milli-GPU: if no work is bound to its models, and what is added if all is. */
const MAX = 2_000;
const MAX_BOUND = 80_000;

export class Prices {
  /** The part of the mix's GPUs that is bound: by how much of all GPUs it could not use. */
  readonly #bound: number;
  /** By stock: the part of it that will be claimed by work that is bound. */
  readonly #claimed: readonly number[];

  constructor(mix: readonly Workload[], kinds: readonly Kind[], stocks: readonly Stock[]) {
    const total = Math.max(1, stocks.reduce((sum, stock) => sum + stock.gpuMilli, 0));
    const installed = installedOf(kinds, stocks);
    const claimed = stocks.map(() => 0);
    let bound = 0, all = 0;
    for (const { need, weight } of mix) {
      const [first] = need.gpu;
      if (first === undefined) continue;
      const milli = weight * first.count * first.milli;
      const open = kinds.filter((kind) => couldHost(need, kind));
      const openMilli = open.reduce((sum, kind) => sum + installed[kind.index]!, 0);
      const boundMilli = milli * (1 - openMilli / total);
      all += milli;
      bound += boundMilli;
      for (const { index, stock } of open) {
        claimed[stock.index]! += boundMilli * installed[index]! / openMilli;
      }
    }
    this.#bound = all === 0 ? 0 : bound / all;
    this.#claimed = stocks.map(({ index, gpuMilli }) =>
      all === 0 || gpuMilli === 0 ? 0 : Math.min(1, claimed[index]! / all * total / gpuMilli)
    );
  }

  /** Of one container's GPUs, in milli-GPU. */
  of(choice: GpuChoice | null, { index, gpuMilli, gpuMilliFree }: Stock): number {
    if (choice === null || gpuMilli === 0) return 0;
    const spokenFor = 1 - gpuMilliFree / gpuMilli * (1 - this.#claimed[index]!);
    const price = MAX * spokenFor ** 4 + MAX_BOUND * this.#bound * spokenFor;
    return price * choice.count * choice.milli / WHOLE;
  }
}

/** By kind: the GPUs that its nodes have, in milli. */
function installedOf(kinds: readonly Kind[], stocks: readonly Stock[]): number[] {
  const installed = kinds.map(() => 0);
  for (const { spots } of stocks) {
    for (const { kind } of spots) installed[kind.index]! += kind.healthy.length * WHOLE;
  }
  return installed;
}

/** Whether an empty node of the kind would do, by one choice or another. */
const couldHost = (need: Need, { example }: Kind): boolean =>
  need.cpuMilli <= example.cpuMilli && need.memoryMiB <= example.memoryMiB &&
  admits(need, opened(example)) &&
  choices(need).some((choice) =>
    choice === null || usableOf(choice, example).reduce((sum, one) => sum + one, 0) >= choice.count
  );
