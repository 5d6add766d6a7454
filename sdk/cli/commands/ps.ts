/** `berth ps`: containers. */
import type { Container } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { memory, relativeTime, trim } from "../words.ts";

interface Options extends ListOptions {
  readonly app?: string;
  readonly function?: string;
  readonly ended?: boolean;
}

export const ps: Declare = (program, cli) => {
  const examples = ["berth ps --app digits", "berth ps --ended --limit 10"];
  listOptions(command(program, "ps", "List containers that run", examples))
    .option("--app <name>", "of this app only")
    .option("--function <name>", "of this function or class only")
    .option("--ended", "also those that have ended")
    .action(cli.action<Options>(async (job, options) => {
      const wire = job.wire();
      const { app, function: name, ended = false } = options;
      const filter = { app, function: name, ...(ended ? {} : { live: "true" }) };
      const page = await collect(
        (page) => send(wire, routes.listContainers, { ...filter, ...page }),
        options,
      );
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now()),
        empty: ended ? "No containers" : "No containers run: everything is at zero",
      });
    }));
};

const columnsAt = (now: number): Column<Container>[] => [
  { title: "CONTAINER", text: ({ id }) => id },
  { title: "FUNCTION", text: (container) => `${container.app}/${container.function}` },
  { title: "STATE", text: stateOf },
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

/** What was seen, and what is wanted where that differs: `ready → drain`. */
function stateOf({ observed, desired }: Container): string {
  return observed === "exited" || observed === "lost" || desired === "run"
    ? observed
    : `${observed} → ${desired}`;
}
