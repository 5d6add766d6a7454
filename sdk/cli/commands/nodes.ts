/** `berth nodes`: the machines, and taking them out of use. */
import type { Command } from "commander";
import type { Node } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare, type Job } from "../cli.ts";
import { EXIT, usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import { nodeText } from "../node_view.ts";
import type { Column } from "../table.ts";
import { count, memory, relativeTime, trim } from "../words.ts";

export const nodes: Declare = (program, cli) => {
  const group = program.command("nodes").description("List nodes, and take them and their GPUs out of use");
  declareList(group, cli);
  declareShow(group, cli);
  declareMoves(group, cli);
  declareDrain(group, cli);
  declareGpu(group, cli);
};

const NODE = ["<node>", "name or id"] as const;

function declareList(group: Command, cli: Cli): void {
  const summary = "List nodes and what is free on them; what `berth nodes` alone does";
  listOptions(command(group, "list", summary, ["berth nodes --pool gpu"], { isDefault: true }))
    .option("--pool <name>", "of this pool only")
    .option("--left", "also those that have left for good")
    .action(cli.action<ListOptions & { pool?: string; left?: boolean }>(async (job, options) => {
      const filter = { pool: options.pool, ...(options.left ? { left: "true" } : {}) };
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listNodes, { ...filter, ...page }), options);
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now()),
        empty: "No nodes have joined. `berth up` joins the machine it runs on, `berth join` another",
      });
    }));
}

function declareShow(group: Command, cli: Cli): void {
  command(group, "show", "Show one node with its GPUs").argument(...NODE).action(
    cli.action(async (job, _options, node = "") => {
      const found = await send(job.wire(), routes.getNode, { node });
      job.output.result(found, () => nodeText(found, job.shell.clock.now()));
    }),
  );
}

function declareMoves(group: Command, cli: Cli): void {
  const one = (
    name: string,
    route: "cordonNode" | "uncordonNode" | "resumeNode" | "deleteNode",
    summary: string,
  ) =>
    command(group, name, summary).argument(...NODE).action(cli.action(async (job, _options, node = "") => {
      const changed = await send(job.wire(), routes[route], { node });
      job.output.result(changed, () => `${changed.name} ${stateOf(changed)}`);
    }));
  one("cordon", "cordonNode", "Place nothing new on a node; what runs there goes on");
  one("uncordon", "uncordonNode", "Use a cordoned node again");
  one("resume", "resumeNode", "Use a drained node again");
  one("delete", "deleteNode", "Forget a node that is lost");
}

/** Between two looks at a node that drains. */
const LOOK_MS = 500;

function declareDrain(group: Command, cli: Cli): void {
  const examples = ["berth nodes drain gpu-box-1", "berth nodes drain gpu-box-1 --no-wait"];
  command(group, "drain", "End what runs on a node, and wait until it is empty", examples)
    .argument(...NODE)
    .option("--no-wait", "do not wait")
    .action(cli.action<{ wait: boolean }>(async (job, { wait }, node = "") => {
      const drained = await send(job.wire(), routes.drainNode, { node });
      const end = wait ? await untilEmpty(job, drained) : drained;
      if (end === null) return EXIT.interrupted;
      job.output.result(end, () => `${end.name} ${stateOf(end)}, ${count(end.containers, "container")}`);
    }));
}

/** Null when the person would not wait. */
async function untilEmpty(job: Job, first: Node): Promise<Node | null> {
  const { shell, output } = job;
  const signal = shell.interrupted();
  const wire = job.patientWire();
  let node = first;
  while (node.containers > 0 && node.state !== "left" && !signal.aborted) {
    output.status(
      `${node.name} drains: ${count(node.containers, "container")} left; Ctrl-C stops waiting, not draining`,
    );
    await shell.clock.sleep(LOOK_MS, signal);
    node = await send(wire, routes.getNode, { node: node.id });
  }
  output.clearStatus();
  return signal.aborted ? null : node;
}

function declareGpu(group: Command, cli: Cli): void {
  const examples = [
    'berth nodes gpu gpu-box-1 3 --out --reason "noisy fan"',
    "berth nodes gpu gpu-box-1 3 --in",
  ];
  command(group, "gpu", "Take a GPU out of service, or put it back", examples)
    .argument(...NODE)
    .argument("<index>", "of the GPU")
    .option("--out", "take it out: what runs there moves")
    .option("--in", "put it back")
    .option("--reason <text>", "what to tell others")
    .action(
      cli.action<{ out?: boolean; in?: boolean; reason?: string }>(
        async (job, options, node = "", index = "") => {
          if (options.out === options.in) {
            throw usageError("Cannot tell what to do: say either --out or --in");
          }
          const { reason } = options;
          const changed = await send(job.wire(), routes.setGpu, {
            node,
            index,
            out: options.out === true,
            ...(reason === undefined ? {} : { reason }),
          });
          job.output.result(changed, () => nodeText(changed, job.shell.clock.now()));
        },
      ),
    );
}

const columnsAt = (now: number): Column<Node>[] => [
  { title: "NODE", text: ({ name }) => name },
  { title: "POOL", text: ({ pool }) => pool },
  { title: "STATE", text: stateOf },
  { title: "GPUS FREE", text: gpusFree },
  { title: "CPU FREE", text: ({ cpu, cpuFree }) => `${trim(cpuFree)}/${trim(cpu)}` },
  { title: "MEMORY FREE", text: (node) => `${memory(node.memoryFree)}/${memory(node.memory)}` },
  { title: "CONTAINERS", text: ({ containers }) => String(containers), align: "right" },
  { title: "SEEN", text: ({ seenAt }) => relativeTime(seenAt, now) },
];

const stateOf = ({ state, cordoned, engineAway }: Node): string =>
  [state, ...cordoned ? ["cordoned"] : [], ...engineAway === null ? [] : ["engine away"]].join(", ");

/** `6/8 H100 (simulated)`, one part per model. */
function gpusFree({ gpus }: Node): string {
  const models = [...new Set(gpus.map(({ model }) => model))];
  const parts = models.map((model) => {
    const same = gpus.filter((gpu) => gpu.model === model);
    const free = same.reduce((sum, { freeMilli }) => sum + freeMilli, 0) / 1_000;
    const out = same.filter(({ healthy }) => !healthy).length;
    const notes = [
      ...(same.some(({ simulated }) => simulated) ? ["simulated"] : []),
      ...(out > 0 ? [`${out} out of service`] : []),
    ];
    return `${trim(free)}/${same.length} ${model}${notes.length === 0 ? "" : ` (${notes.join(", ")})`}`;
  });
  return parts.join(", ") || "none";
}
