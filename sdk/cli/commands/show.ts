/** `berth show`: one call, why it waits or how it ended, and its attempts. */
import type { Attempt, Call } from "../../protocol/calls.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { failureText, paintState } from "../call_view.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { collect } from "../list.ts";
import { rows } from "../node_view.ts";
import { type Column, table } from "../table.ts";
import { waitText } from "../wait_text.ts";
import { relativeTime, span, trim } from "../words.ts";

export const show: Declare = (program, cli) => {
  command(program, "show", "Show a call: why it waits, or how it went", ["berth show call_000000001z_0"])
    .argument("<call>", "id of the call")
    .action(cli.action(async (job, _options, id = "") => {
      const wire = job.wire();
      const call = await send(wire, routes.getCall, { id });
      const list = (page: { limit: number; cursor?: string }) =>
        send(wire, routes.listAttempts, { id, ...page });
      const { items } = await collect(list, { limit: 1, all: true });
      job.output.result({ ...call, attempts: items }, () => callText(job, call, items));
    }));
};

function callText(job: Job, call: Call, attempts: readonly Attempt[]): string {
  const { output } = job;
  const now = job.shell.clock.now();
  const tags = Object.entries(call.tags).map(([name, value]) => `${name}=${value}`).join(", ");
  const why = failureText(output, call);
  const head = rows([
    ["call", call.id],
    ["function", `${call.app}/${call.function}`],
    ["state", paintState(output, call.state)],
    ...(call.waiting === undefined ? [] : [["reason", waitText(call.waiting, now)] as const]),
    ["priority", String(call.priority)],
    ...(call.concurrencyKey === undefined ? [] : [["key", call.concurrencyKey] as const]),
    ...(tags === "" ? [] : [["tags", tags] as const]),
    ["created", relativeTime(call.createdAt, now)],
    ["used", `${trim(call.usage.gpuSeconds)} GPU-seconds, ${trim(call.usage.cpuSeconds)} CPU-seconds`],
  ]);
  return [
    head,
    ...(why === undefined ? [] : [why]),
    ...(attempts.length === 0 ? [] : [attemptTable(job, attempts)]),
  ]
    .join("\n\n");
}

function attemptTable({ output, shell }: Job, attempts: readonly Attempt[]): string {
  const now = shell.clock.now();
  const columns: Column<Attempt>[] = [
    { title: "ATTEMPT", text: ({ attempt }) => String(attempt), align: "right" },
    { title: "STATE", text: ({ state, failure }) => failure?.kind === "preempted" ? "preempted" : state },
    { title: "CONTAINER", text: ({ container }) => container },
    { title: "NODE", text: ({ node }) => node },
    { title: "RAN", text: (attempt) => ran(attempt, now), align: "right" },
    { title: "", text: ({ failure }) => failure?.message.split("\n")[0] ?? "" },
  ];
  return table(attempts, columns, { columns: output.columns, strong: (text) => output.paint("bold", text) });
}

function ran({ startedAt, endedAt }: Attempt, now: number): string {
  if (startedAt === null) return "–";
  return span((endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt));
}
