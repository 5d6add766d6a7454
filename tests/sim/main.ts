/**
 * Runs seeds of the simulation, on a server of its own.
 *
 * - `deno task sim --seeds 2000 --from 1 --jobs 2`: many, and those that were kept
 * - `deno task sim --seed 1234 --log`: one, with a line for each event; `--log=statements`: also for each statement
 */
import { parseArgs } from "node:util";
import { startTestServer } from "../setup/postgres.ts";
import { runCampaign } from "./campaign.ts";
import { Laboratory } from "./laboratory.ts";
import { SEEDS } from "./seeds.ts";
import { type Report, simulate } from "./simulate.ts";
import type { Telling } from "./story.ts";

/** Seeds between two lines that say how far it is. */
const PROGRESS = 50;

/** Prints what one seed does; whether it kept all promises. */
async function replay(server: string, seed: number, telling: Telling): Promise<boolean> {
  const laboratory = await Laboratory.open(server);
  try {
    const report = await laboratory.with((sessions) => simulate({ seed, telling }, sessions));
    console.log(verdictOf(report));
    return report.violations.length === 0;
  } finally {
    await laboratory.close();
  }
}

/** Runs many; whether all kept all promises. */
async function campaign(server: string, seeds: readonly number[], jobs: number): Promise<boolean> {
  const started = performance.now();
  let done = 0;
  const reports = await runCampaign({
    server,
    seeds,
    jobs,
    onReport: (report) => {
      if (report.violations.length > 0) console.log(verdictOf(report));
      if (++done % PROGRESS === 0) console.error(`${done} of ${seeds.length} seeds`);
    },
  });
  const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0);
  const broken = reports.filter(({ violations }) => violations.length > 0).length;
  console.log(
    `${reports.length} seeds, ${broken} broken: ${sum(({ calls }) => calls)} calls, ` +
      `${sum(({ statements }) => statements)} statements, ${sum(({ audits }) => audits)} audits, ` +
      `${Math.round(sum(({ virtualMs }) => virtualMs) / 60_000)} minutes of virtual time ` +
      `in ${((performance.now() - started) / 1_000).toFixed(0)} s`,
  );
  return broken === 0;
}

function verdictOf({ seed, violations, digest, virtualMs, wallMs, statements }: Report): string {
  const run = `${Math.round(virtualMs / 1_000)} s of virtual time, ${statements} statements, ${
    Math.round(wallMs)
  } ms`;
  if (violations.length === 0) return `Seed ${seed} keeps every promise (${run}, events ${digest})`;
  return `Seed ${seed} broke (${run}):\n  ${
    violations.join("\n  ")
  }\n  Replay it: deno task sim --seed ${seed} --log`;
}

/** `--log` alone tells events. */
const args = Deno.args.map((arg) => arg === "--log" ? "--log=events" : arg);
const text = { type: "string" } as const;
const { values } = parseArgs({
  args,
  options: { seed: text, seeds: text, from: text, jobs: text, log: text },
});

const server = await startTestServer();
try {
  const from = Number(values.from ?? 1);
  const range = Array.from({ length: Number(values.seeds ?? 100) }, (_, i) => from + i);
  const well = values.seed !== undefined
    ? await replay(server.url, Number(values.seed), (values.log ?? "nothing") as Telling)
    : await campaign(server.url, [...SEEDS.map(({ seed }) => seed), ...range], Number(values.jobs ?? 2));
  Deno.exitCode = well ? 0 : 1;
} finally {
  await server.stop();
}
