/** (p) A map of no-op calls of a Python function, beside the same in TypeScript. */
import { fileURLToPath } from "node:url";
import { drain } from "./drain.ts";
import { type Finding, median, spread } from "./report.ts";
import type { World } from "./world.ts";

const TARGET = 2_000;
const ROUNDS = 5;
const APP = fileURLToPath(new URL("python_app.ts", import.meta.url));

export async function python(world: World): Promise<Finding> {
  await world.platform.berth("deploy", APP);
  const n = world.scaled(20_000);
  const ours: number[] = [];
  const theirs: number[] = [];
  await drain(world, n, "bench-python"); // warms what will be warm
  await drain(world, n);
  // In turns, so that a busy moment of the machine meets both.
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await drain(world, n, "bench-python"));
    theirs.push(await drain(world, n));
  }
  return {
    bench: "p python",
    what: `${n.toLocaleString("en-US")} no-op calls of a Python function, ordered`,
    value: spread(ours, "calls"),
    baseline: `${spread(theirs, "calls")}: the same in TypeScript`,
    target: `≥ ${TARGET.toLocaleString("en-US")}/s`,
    ok: median(ours) >= TARGET,
    figures: { callsPerSecond: median(ours), typescriptPerSecond: median(theirs) },
  };
}
