/** What a transaction of the store changed, for those to be woken after its commit. */
import type { Wakes } from "../wakes.ts";

export interface Touched {
  /** Functions whose calls wait anew. */
  readonly functionIds: readonly number[];
  /** Batches in which calls have ended. */
  readonly batchIds: readonly number[];
  /** Nodes on which something else is wanted, or which have more room. */
  readonly nodeIds: readonly string[];
  /** Containers that came, changed or went. */
  readonly containers: number;
}

export const NOTHING: Touched = { functionIds: [], batchIds: [], nodeIds: [], containers: 0 };

export const union = (...all: readonly Touched[]): Touched => ({
  functionIds: [...new Set(all.flatMap((one) => one.functionIds))],
  batchIds: [...new Set(all.flatMap((one) => one.batchIds))],
  nodeIds: [...new Set(all.flatMap((one) => one.nodeIds))],
  containers: all.reduce((n, one) => n + one.containers, 0),
});

/** Tells everybody, and the scheduler that it should look again; call it after the commit. */
export function wakeTouched(wakes: Wakes, { functionIds, batchIds, nodeIds, containers }: Touched): void {
  for (const id of functionIds) wakes.wake("ready", id);
  for (const id of batchIds) wakes.wake("done", id);
  for (const id of nodeIds) wakes.wake("node", id);
  if (containers > 0) wakes.wake("routes");
  if (functionIds.length + batchIds.length + nodeIds.length + containers > 0) wakes.wake("tick");
}
