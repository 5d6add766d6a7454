/** (c) An endpoint at zero: first byte of the first request. Each sample is an endpoint of its own that nobody has asked before. */
import { join } from "node:path";
import { type Finding, median, ms, quantile } from "./report.ts";
import { freePort } from "../setup/postgres.ts";
import { took } from "./times.ts";
import type { World } from "./world.ts";

/** The pool is refilled beside the request, so a sample waits for it. */
const PAUSE_MS = 500;

/** @param target in milliseconds; @param name what distinguishes this world, such as `with the pool` */
export async function cold(
  world: World,
  { name, target }: { name: string; target: number },
): Promise<Finding> {
  const n = Math.max(3, Math.min(15, world.scaled(750)));
  await deployColdOnes(world, n + 1);
  const samples: number[] = [];
  for (let i = 0; i <= n; i++) {
    await world.clock.sleep(PAUSE_MS);
    samples.push(await firstByte(world, `cold${i}`));
  }
  samples.shift(); // it also brought the bundle to the runner
  const spawns = await spawnTimes(world, n);
  return {
    bench: "c cold",
    what: `endpoint at zero → first byte, ${name}, p50`,
    value: `${ms(median(samples))} (max ${ms(quantile(samples, 1))})`,
    baseline: `${ms(median(spawns))}: \`deno run\` → first byte`,
    target: `≤ ${target} ms`,
    ok: median(samples) <= target,
    figures: { p50: median(samples), max: quantile(samples, 1), spawn: median(spawns) },
  };
}

/**
 * Endpoints `cold0`, `cold1`, … that nobody has asked yet.
 *
 * @param alike whether what was made for one may serve another. @default true
 */
export async function deployColdOnes(
  { platform }: World,
  n: number,
  { alike = true }: { readonly alike?: boolean } = {},
): Promise<void> {
  const file = join(platform.dir, "cold.ts");
  const endpoints = Array.from({ length: n }, (_, i) => {
    const env = alike ? "" : `, env: { WHICH: "${i}" }`;
    return `export const cold${i} = app.endpoint({ auth: "public"${env} }, () => new Response("pong"));`;
  });
  await Deno.writeTextFile(
    file,
    ['import { App } from "berth";', 'const app = new App("cold");', ...endpoints].join("\n"),
  );
  await platform.berth("deploy", file);
}

/** Milliseconds until one of them has answered. */
export async function firstByte({ fetch, platform: { url } }: World, endpoint: string): Promise<number> {
  let response: Response | undefined;
  const elapsed = await took(async () => response = await fetch(`${url}/e/cold/${endpoint}`));
  const text = await response!.text();
  if (text !== "pong") {
    throw new Error(`Cannot measure cold starts: ${endpoint} answered ${response!.status} ${text}`);
  }
  return elapsed;
}

const SERVER =
  'Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.args[0]), onListen() {} }, () => new Response("pong"));';

/** What the least that could be done takes: a fresh process that serves the same. */
async function spawnTimes(world: World, n: number): Promise<number[]> {
  const file = join(world.platform.dir, "server.ts");
  await Deno.writeTextFile(file, SERVER);
  const samples: number[] = [];
  for (let i = 0; i <= n; i++) samples.push(await spawnTime(world, file));
  return samples.slice(1);
}

async function spawnTime(world: World, file: string): Promise<number> {
  const port = freePort();
  let child: Deno.ChildProcess | undefined;
  const elapsed = await took(async () => {
    child = new Deno.Command(Deno.execPath(), { args: ["run", "-A", "--no-check", file, String(port)] })
      .spawn();
    while (!await answers(world, port)) await world.clock.sleep(0.3);
  });
  child!.kill("SIGKILL");
  await child!.status;
  return elapsed;
}

const answers = ({ fetch }: World, port: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${port}/`).then((response) => response.text()).then(() => true, () => false);
