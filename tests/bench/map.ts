/** (a) A map of no-op calls, durable and in order, beside graphile-worker draining preloaded rows on the same server. */
import { fileURLToPath } from "node:url";
import { type CpuByRole, cpuByRole, perCallUs } from "./cpu.ts";
import { drain } from "./drain.ts";
import { prepareGraphile } from "./graphile.ts";
import { type Finding, median, spread } from "./report.ts";
import type { World } from "./world.ts";

const TARGET = 20_000;
const TARGET_RATIO = 1.5;
const ROUNDS = 5;
const GRAPHILE = fileURLToPath(new URL("../../.berth/bench/graphile", import.meta.url));

export async function map(world: World): Promise<Finding> {
  const { platform, postgres, scaled } = world;
  const n = scaled(50_000);
  const graphile = await prepareGraphile(GRAPHILE, await world.database("graphile"), scaled(20_000));
  await drain(world, scaled(20_000)); // warms what will be warm

  const roots = { platform: platform.pid, postgres: postgres.pid };
  const ours: number[] = [];
  const theirs: number[] = [];
  const cpu: CpuByRole[] = [];
  // In turns, so that a busy moment of the machine meets both.
  for (let round = 0; round < ROUNDS; round++) {
    const before = await cpuByRole(roots);
    ours.push(await drain(world, n));
    cpu.push(perCallUs(before, await cpuByRole(roots), n));
    theirs.push(await graphile.drain(n));
  }
  const ratio = median(ours) / median(theirs);
  const used = middle(cpu);
  return {
    bench: "a map",
    what: `${n.toLocaleString("en-US")} no-op calls, ordered`,
    value: `${spread(ours, "calls")}, ${ratio.toFixed(2)} × the baseline`,
    baseline: `${spread(theirs, "jobs")}: graphile-worker drains, ${graphile.runtime}`,
    target: `≥ ${TARGET.toLocaleString("en-US")}/s, ≥ ${TARGET_RATIO} ×`,
    ok: median(ours) >= TARGET && ratio >= TARGET_RATIO,
    figures: { callsPerSecond: median(ours), graphilePerSecond: median(theirs), ratio, ...prefixed(used) },
    notes: [
      `CPU µs per call: ${Object.entries(used).map(([role, us]) => `${role} ${us.toFixed(1)}`).join(", ")}`,
    ],
  };
}

/** The median of each role, and of their sum. */
function middle(readings: readonly CpuByRole[]): Readonly<Record<string, number>> {
  const roles = Object.keys(readings[0]!) as (keyof CpuByRole)[];
  const sums = readings.map((reading) => roles.reduce((sum, role) => sum + reading[role], 0));
  return Object.fromEntries([
    ["total", median(sums)] as const,
    ...roles.map((role) => [role, median(readings.map((reading) => reading[role]))] as const),
  ]);
}

const prefixed = (used: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(Object.entries(used).map(([role, us]) => [`cpuUs_${role}`, us]));
