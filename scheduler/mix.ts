/**
 * What kinds of work a cluster runs, and how often each. Pure. Placing looks at it to see what a node could still be used for.
 *
 * The future is taken to be like the present: functions count by the containers they have and want. But a function that
 * nobody has deployed yet may come tomorrow, so a part of the mix is work of common sizes ({@link UNKNOWN}).
 */
import type { Fn, Need } from "./model.ts";

/** A kind of work, and how often it comes relative to others. */
export interface Workload {
  readonly need: Need;
  readonly weight: number;
}

const common = (gpus: number): Need => ({
  gpu: [{ model: "any", count: Math.ceil(gpus), milli: Math.min(gpus, 1) * 1000, vramMiB: 0 }],
  cpuMilli: 1_000,
  memoryMiB: 2_048,
  diskMiB: 0,
  labels: {},
  port: null,
  volumes: [],
});

/** Work that is not known: mostly single GPUs, now and then a share, or all the GPUs of a node. */
const UNKNOWN: readonly Workload[] = [
  { need: common(1), weight: 0.5 },
  { need: common(0.5), weight: 0.2 },
  { need: common(2), weight: 0.1 },
  { need: common(4), weight: 0.1 },
  { need: common(8), weight: 0.1 },
];

/** The part of the mix that is not known. */
const UNKNOWN_SHARE = 0.2;

/**
 * The mix of functions, each with the containers that it has and wants. Needs that are the same count as one. Which node has its volumes
 * is left out: work of this size may be bound to any.
 */
export function mixOf(functions: readonly { readonly fn: Fn; readonly containers: number }[]): Workload[] {
  const known = new Map<string, { readonly need: Need; weight: number }>();
  for (const { fn, containers } of functions) {
    const need = { ...fn.need, volumes: [] }, { nodes } = fn;
    const key = JSON.stringify(need), weight = 1 + containers * nodes, same = known.get(key);
    if (same === undefined) known.set(key, { need, weight });
    else same.weight += weight;
  }
  const sum = [...known.values()].reduce((sum, { weight }) => sum + weight, 0);
  const unknown = sum === 0 ? 1 : sum * UNKNOWN_SHARE / (1 - UNKNOWN_SHARE);
  return [...known.values(), ...UNKNOWN.map(({ need, weight }) => ({ need, weight: weight * unknown }))];
}
