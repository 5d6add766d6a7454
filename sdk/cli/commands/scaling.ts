/** `berth scaling`: what the autoscaler decided about a function, and why. */
import { routes } from "../../protocol/routes.ts";
import type { Scaling } from "../../protocol/scaling.ts";
import { send } from "../../transport.ts";
import { command, type Declare } from "../cli.ts";
import { EXIT, usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { relativeTime } from "../words.ts";

interface Options extends ListOptions {
  readonly replay?: boolean;
}

export const scaling: Declare = (program, cli) => {
  const examples = ["berth scaling digits/Digits", "berth scaling digits/Digits --replay --json"];
  listOptions(command(program, "scaling", "Show how a function was scaled of late, and why", examples))
    .argument("<app/function>", "the function or class: APP/FUNCTION")
    .option("--replay", "decide again from the same inputs, and fail if anything else comes of it")
    .action(cli.action<Options>(async (job, options, name = "") => {
      const asked = { ...functionOf(name), ...(options.replay ? { replay: "true" as const } : {}) };
      const wire = job.wire();
      const page = await collect(
        (page) => send(wire, routes.listScalings, { ...asked, ...page }),
        options,
      );
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now(), options.replay === true),
        empty: "Nothing was decided of late",
      });
      return page.items.every(isSame) ? EXIT.ok : EXIT.platform;
    }));
};

function functionOf(text: string): { app: string; function: string } {
  const [app, name, ...more] = text.split("/");
  if (app && name && more.length === 0) return { app, function: name };
  throw usageError(
    `Cannot show the scaling of "${text}": expected APP/FUNCTION`,
    "List what is deployed: berth apps",
  );
}

const isSame = ({ wanted, reason, replayed }: Scaling): boolean =>
  replayed === undefined || replayed.wanted === wanted && replayed.reason === reason;

const columnsAt = (now: number, replay: boolean): Column<Scaling>[] => [
  { title: "WHEN", text: ({ at }) => relativeTime(at, now) },
  { title: "WANTED", text: ({ wanted }) => String(wanted), align: "right" },
  { title: "REASON", text: ({ reason }) => reason },
  ...(replay
    ? [{
      title: "REPLAYED",
      text: (one: Scaling) => isSame(one) ? "same" : `${one.replayed!.wanted}: ${one.replayed!.reason}`,
    }]
    : []),
];
