/**
 * A node while containers are being placed: what is free of it shrinks. Values in, and whoever makes a spot is the only one to
 * change it. `now` is what is free, `soon` what will be once all that leaves has left; there is never more `now` than `soon`.
 */
import type { GpuShare } from "../sdk/protocol.ts";
import type { Rest } from "./fit.ts";
import type { Need, Node } from "./model.ts";
import type { Prospect } from "./prospect.ts";

/** What is free: of each GPU, in milli, by its position in the node's list. */
export interface Free extends Rest {
  cpuMilliFree: number;
  memoryMiBFree: number;
  diskMiBFree: number;
  /** Not free: never changed in place. */
  ports: readonly number[];
  readonly gpus: Int32Array;
}

/** What a container takes, as far as it is not GPUs. */
export type Amount = Pick<Need, "cpuMilli" | "memoryMiB" | "diskMiB" | "port">;

/** Nodes of which the same GPUs are of use to the same work. */
export interface Kind {
  /** Tells kinds apart. */
  readonly index: number;
  readonly example: Node;
  readonly prospect: Prospect;
  /** Positions of the GPUs that work. */
  readonly healthy: readonly number[];
  readonly stock: Stock;
}

/** All nodes whose GPUs are of the same models: how much of them there is, and is free. */
export interface Stock {
  readonly index: number;
  /** In the order in which equal ones are taken. */
  readonly spots: Spot[];
  /** Spots that changed, one after the other. */
  readonly changes: Spot[];
  gpuMilli: number;
  gpuMilliFree: number;
}

export interface Spot {
  readonly node: Node;
  readonly kind: Kind;
  /** Among those of its stock: cheaper ones first, then by id. */
  order: number;
  /** How cheap it is, as a rank among all costs per hour. */
  readonly costRank: number;
  now: Free;
  soon: Free;
  /** Milli-GPU that will go to waste of what is free now; NaN when not known. */
  waste: number;
  /** Its last entry among the stock's changes. */
  changedAt: number;
  /** The node with what is free now; null when not known. */
  view: Node | null;
}

export const freeOf = (node: Node): Free => ({
  cpuMilliFree: node.cpuMilliFree,
  memoryMiBFree: node.memoryMiBFree,
  diskMiBFree: node.diskMiBFree,
  ports: node.ports,
  gpus: Int32Array.from(node.gpus, (gpu) => gpu.milliFree),
});

export const copyOf = (free: Free): Free => ({ ...free, gpus: free.gpus.slice() });

/** Adds to what is free, or takes away. */
export function change(
  free: Free,
  node: Node,
  sign: 1 | -1,
  { cpuMilli, memoryMiB, diskMiB, port }: Amount,
  gpus: readonly GpuShare[],
): void {
  free.cpuMilliFree += sign * cpuMilli;
  free.memoryMiBFree += sign * memoryMiB;
  free.diskMiBFree += sign * diskMiB;
  if (port !== null) free.ports = sign < 0 ? [...free.ports, port] : without(free.ports, port);
  for (const { index, milli } of gpus) {
    const at = positionOf(node, index);
    if (at !== -1) free.gpus[at] = free.gpus[at]! + sign * milli;
  }
}

/** One that was given twice before anybody looked goes once. */
const without = (ports: readonly number[], port: number): readonly number[] =>
  ports.toSpliced(ports.indexOf(port), 1);

/** Most nodes list their GPUs from 0 on. */
const positionOf = ({ gpus }: Node, index: number): number =>
  gpus[index]?.index === index ? index : gpus.findIndex((gpu) => gpu.index === index);

/** No more of either than of the other. */
export function lowerTo(free: Free, bound: Free): void {
  free.cpuMilliFree = Math.min(free.cpuMilliFree, bound.cpuMilliFree);
  free.memoryMiBFree = Math.min(free.memoryMiBFree, bound.memoryMiBFree);
  free.diskMiBFree = Math.min(free.diskMiBFree, bound.diskMiBFree);
  if (bound.ports.length > 0) free.ports = [...new Set([...free.ports, ...bound.ports])];
  for (let i = 0; i < free.gpus.length; i++) free.gpus[i] = Math.min(free.gpus[i]!, bound.gpus[i]!);
}

/** The node with what is free, as others read it. */
export const viewOf = (node: Node, { gpus, ...rest }: Free): Node => ({
  ...node,
  ...rest,
  gpus: node.gpus.map((gpu, i) => ({ ...gpu, milliFree: gpus[i]! })),
});
