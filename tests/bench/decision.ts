/**
 * (x) From demand to the decision to start a container, on nodes that run: each sample is the first call of a function of its own,
 * one after the other and then many at once. Beside it, when the call began to run.
 */
import { join } from "node:path";
import { Function } from "../../sdk/handle.ts";
import { type Finding, median, ms, quantile } from "./report.ts";
import type { World } from "./world.ts";

/** Functions that are called one after the other, and those that are called at once: together as many as an app may have. */
const SINGLE = 150;
const BURST = 50;
/** Between two calls: time enough for a container to start and go, so that the machine is not the bottleneck. */
const PAUSE_MS = 120;
const TARGET_MS = 1_000;
const ENDED_MS = 120_000;

interface Sample {
  /** From the call to the tick that places its container, and until the call began to run there. */
  readonly decidedMs: number;
  readonly runsMs: number;
}

export async function decision(world: World): Promise<Finding> {
  const [single, burst] = [world.scaled(SINGLE), world.scaled(BURST)];
  await deploy(world, single + burst);
  const one = await sampled(world, 0, single, PAUSE_MS);
  const many = await sampled(world, single, burst, 0);
  const decided = (samples: readonly Sample[]) => samples.map(({ decidedMs }) => decidedMs);
  const [p50, p99] = [median(decided(one)), quantile(decided(one), 0.99)];
  const burst99 = quantile(decided(many), 0.99);
  const runs = one.map(({ runsMs }) => runsMs);
  return {
    bench: "x decision",
    what: `first call of a function → its container is placed, p99 of ${single}`,
    value: `${ms(p99)} (p50 ${ms(p50)})`,
    baseline: `it runs after ${ms(median(runs))} p50, ${ms(quantile(runs, 0.99))} p99`,
    target: `≤ ${TARGET_MS} ms`,
    ok: p99 <= TARGET_MS && burst99 <= TARGET_MS,
    figures: {
      p50,
      p99,
      burst50: median(decided(many)),
      burst99,
      runs50: median(runs),
      runs99: quantile(runs, 0.99),
    },
    notes: [`${burst} functions called at once: p50 ${ms(median(decided(many)))}, p99 ${ms(burst99)}`],
  };
}

async function deploy({ platform }: World, n: number): Promise<void> {
  const file = join(platform.dir, "decision.ts");
  const options = `{ cpu: 0.01, memory: 64, scale: { scaledownWindow: "1s" } }`;
  const functions = Array.from(
    { length: n },
    (_, i) => `export const first${i} = app.function(${options}, (n: number) => n);`,
  );
  await Deno.writeTextFile(
    file,
    ['import { App } from "berth";', 'const app = new App("decision");', ...functions].join("\n"),
  );
  await platform.berth("deploy", file);
}

async function sampled(world: World, from: number, n: number, pauseMs: number): Promise<Sample[]> {
  const { clock, client } = world;
  const handles = [];
  for (let i = from; i < from + n; i++) {
    handles.push(Function.fromName<(n: number) => number>("decision", `first${i}`, { client }).spawn(i));
    if (pauseMs > 0) await clock.sleep(pauseMs);
  }
  const calls = await Promise.all(handles);
  await Promise.all(calls.map((call) => call.result({ signal: AbortSignal.timeout(ENDED_MS) })));
  return await samplesOf(world, from, n);
}

async function samplesOf({ sql }: World, from: number, n: number): Promise<Sample[]> {
  const names = Array.from({ length: n }, (_, i) => `first${from + i}`);
  const rows = await sql<{ calledAt: Date; decidedAt: Date; startedAt: Date }[]>`
    select distinct on (function.id) batch.created_at as called_at, container.created_at as decided_at, result.started_at
    from function
      join app on app.id = function.app_id and app.name = 'decision'
      join batch on batch.function_id = function.id
      join result on result.batch_id = batch.id
      join container on container.function_id = function.id
    where function.name = any(${names})
    order by function.id, container.created_at`;
  return rows.map(({ calledAt, decidedAt, startedAt }) => ({
    decidedMs: decidedAt.getTime() - calledAt.getTime(),
    runsMs: startedAt.getTime() - calledAt.getTime(),
  }));
}
