/** `berth schedules`: list, pause, resume, run. */
import type { Schedule } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { send } from "../../transport.ts";
import { command, type Declare } from "../cli.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { relativeTime } from "../words.ts";

export const schedules: Declare = (program, cli) => {
  const group = program.command("schedules").description("List, pause, resume and run schedules");
  const examples = ["berth schedules --app digits"];
  listOptions(
    command(group, "list", "List schedules; what `berth schedules` alone does", examples, {
      isDefault: true,
    }),
  )
    .option("--app <name>", "of this app only")
    .action(cli.action<ListOptions & { app?: string }>(async (job, options) => {
      const wire = job.wire();
      const page = await collect(
        (page) => send(wire, routes.listSchedules, { app: options.app, ...page }),
        options,
      );
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now()),
        empty: 'No schedules. Declare one: app.function({ schedule: Cron("0 3 * * *") }, …)',
      });
    }));

  const one = (name: "pause" | "resume", summary: string) =>
    command(group, name, summary).argument("<schedule>", "id of the schedule").action(
      cli.action(async (job, _options, id = "") => {
        const schedule = await send(job.wire(), routes[`${name}Schedule`], { id });
        job.output.result(schedule, () => `${schedule.id} ${schedule.paused ? "paused" : "active"}`);
      }),
    );
  one("pause", "Stop firing a schedule");
  one("resume", "Fire a schedule again; missed ticks are not made up");

  command(group, "run", "Fire a schedule now", ["berth schedules run sched_0abc"])
    .argument("<schedule>", "id of the schedule")
    .action(cli.action(async (job, _options, id = "") => {
      const created = await send(job.wire(), routes.runSchedule, { id });
      const [call] = created.calls;
      job.output.result(created, () => call?.id ?? "");
      job.output.note(job.output.tint("dim", `Follow it: berth logs -f ${call?.id}`));
    }));
};

const columnsAt = (now: number): Column<Schedule>[] => [
  { title: "SCHEDULE", text: ({ id }) => id },
  { title: "FUNCTION", text: (schedule) => `${schedule.app}/${schedule.function}` },
  { title: "CRON", text: ({ cron }) => cron },
  { title: "TIME ZONE", text: ({ timeZone }) => timeZone },
  { title: "NEXT", text: ({ paused, nextAt }) => paused ? "paused" : relativeTime(nextAt, now) },
  { title: "LAST", text: ({ lastAt }) => relativeTime(lastAt, now) },
  { title: "LAST CALL", text: ({ lastCall }) => lastCall ?? "–" },
];
