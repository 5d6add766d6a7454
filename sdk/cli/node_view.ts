/** One node, for people. Pure. */
import type { Node } from "../protocol/nodes.ts";
import { table } from "./table.ts";
import { memory, relativeTime, trim } from "./words.ts";

/** Rows of names and texts, aligned. */
export const rows = (pairs: readonly (readonly [name: string, text: string])[]): string => {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, text]) => `${name.padEnd(width)}  ${text}`).join("\n");
};

export function nodeText(node: Node, now: number): string {
  const labels = Object.entries(node.labels).map(([name, value]) => `${name}=${value}`).join(", ");
  const head = rows([
    ["node", `${node.name} (${node.id})`],
    ["pool", node.pool],
    ["state", node.cordoned ? `${node.state}, cordoned: nothing new is placed here` : node.state],
    ...(node.engineAway === null ? [] : [["engine", `away: ${node.engineAway}`] as const]),
    ["cpu", `${trim(node.cpuFree)} of ${trim(node.cpu)} free`],
    ["memory", `${memory(node.memoryFree)} of ${memory(node.memory)} free`],
    ["disk", `${memory(node.diskFree)} of ${memory(node.disk)} free`],
    ["containers", String(node.containers)],
    ...(labels === "" ? [] : [["labels", labels] as const]),
    ["joined", relativeTime(node.joinedAt, now)],
    ["seen", relativeTime(node.seenAt, now)],
  ]);
  return node.gpus.length === 0 ? head : `${head}\n\n${gpuTable(node)}`;
}

const gpuTable = ({ gpus }: Node): string =>
  table(gpus, [
    { title: "GPU", text: ({ index }) => String(index), align: "right" },
    { title: "MODEL", text: ({ model, simulated }) => simulated ? `${model} (simulated)` : model },
    { title: "MEMORY", text: ({ vramMiB }) => memory(vramMiB), align: "right" },
    { title: "FREE", text: ({ freeMilli }) => trim(freeMilli / 1_000), align: "right" },
    { title: "HEALTH", text: ({ healthy, ailment }) => healthy ? "well" : `out of service: ${ailment}` },
  ], { columns: Infinity, strong: (text) => text });
