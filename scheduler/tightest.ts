/**
 * Which of a few nodes that fit is filled tightest. Pure: for trials on nodes that are not there yet, which are many and short, so that
 * looking ahead as the ranking of real nodes does would not pay.
 */
import type { GpuShare } from "../sdk/protocol.ts";
import { WHOLE } from "./fit.ts";
import type { Need, Node } from "./model.ts";

/** A node that fits, and what the container would get of it. */
export interface Candidate {
  readonly node: Node;
  readonly gpus: readonly GpuShare[];
}

/** The tightest candidate, or null when there is none. Deterministic: the last word has the node's id. */
export function tightest<C extends Candidate>(need: Need, candidates: readonly C[]): C | null {
  let best: C | null = null, least: readonly number[] = [];
  for (const candidate of candidates) {
    const left = leftOver(need, candidate);
    if (best === null || goesBefore(left, candidate, least, best)) [best, least] = [candidate, left];
  }
  return best;
}

function goesBefore(left: readonly number[], a: Candidate, least: readonly number[], b: Candidate): boolean {
  const at = left.findIndex((value, i) => value !== least[i]);
  return at === -1 ? a.node.id < b.node.id : left[at]! < least[at]!;
}

/** What would be left of the GPUs it takes, of others (idle ones, or anything, when it takes none), and of the CPU. */
function leftOver(need: Need, { node, gpus }: Candidate): readonly number[] {
  const taken = new Map(gpus.map(({ index, milli }) => [index, milli]));
  let sliver = 0, idle = 0, free = 0;
  for (const { index, milliFree } of node.gpus) {
    const milli = taken.get(index), after = milliFree - (milli ?? 0);
    if (milli !== undefined) sliver += after;
    if (after === WHOLE) idle++;
    free += after;
  }
  return [sliver, gpus.length > 0 ? idle : free, node.cpuMilliFree - need.cpuMilli];
}
