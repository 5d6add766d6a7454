/** `berth logs`: what a call printed. */
import { CallHandle } from "../../call_handle.ts";
import type { LogItem } from "../../protocol/calls.ts";
import { LIMITS } from "../../protocol/limits.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { logLine } from "../call_view.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { EXIT } from "../failure.ts";
import { collect, type ListOptions, listOptions } from "../list.ts";

interface Options extends ListOptions {
  readonly follow?: boolean;
}

export const logs: Declare = (program, cli) => {
  const examples = ["berth logs call_000000001z_0", "berth logs -f call_000000001z_0 --json"];
  const summary = "Show what a call printed; with --follow --json one item a line";
  listOptions(command(program, "logs", summary, examples), LIMITS.pageItems)
    .argument("<call>", "id of the call")
    .option("-f, --follow", "go on until the call ends")
    .action(
      cli.action<Options>((job, options, id = "") =>
        options.follow ? follow(job, id) : show(job, id, options)
      ),
    );
};

async function show(job: Job, id: string, options: Options): Promise<void> {
  const wire = job.wire();
  const page = await collect((page) => send(wire, routes.listLogs, { id, ...page }), options);
  if (job.output.json) return job.output.print(JSON.stringify(page));
  for (const item of page.items) job.output.print(logLine(job.output, item));
  if (page.nextCursor !== undefined) {
    job.output.note(job.output.tint("dim", `More: --all, or --cursor ${page.nextCursor}`));
  }
}

async function follow(job: Job, id: string): Promise<number | void> {
  const signal = job.shell.interrupted();
  const print = (item: LogItem) =>
    job.output.print(job.output.json ? JSON.stringify(item) : logLine(job.output, item));
  await send(job.wire(), routes.getCall, { id }); // says at once when there is no such call
  try {
    for await (const item of new CallHandle(job.patientWire(), id).logs({ signal })) print(item);
  } catch (error) {
    if (!signal.aborted) throw error;
    return EXIT.interrupted;
  }
}
