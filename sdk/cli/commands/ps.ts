/** `berth ps`, `berth containers`: containers that run, and what is kept of those that failed. */
import type { Command } from "commander";
import type { Container } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { type Cli, command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { memory, relativeTime, span, trim } from "../words.ts";

interface Options extends ListOptions {
  readonly app?: string;
  readonly function?: string;
  readonly ended?: boolean;
}

const SUMMARY = "List containers that run, and those that failed and are kept";

export const ps: Declare = (program, cli) => {
  const examples = ["berth ps --app digits", "berth ps --ended --limit 10"];
  declareList(command(program, "ps", SUMMARY, examples), cli);
};

export const containers: Declare = (program, cli) => {
  const group = program.command("containers").description(
    "Containers, and what is kept of those that failed",
  );
  declareList(command(group, "ls", `${SUMMARY}: what \`berth ps\` does`, [], { isDefault: true }), cli);
  const examples = ["berth containers rm ctr_…"];
  command(group, "rm", "Remove what is kept of containers that failed", examples)
    .argument("<containers...>", "their ids")
    .action(cli.action(async (job, _, ...ids) => {
      const wire = job.wire();
      const removed: Container[] = [];
      for (const id of ids.flat()) removed.push(await send(wire, routes.deleteContainer, { id }));
      job.output.result(removed, () => removed.map(({ id }) => `Removed what was kept of ${id}`).join("\n"));
    }));
};

function declareList(made: Command, cli: Cli): void {
  listOptions(made)
    .option("--app <name>", "of this app only")
    .option("--function <name>", "of this function or class only")
    .option("--ended", "also those that have ended")
    .action(cli.action<Options>(async (job, options) => {
      const wire = job.wire();
      const { app, function: name, ended = false } = options;
      const filter = { app, function: name, ...(ended ? {} : { present: "true" }) };
      const page = await collect(
        (page) => send(wire, routes.listContainers, { ...filter, ...page }),
        options,
      );
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now()),
        empty: ended ? "No containers" : "No containers run: everything is at zero",
      });
    }));
}

const columnsAt = (now: number): Column<Container>[] => [
  { title: "CONTAINER", text: ({ id }) => id },
  { title: "FUNCTION", text: (container) => `${container.app}/${container.function}` },
  { title: "STATE", text: (container) => stateOf(container, now) },
  { title: "NODE", text: ({ node }) => node },
  {
    title: "GPUS",
    text: ({ gpus }) =>
      gpus.map(({ index, milli }) => `#${index}${milli < 1000 ? `:${milli / 1000}` : ""}`).join(" "),
  },
  { title: "CPU", text: ({ cpu }) => trim(cpu), align: "right" },
  { title: "MEMORY", text: (container) => memory(container.memory), align: "right" },
  { title: "CREATED", text: ({ createdAt }) => relativeTime(createdAt, now) },
  { title: "REASON", text: ({ reason, exit }) => exit === undefined ? reason : exit.message || exit.kind },
];

/** What was seen, and what is wanted where that differs: `ready → drain`. Of what is kept, for how long. */
function stateOf({ observed, desired, keptUntil }: Container, now: number): string {
  if (keptUntil !== null) return `kept, ${span(Math.max(0, Date.parse(keptUntil) - now))} left`;
  return observed === "exited" || observed === "lost" || desired === "run"
    ? observed
    : `${observed} → ${desired}`;
}
