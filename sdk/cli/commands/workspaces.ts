/** `berth workspaces`: tenants, for operators. */
import type { Command } from "commander";
import { routes } from "../../protocol/routes.ts";
import type { Workspace } from "../../protocol/workspaces.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import { rows } from "../node_view.ts";
import type { Column } from "../table.ts";
import { relativeTime, trim } from "../words.ts";
import { type WorkspaceFlags, workspaceOptions, workspaceSettings } from "../workspace_options.ts";

export const workspaces: Declare = (program, cli) => {
  const group = program.command("workspaces").description(
    "Tenants, what each is promised and uses; needs an admin key of workspace default",
  );
  declareList(group, cli);
  declareShow(group, cli);
  declareCreate(group, cli);
  declareSet(group, cli);
};

const WORKSPACE = ["<workspace>", "name of the workspace"] as const;

function declareList(group: Command, cli: Cli): void {
  const summary = "List workspaces; what `berth workspaces` alone does";
  listOptions(command(group, "list", summary, [], { isDefault: true }))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listWorkspaces, page), options);
      showList(job, page, { columns: COLUMNS, empty: "No workspaces" });
    }));
}

function declareShow(group: Command, cli: Cli): void {
  command(group, "show", "Show what a workspace may have and has").argument(...WORKSPACE)
    .action(cli.action(async (job, _options, workspace = "") => {
      const found = await send(job.wire(), routes.getWorkspace, { workspace });
      job.output.result(found, () => workspaceText(found, job.shell.clock.now()));
    }));
}

function declareCreate(group: Command, cli: Cli): void {
  const examples = [
    "berth workspaces create research --weight 300 --gpus 16",
    "berth workspaces create interns --max-gpus 2 --max-queued 1000",
  ];
  workspaceOptions(command(group, "create", "Make a workspace", examples).argument(...WORKSPACE))
    .action(cli.action<WorkspaceFlags>(async (job, flags, name = "") => {
      const made = await send(job.wire(), routes.createWorkspace, { name, ...workspaceSettings(flags) });
      job.output.result(made, () => workspaceText(made, job.shell.clock.now()));
      job.output.note(
        job.output.tint("dim", `Make a key of it: berth keys create --workspace ${name} --scope admin`),
      );
    }));
}

function declareSet(group: Command, cli: Cli): void {
  const examples = [
    "berth workspaces set research --weight 200",
    "berth workspaces set interns --max-gpus none",
  ];
  workspaceOptions(
    command(group, "set", "Change settings of a workspace; the others stay", examples).argument(...WORKSPACE),
  ).action(cli.action<WorkspaceFlags>(async (job, flags, workspace = "") => {
    const settings = workspaceSettings(flags);
    const changed = await send(job.wire(), routes.updateWorkspace, { workspace, ...settings });
    job.output.result(changed, () => workspaceText(changed, job.shell.clock.now()));
  }));
}

const COLUMNS: Column<Workspace>[] = [
  { title: "WORKSPACE", text: ({ name }) => name },
  { title: "WEIGHT", text: ({ weight }) => String(weight), align: "right" },
  { title: "GPUS", text: ({ usage, gpus, maxGpus }) => bounded(usage.gpus, gpus, maxGpus) },
  { title: "CPU", text: ({ usage, cpu, maxCpu }) => bounded(usage.cpu, cpu, maxCpu) },
  { title: "QUEUED", text: ({ usage, maxQueued }) => bounded(usage.queued, null, maxQueued) },
  { title: "RUNNING", text: ({ usage }) => String(usage.running), align: "right" },
  { title: "GPU-SECONDS", text: ({ usage }) => trim(Math.round(usage.gpuSeconds)), align: "right" },
];

/** `3 of 4–8`: what it has, of what it is promised and what it may have at most. */
function bounded(has: number, promised: number | null, most: number | null): string {
  if (promised === null && most === null) return trim(has);
  return `${trim(has)} of ${promised === null ? "" : trim(promised)}${most === null ? "" : `–${trim(most)}`}`;
}

function workspaceText(workspace: Workspace, now: number): string {
  const { usage } = workspace;
  return rows([
    ["workspace", workspace.name],
    ["weight", String(workspace.weight)],
    ["gpus", `${trim(usage.gpus)} in use, ${promise(workspace.gpus, workspace.maxGpus)}`],
    ["cpu", `${trim(usage.cpu)} in use, ${promise(workspace.cpu, workspace.maxCpu)}`],
    ["calls", `${usage.running} given to ${usage.containers} containers, ${queue(workspace)}`],
    ["used", `${trim(Math.round(usage.gpuSeconds))} GPU-seconds of late; they count half after an hour`],
    ["created", relativeTime(workspace.createdAt, now)],
  ]);
}

const promise = (promised: number | null, most: number | null): string =>
  `${promised === null ? "none promised" : `${trim(promised)} promised`}, ${
    most === null ? "no limit" : `at most ${trim(most)}`
  }`;

const queue = ({ usage, maxQueued }: Workspace): string =>
  `${usage.queued} waiting${maxQueued === null ? "" : ` of ${maxQueued} that may`}`;
