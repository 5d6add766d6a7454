/** One pool, for people. Pure. */
import { formatGpuList } from "../gpu_list.ts";
import type { Pool, PoolShape, Provision } from "../protocol/pools.ts";
import { rows } from "./node_view.ts";
import { table } from "./table.ts";
import { memory, relativeTime, trim } from "./words.ts";

/** The pool, and under it nodes that it was asked for. */
export function poolText(pool: Pool, provisions: readonly Provision[], now: number): string {
  const head = rows([
    ["pool", `${pool.name} (${pool.provider})`],
    ["state", pool.state],
    ["nodes", `${pool.nodes}${pool.starting > 0 ? `, ${pool.starting} on their way` : ""}`],
    ...(pool.max > 0 || pool.shape !== null ? growth(pool) : []),
    ["gpus", `${trim(pool.gpusFree)} of ${pool.gpus} free`],
    ...(pool.failure === null
      ? []
      : [["failure", `${pool.failure.message}, ${relativeTime(pool.failure.at, now)}`] as const]),
  ]);
  return provisions.length === 0 ? head : `${head}\n\n${provisionTable(provisions, now)}`;
}

const growth = (pool: Pool): [string, string][] => [
  ["grows", `from ${pool.min} to ${pool.max} nodes, kept by ${pool.keeper ?? "nobody now"}`],
  ["each has", pool.shape === null ? "unknown" : shapeText(pool.shape)],
  ["costs", `${trim(pool.costPerHour)} an hour`],
  ["idle for", `${pool.idleTimeout}, then given back`],
  ["joins in", `${pool.provisionTimeout}, or has failed`],
];

function shapeText({ cpu, memory: mib, disk, gpus, labels }: PoolShape): string {
  const marks = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return [
    ...(gpus.length === 0 ? [] : [formatGpuList(gpus)]),
    `${trim(cpu)} cores`,
    memory(mib),
    ...(disk === 0 ? [] : [`${memory(disk)} of disk`]),
    ...marks,
  ].join(", ");
}

const provisionTable = (provisions: readonly Provision[], now: number): string =>
  table(provisions, [
    { title: "ASKED", text: ({ requestedAt }) => relativeTime(requestedAt, now) },
    { title: "STATE", text: ({ state }) => state },
    { title: "NODE", text: ({ node }) => node ?? "–" },
    { title: "MACHINE", text: ({ external }) => external ?? "–" },
    { title: "WHY", text: ({ reason, error }) => error ?? reason },
  ], { columns: Infinity, strong: (text) => text });
