/** `berth deploy`: a file becomes a version of its app. */
import type { Deployment, FunctionSpec } from "../../protocol/apps.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { deployPacked, packFile } from "../deploy_app.ts";
import type { Packed } from "../pack.ts";
import { table } from "../table.ts";
import { memory, span, trim } from "../words.ts";

interface Flags {
  readonly check: boolean;
  readonly name?: string;
}

export const deploy: Declare = (program, cli) => {
  command(program, "deploy", "Deploy the app of a file", [
    "berth deploy app.ts",
    "berth deploy app.ts --name app-staging",
  ])
    .argument("<file>", "TypeScript or JavaScript module that exports functions")
    .option("--name <app>", "deploy under another name than the file says")
    .option("--no-check", "skip the type check")
    .action(cli.action<Flags>(async (job, flags, file = "") => {
      const startedAt = job.shell.clock.now();
      const wire = job.wire();
      const packed = await packFile(job, file, flags.check);
      const deployment = await deployPacked(job, wire, packed, flags.name ?? packed.app);
      const endpoints = deployment.endpoints.map(({ name, url }) => ({
        name,
        url: new URL(url, wire.transport.target).href,
      }));
      const { app, deployment: id, functions, images } = deployment;
      if (job.output.json) {
        const built = images.length === 0 ? {} : { images };
        return job.output.print(JSON.stringify({ app, deployment: id, functions, endpoints, ...built }));
      }
      const tookMs = job.shell.clock.now() - startedAt;
      job.output.print(
        report(job, packed, { ...deployment, endpoints: withUrls(deployment, endpoints) }, tookMs),
      );
    }));
};

function withUrls({ endpoints }: Deployment, urls: { url: string }[]): Deployment["endpoints"] {
  return endpoints.map((endpoint, i) => ({ ...endpoint, url: urls[i]!.url }));
}

function report({ output }: Job, { manifest }: Packed, deployment: Deployment, tookMs: number): string {
  const { app, version, deployment: id } = deployment;
  const style = { columns: output.columns, strong: (text: string) => output.paint("bold", text) };
  const mark = output.paint("green", "✓");
  const schedules = manifest.functions.flatMap((spec) => spec.schedules);
  return [
    `${mark} ${output.paint("bold", app)} version ${version} (${id}) deployed in ${span(tookMs)}`,
    table(manifest.functions, FUNCTION_COLUMNS, style),
    ...(deployment.endpoints.length === 0 ? [] : [table(deployment.endpoints, ENDPOINT_COLUMNS, style)]),
    ...(schedules.length === 0 ? [] : [table(schedules, SCHEDULE_COLUMNS, style)]),
    output.paint("dim", nextStep(app, manifest.functions)),
  ].join("\n\n");
}

const FUNCTION_COLUMNS = [
  { title: "FUNCTION", text: ({ name }: FunctionSpec) => name },
  { title: "BODY", text: ({ kind, body }: FunctionSpec) => kind === "class" ? "class" : body },
  { title: "GPU", text: ({ gpu }: FunctionSpec) => gpu.join(" or ") || "–" },
  { title: "CPU", text: ({ cpu }: FunctionSpec) => trim(cpu), align: "right" as const },
  { title: "MEMORY", text: (spec: FunctionSpec) => memory(spec.memory), align: "right" as const },
  { title: "SCALE", text: ({ scale }: FunctionSpec) => `${scale.min}–${scale.max}` },
  {
    title: "CALLS",
    text: ({ methods }: FunctionSpec) => methods.filter(isCall).map(({ name }) => name).join(", ") || "–",
  },
];
const ENDPOINT_COLUMNS = [
  { title: "ENDPOINT", text: ({ name }: Deployment["endpoints"][number]) => name },
  { title: "AUTH", text: ({ auth }: Deployment["endpoints"][number]) => auth },
  { title: "URL", text: ({ url }: Deployment["endpoints"][number]) => url },
];
const SCHEDULE_COLUMNS = [
  { title: "SCHEDULE", text: ({ method }: FunctionSpec["schedules"][number]) => method },
  { title: "CRON", text: ({ cron }: FunctionSpec["schedules"][number]) => cron },
  { title: "TIME ZONE", text: ({ timeZone }: FunctionSpec["schedules"][number]) => timeZone },
];

const isCall = ({ kind }: FunctionSpec["methods"][number]): boolean => kind === "call";

function nextStep(app: string, functions: readonly FunctionSpec[]): string {
  const first = functions.flatMap(({ methods }) => methods).find(isCall);
  return first === undefined
    ? `Next: berth open ${app}`
    : `Next: berth call ${app}/${first.name} --input '{}' --follow`;
}
