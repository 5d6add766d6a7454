/** What may still come to a node, of the mix of all work: one {@link Prospect} for all nodes that the same work can use. Pure. */
import type { GpuChoice } from "../sdk/gpu.ts";
import { admits, choices, isUsable, opened } from "./fit.ts";
import type { Workload } from "./mix.ts";
import type { Need, Node } from "./model.ts";
import { type Piece, Prospect } from "./prospect.ts";

/** What is free is told apart in steps of this part of what the mean piece of work needs: memory is seldom what lacks. */
const STEPS_PER_NEED = { cpu: 8, memory: 2 };

/** Looks ahead for nodes of all kinds. */
export class Waste {
  readonly #mix: readonly Workload[];
  readonly #steps: { readonly cpuMilli: number; readonly memoryMiB: number };
  readonly #gpuWeight: (piece: Piece) => number;
  readonly #gpuWeightSum: number;
  readonly #prospects = new Map<string, Prospect>();

  constructor(mix: readonly Workload[]) {
    this.#mix = mix.toSorted((a, b) => b.weight - a.weight);
    const sum = mix.reduce((sum, { weight }) => sum + weight, 0) || 1;
    const mean = (of: (need: Need) => number) =>
      Math.max(1, mix.reduce((total, { need, weight }) => total + weight * of(need), 0) / sum);
    this.#steps = {
      cpuMilli: mean((need) => need.cpuMilli) / STEPS_PER_NEED.cpu,
      memoryMiB: mean((need) => need.memoryMiB) / STEPS_PER_NEED.memory,
    };
    const onGpus = mix.filter(({ need }) => need.gpu.length > 0);
    const gpuMilli = ({ need: { gpu: [first] } }: Workload) => first!.count * first!.milli;
    const often = onGpus.reduce((sum, { weight }) => sum + weight, 0) || 1;
    const meanMilli = onGpus.reduce((sum, one) => sum + one.weight * gpuMilli(one), 0) / often;
    this.#gpuWeight = ({ count, milli, weight }) => count === 0 ? 0 : weight * (count * milli + meanMilli);
    this.#gpuWeightSum = onGpus.reduce((sum, one) => sum + one.weight * (gpuMilli(one) + meanMilli), 0) || 1;
  }

  /** The prospect of a node: the same one for nodes that the same work could go to. */
  prospectOf(node: Node): Prospect {
    const gpus = node.gpus.filter((gpu) => gpu.healthy);
    const pieces = this.#mix.map((one) => pieceOf(one, { ...node, gpus }));
    const key = `${gpus.length} ${pieces.map((piece) => piece === null ? "-" : piece.usable ?? "+").join()}`;
    const known = this.#prospects.get(key);
    if (known !== undefined) return known;
    const here = pieces.filter((piece) => piece !== null);
    const near = here.map((piece) => this.#gpuWeight(piece) / this.#gpuWeightSum);
    const prospect = new Prospect(here, near, this.#steps);
    this.#prospects.set(key, prospect);
    return prospect;
  }
}

/** Work as this node sees it when it is empty: its first choice that fits; null when none does. */
function pieceOf({ need, weight }: Workload, node: Node): Piece | null {
  const { cpuMilli, memoryMiB } = need;
  if (!admits(need, opened(node))) return null;
  if (cpuMilli > node.cpuMilli || memoryMiB > node.memoryMiB) return null;
  for (const choice of choices(need)) {
    if (choice === null) return { cpuMilli, memoryMiB, count: 0, milli: 0, usable: null, weight };
    const usable = usableOf(choice, node);
    const n = usable.reduce((sum, one) => sum + one, 0);
    if (n < choice.count) continue;
    const { count, milli } = choice;
    return { cpuMilli, memoryMiB, count, milli, usable: n === usable.length ? null : usable, weight };
  }
  return null;
}

/** By GPU of a node: 1 when a choice may have it. */
export const usableOf = (choice: GpuChoice, { gpus }: Node): Uint8Array =>
  Uint8Array.from(gpus, (gpu) => isUsable(choice, gpu) ? 1 : 0);
