/** Can this container go on that node, with which GPUs, and if not, why. Pure. */
import { type GpuChoice } from "../sdk/gpu.ts";
import type { GpuShare } from "../sdk/protocol.ts";
import type { Need, Node, NodeGpu } from "./model.ts";

/** A whole GPU. */
const WHOLE = 1000;

/** Ways to satisfy a need, most wanted first; null stands for "no GPU". */
export const choices = (need: Need): readonly (GpuChoice | null)[] => need.gpu.length > 0 ? need.gpu : [null];

/** The GPU shares that a container would get on this node, or null when it does not fit. */
export function fit(need: Need, choice: GpuChoice | null, node: Node): readonly GpuShare[] | null {
  if (node.cpuMilliFree < need.cpuMilli || node.memoryMiBFree < need.memoryMiB) return null;
  if (choice === null) return [];
  const free = node.gpus.filter((gpu) => isModel(gpu, choice) && gpu.milliFree >= choice.milli);
  if (free.length < choice.count) return null;
  // The tightest GPU first, so that whole ones stay whole; then the lowest index.
  free.sort((a, b) => a.milliFree - b.milliFree || a.index - b.index);
  return free.slice(0, choice.count).map(({ index }) => ({ index, milli: choice.milli }));
}

/** Why no node has room, in words for a person: `needs 2 × H100; largest free node has 1`. */
export function whyNot(need: Need, nodes: readonly Node[]): string {
  if (nodes.length === 0) return "no node is up";
  return choices(need).map((choice) => shortage(need, choice, nodes)).join("; or ");
}

function shortage(need: Need, choice: GpuChoice | null, nodes: readonly Node[]): string {
  if (choice !== null) {
    const lacking = gpuShortage(choice, nodes);
    if (lacking !== null) return lacking;
  }
  const fitting = nodes.filter((node) => choice === null || countFree(choice, node) >= choice.count);
  const cpu = Math.max(...fitting.map((node) => node.cpuMilliFree));
  if (cpu < need.cpuMilli) return `needs ${cores(need.cpuMilli)} CPU; largest free node has ${cores(cpu)}`;
  const memory = Math.max(...fitting.map((node) => node.memoryMiBFree));
  if (memory < need.memoryMiB) return `needs ${need.memoryMiB} MiB memory; largest free node has ${memory}`;
  return `needs ${all(need, choice)} together; no free node has that`;
}

function gpuShortage(choice: GpuChoice, nodes: readonly Node[]): string | null {
  const wanted = `needs ${amount(choice)}`;
  const installed = Math.max(...nodes.map((node) => node.gpus.filter((gpu) => isModel(gpu, choice)).length));
  if (installed === 0) return `${wanted}; no node has ${choice.model === "any" ? "a GPU" : "one"}`;
  if (installed < choice.count) return `${wanted}; largest node has ${installed}`;
  if (nodes.some((node) => countFree(choice, node) >= choice.count)) return null;
  if (choice.milli < WHOLE) return `${wanted}; most free of one GPU is ${mostFree(choice, nodes) / WHOLE}`;
  return `${wanted}; largest free node has ${Math.max(...nodes.map((node) => countFree(choice, node)))}`;
}

const countFree = (choice: GpuChoice, node: Node): number =>
  node.gpus.filter((gpu) => isModel(gpu, choice) && gpu.milliFree >= choice.milli).length;

const mostFree = (choice: GpuChoice, nodes: readonly Node[]): number =>
  Math.max(
    ...nodes.flatMap((node) => node.gpus).filter((gpu) => isModel(gpu, choice)).map((gpu) => gpu.milliFree),
  );

const isModel = (gpu: NodeGpu, { model }: GpuChoice): boolean =>
  model.toLowerCase() === "any" || gpu.model.toLowerCase() === model.toLowerCase();

const cores = (milli: number): string => String(milli / 1000);

const amount = ({ model, count, milli }: GpuChoice): string =>
  `${milli < WHOLE ? milli / WHOLE : count} × ${model === "any" ? "any GPU" : model}`;

const all = (need: Need, choice: GpuChoice | null): string =>
  [
    ...(choice === null ? [] : [amount(choice)]),
    `${cores(need.cpuMilli)} CPU`,
    `${need.memoryMiB} MiB memory`,
  ].join(", ");
