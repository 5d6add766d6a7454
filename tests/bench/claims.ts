/** (g) The claim keeps its rate when the tables are full of finished calls and the planner knows it. */
import { drain } from "./drain.ts";
import { type Finding, median, spread } from "./report.ts";
import type { World } from "./world.ts";

const FINISHED = 250_000;
const ROUNDS = 3;
/** What repeats of one case differ by on a shared machine. */
const TOLERANCE = 0.75;

/** Wants a platform that has run nothing yet. */
export async function claims(world: World): Promise<Finding> {
  const { sql, scaled } = world;
  const n = scaled(20_000);
  await drain(world, scaled(5_000));
  const empty: number[] = [];
  for (let round = 0; round < ROUNDS; round++) empty.push(await drain(world, n));

  const missing = scaled(FINISHED) - scaled(5_000) - ROUNDS * n;
  await drain(world, missing);
  await sql`analyze`;
  const full: number[] = [];
  for (let round = 0; round < ROUNDS; round++) full.push(await drain(world, n));
  const ratio = median(full) / median(empty);
  return {
    bench: "g claims",
    what: `${n.toLocaleString("en-US")} calls after ${
      scaled(FINISHED).toLocaleString("en-US")
    } finished ones and ANALYZE`,
    value: `${spread(full, "calls")}, ${ratio.toFixed(2)} ×`,
    baseline: `${spread(empty, "calls")}: empty tables`,
    target: `≥ ${TOLERANCE} ×`,
    ok: ratio >= TOLERANCE,
    figures: { full: median(full), empty: median(empty), ratio },
  };
}
