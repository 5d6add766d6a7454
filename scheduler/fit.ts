/** Can this container go on that node, with which GPUs, and if not, why. Pure. */
import { type GpuChoice, isAccepted } from "../sdk/gpu.ts";
import type { GpuShare } from "../sdk/protocol.ts";
import { LABEL_OCI, LABEL_VOLUMES } from "../sdk/labels.ts";
import type { Need, NeedVolume, Node, NodeGpu } from "./model.ts";

/** A whole GPU. */
export const WHOLE = 1000;

/** What is left of a node beside its GPUs. */
export type Rest = Pick<Node, "cpuMilliFree" | "memoryMiBFree" | "diskMiBFree" | "ports">;

/** Ways to satisfy a need, most wanted first; null stands for "no GPU". */
export const choices = (need: Need): readonly (GpuChoice | null)[] => need.gpu.length > 0 ? need.gpu : [null];

/** Whether the node takes containers like this at all, however much of it is free. */
export const admits = (need: Need, node: Node): boolean =>
  !node.cordoned && mayStart(need, node) && Object.entries(need.labels).every(([key, value]) =>
    node.labels[key] === value
  ) &&
  need.volumes.every((volume) => reaches(volume, node));

/** Whether what is to run it answers. */
export const mayStart = ({ labels }: Need, { engineAway }: Node): boolean =>
  engineAway === null || engineAway === "images" && labels[LABEL_OCI] === undefined;

/** The node as it would be if nobody and nothing kept work away from it. */
export const opened = (node: Node): Node => ({ ...node, cordoned: false, engineAway: null });

/**
 * Whether a volume is there, or may come to be. One that has no home yet gets it where it is used first: on a node that stays, since
 * what a pool has brought goes again, and all that is on it.
 */
export function reaches({ id, storage, home }: NeedVolume, node: Node): boolean {
  if (id === null) return false;
  if (storage === "node") return home === null ? node.provision === null : home === node.id;
  const path = node.labels[LABEL_VOLUMES];
  return path !== undefined && (home === null || home === path);
}

/** Whether there is enough beside the GPUs. */
export const holds = (need: Need, rest: Rest): boolean =>
  rest.cpuMilliFree >= need.cpuMilli && rest.memoryMiBFree >= need.memoryMiB &&
  rest.diskMiBFree >= need.diskMiB && (need.port === null || !rest.ports.includes(need.port));

/** Whether a choice may have this GPU, as far as that is free. */
export const isUsable = (choice: GpuChoice, gpu: NodeGpu): boolean => gpu.healthy && isAccepted(choice, gpu);

/** The GPU shares that a container would get on this node, or null when it does not fit. */
export function fit(need: Need, choice: GpuChoice | null, node: Node): readonly GpuShare[] | null {
  if (!admits(need, node) || !holds(need, node)) return null;
  if (choice === null) return [];
  const free = node.gpus.filter((gpu) => gpu.milliFree >= choice.milli && isUsable(choice, gpu));
  if (free.length < choice.count) return null;
  // The tightest GPU first, so that whole ones stay whole; then the lowest index.
  free.sort((a, b) => a.milliFree - b.milliFree || a.index - b.index);
  return free.slice(0, choice.count).map(({ index }) => ({ index, milli: choice.milli }));
}
