/** `berth apps`: what is deployed; `berth delete`: take it away; `berth open`: look at it. */
import type { App } from "../../protocol/apps.ts";
import { routes } from "../../protocol/routes.ts";
import { send, type Wire } from "../../transport.ts";
import { command, type Declare } from "../cli.ts";
import { usageError } from "../failure.ts";
import { collect, type ListOptions, listOptions, showList } from "../list.ts";
import type { Column } from "../table.ts";
import { count, relativeTime } from "../words.ts";

export const apps: Declare = (program, cli) => {
  listOptions(command(program, "apps", "List apps"))
    .action(cli.action<ListOptions>(async (job, options) => {
      const wire = job.wire();
      const page = await collect((page) => send(wire, routes.listApps, page), options);
      showList(job, page, {
        columns: columnsAt(job.shell.clock.now()),
        empty: "No apps. Deploy one: berth deploy FILE",
      });
    }));
};

export const remove: Declare = (program, cli) => {
  command(program, "delete", "Delete an app: its calls are cancelled, its containers stopped", [
    "berth delete digits",
  ])
    .argument("<app>", "name of the app")
    .action(cli.action(async (job, _options, app = "") => {
      const deleted = await send(job.wire(), routes.deleteApp, { app });
      job.output.result(deleted, () => `${app} deleted, ${count(deleted.cancelledCalls, "call")} cancelled`);
    }));
};

export const open: Declare = (program, cli) => {
  const examples = ["berth open", "berth open digits", "berth open digits/hello --print"];
  command(program, "open", "Open the API reference, or an endpoint of an app, in the browser", examples)
    .argument("[app[/endpoint]]", "which app or endpoint; the API reference when absent")
    .option("--print", "only print the URL")
    .action(cli.action<{ print?: boolean }>(async (job, options, target) => {
      const url = await urlOf(job.wire(), target);
      job.output.result({ url }, () => url);
      if (!options.print && !job.output.json && job.output.live) await job.shell.browse(url);
    }));
};

async function urlOf(wire: Wire, target: string | undefined): Promise<string> {
  if (target === undefined) return new URL("/openapi.json", wire.transport.target).href;
  const [name = "", endpoint] = target.split("/");
  const app = await send(wire, routes.getApp, { app: name });
  const names = app.endpoints.map(({ name }) => name);
  const found = endpoint === undefined
    ? app.endpoints[0]
    : app.endpoints.find(({ name }) => name === endpoint);
  if (found !== undefined) return new URL(found.url, wire.transport.target).href;
  throw usageError(
    `Cannot open "${target}": ${
      endpoint === undefined ? "the app has no endpoints" : "there is no such endpoint"
    }`,
    names.length === 0 ? "Declare one: app.endpoint({}, (request) => …)" : `It has: ${names.join(", ")}`,
  );
}

const columnsAt = (now: number): Column<App>[] => [
  { title: "APP", text: ({ name }) => name },
  { title: "VERSION", text: ({ version }) => String(version), align: "right" },
  { title: "DEPLOYED", text: ({ deployedAt }) => relativeTime(deployedAt, now) },
  { title: "FUNCTIONS", text: ({ functions }) => functions.map(({ name }) => name).join(", ") },
  { title: "ENDPOINTS", text: ({ endpoints }) => endpoints.map(({ name }) => name).join(", ") },
];
