/** `berth nodes` and `berth pools`: the machines. */
import type { Node, Pool } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { memory, relativeTime, trim } from "../words.ts";

export const nodes: Declare = (program, cli) => {
  listOptions(command(program, "nodes", "List nodes: the machines and what is free on them"))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listNodes, page), options);
      showList(job, page, {
        columns: nodeColumns(job.shell.clock.now()),
        empty: "No nodes have joined. `berth up` joins the machine it runs on",
      });
    }));
};

export const pools: Declare = (program, cli) => {
  listOptions(command(program, "pools", "List pools: sets of like nodes"))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listPools, page), options);
      showList(job, page, { columns: POOL_COLUMNS, empty: "No pools" });
    }));
};

const nodeColumns = (now: number): Column<Node>[] => [
  { title: "NODE", text: ({ name }) => name },
  { title: "POOL", text: ({ pool }) => pool },
  { title: "STATE", text: ({ state }) => state },
  { title: "GPUS FREE", text: gpusFree },
  { title: "CPU FREE", text: ({ cpu, cpuFree }) => `${trim(cpuFree)}/${trim(cpu)}` },
  { title: "MEMORY FREE", text: (node) => `${memory(node.memoryFree)}/${memory(node.memory)}` },
  { title: "CONTAINERS", text: ({ containers }) => String(containers), align: "right" },
  { title: "SEEN", text: ({ seenAt }) => relativeTime(seenAt, now) },
];

/** `6/8 H100 (simulated)`, one part per model. */
function gpusFree({ gpus }: Node): string {
  const models = [...new Set(gpus.map(({ model }) => model))];
  const parts = models.map((model) => {
    const same = gpus.filter((gpu) => gpu.model === model);
    const free = same.reduce((sum, { freeMilli }) => sum + freeMilli, 0) / 1_000;
    return `${trim(free)}/${same.length} ${model}${
      same.some(({ simulated }) => simulated) ? " (simulated)" : ""
    }`;
  });
  return parts.join(", ") || "none";
}

const POOL_COLUMNS: Column<Pool>[] = [
  { title: "POOL", text: ({ name }) => name },
  { title: "PROVIDER", text: ({ provider }) => provider },
  { title: "NODES", text: ({ nodes }) => String(nodes), align: "right" },
  { title: "GPUS FREE", text: ({ gpus, gpusFree }) => `${trim(gpusFree)}/${gpus}` },
];
