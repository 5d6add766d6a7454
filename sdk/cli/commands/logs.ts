/** `berth logs`: what a call printed, or a server. */
import { liveItems } from "../../live_items.ts";
import type { LogItem } from "../../protocol/calls.ts";
import { LIMITS } from "../../protocol/limits.ts";
import type { ContainerLog } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { logLine } from "../call_view.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { containerId } from "../container_ref.ts";
import { EXIT } from "../failure.ts";
import { collect, type ListOptions, listOptions } from "../list.ts";

interface Options extends ListOptions {
  readonly follow?: boolean;
}

export const logs: Declare = (program, cli) => {
  const examples = [
    "berth logs call_000000001z_0",
    "berth logs -f call_000000001z_0 --json",
    "berth logs -f chat/vllm",
  ];
  const summary = "Show what a call printed, or a server; with --follow --json one item a line";
  listOptions(command(program, "logs", summary, examples), LIMITS.pageItems)
    .argument("<of>", "a call, a container, or APP/FUNCTION for its newest container")
    .option("-f, --follow", "go on until it ends")
    .action(
      cli.action<Options>(async (job, options, of = "") => {
        const source = await sourceOf(job, of);
        return options.follow ? await follow(job, source) : await show(job, source, options);
      }),
    );
};

/** What has log lines: a call, or a container without calls. */
interface Source {
  readonly kind: "calls" | "containers";
  readonly id: string;
}

async function sourceOf(job: Job, of: string): Promise<Source> {
  if (of.startsWith("call_")) return { kind: "calls", id: of };
  return { kind: "containers", id: await containerId(job.wire(), of) };
}

const print = ({ output }: Job, item: LogItem | ContainerLog): void => output.print(logLine(output, item));

async function show(job: Job, { kind, id }: Source, options: Options): Promise<void> {
  const wire = job.wire();
  const page = kind === "calls"
    ? await collect((page) => send(wire, routes.listLogs, { id, ...page }), options)
    : await collect<ContainerLog>((page) => send(wire, routes.listContainerLogs, { id, ...page }), options);
  if (job.output.json) return job.output.print(JSON.stringify(page));
  for (const item of page.items) print(job, item);
  if (page.nextCursor !== undefined) {
    job.output.note(job.output.tint("dim", `More: --all, or --cursor ${page.nextCursor}`));
  }
}

async function follow(job: Job, { kind, id }: Source): Promise<number | void> {
  const signal = job.shell.interrupted();
  // Says at once when there is no such thing.
  await (kind === "calls"
    ? send(job.wire(), routes.getCall, { id })
    : send(job.wire(), routes.getContainer, { id }));
  try {
    const items = liveItems<LogItem | ContainerLog>(
      job.patientWire(),
      `/v1/${kind}/${encodeURIComponent(id)}/logs`,
      { signal },
    );
    for await (const item of items) {
      if (job.output.json) job.output.print(JSON.stringify(item));
      else print(job, item);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    return EXIT.interrupted;
  }
}
