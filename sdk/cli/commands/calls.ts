/** `berth calls`: the calls, newest first; `berth cancel`: end some. */
import { type Call, CallState } from "../../protocol/calls.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { Option } from "commander";
import { command, type Declare, type Job } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { waitText } from "../wait_text.ts";
import { relativeTime, span } from "../words.ts";
import { paintState } from "../call_view.ts";

interface Options extends ListOptions {
  readonly app?: string;
  readonly function?: string;
  readonly state?: CallState;
  readonly tag?: string;
}

export const calls: Declare = (program, cli) => {
  const examples = [
    "berth calls --state failed",
    "berth calls --app digits --function Digits.classify --tag run:7",
  ];
  listOptions(command(program, "calls", "List calls, newest first", examples))
    .option("--app <name>", "of this app only")
    .option("--function <name>", "of this function or Class.method only")
    .addOption(new Option("--state <state>", "in this state only").choices(CallState.options))
    .option("--tag <tag>", "with this tag only: KEY or KEY:VALUE")
    .action(cli.action<Options>(async (job, options) => {
      const wire = job.wire();
      const { app, function: name, state, tag } = options;
      const page = await collect(
        (page) => send(wire, routes.listCalls, { app, function: name, state, tag, ...page }),
        options,
      );
      showList(job, page, {
        columns: columnsFor(job),
        empty: "No calls. Make one: berth call APP/FUNCTION --input JSON",
      });
    }));
};

export const cancel: Declare = (program, cli) => {
  command(program, "cancel", "Cancel a call: notice, grace, kill", ["berth cancel call_000000001z_0"])
    .argument("<call>", "id of the call")
    .action(cli.action(async (job, _options, id = "") => {
      const call = await send(job.wire(), routes.cancelCall, { id });
      job.output.result(call, () => `${call.id} ${paintState(job.output, call.state)}`);
    }));
};

const columnsFor = ({ shell, output }: Job): Column<Call>[] => {
  const now = shell.clock.now();
  return [
    { title: "CALL", text: ({ id }) => id },
    { title: "FUNCTION", text: (call) => `${call.app}/${call.function}` },
    { title: "STATE", text: ({ state }) => paintState(output, state) },
    { title: "ATTEMPT", text: ({ attempt }) => String(attempt), align: "right" },
    { title: "CREATED", text: ({ createdAt }) => relativeTime(createdAt, now) },
    { title: "RAN", text: (call) => ran(call, now), align: "right" },
    { title: "", text: (call) => remark(call, now) },
  ];
};

function ran({ startedAt, endedAt }: Call, now: number): string {
  return startedAt === null
    ? "–"
    : span((endedAt === null ? now : Date.parse(endedAt)) - Date.parse(startedAt));
}

function remark({ waiting, failure }: Call, now: number): string {
  if (waiting !== undefined) return waitText(waiting, now);
  return failure === undefined ? "" : `${failure.kind}: ${failure.message.split("\n")[0]}`;
}
