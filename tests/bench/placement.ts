/** (h) Placements per second of one processor, and how full the GPUs are when as many are asked for as there are; beside what others do. */
import process from "node:process";
import { firstFit, gradientDescent, type Placer } from "./baselines.ts";
import { type NodeLine, type Pod, PodRoom } from "./pods.ts";
import { type Finding, perSecond } from "./report.ts";
import { arrivals, classes, machines } from "./trace.ts";
import type { World } from "./world.ts";

const SEEDS = [1, 2, 3, 4, 5];
/** GPUs asked for, in parts of those there are. */
const ASKED = 1.3;
const TARGET_PER_SECOND = 20_000;
/** How much longer a placement may take on ten times the machines. */
const TARGET_GROWTH = 3;

interface Run {
  /** Of processor time, of the quickest of several runs: others are busy on this machine too. */
  readonly perSecond: number;
  /** Percent of the GPUs when all of them have been asked for. */
  readonly allocated: number;
}

type Make = (nodes: readonly NodeLine[]) => Placer;

const ours: Make = (nodes) => {
  const room = new PodRoom(nodes, classes);
  return (pod) => room.place(pod) !== null;
};
const descent: Make = (nodes) => gradientDescent(nodes, classes);

// deno-lint-ignore require-await
export async function placement({ scaled }: World): Promise<Finding> {
  const part = scaled(ASKED * 1000) / 1000;
  const [mine, theirs, first] = [ours, descent, firstFit].map((make) => summary(make, part));
  const large = fill(ours, 10, part, SEEDS[0]!);
  const growth = mine!.perSecond / large.perSecond;
  const figures = {
    perSecond: mine!.perSecond,
    allocated: mine!.allocated,
    firstFitPerSecond: first!.perSecond,
    firstFitAllocated: first!.allocated,
    descentPerSecond: theirs!.perSecond,
    descentAllocated: theirs!.allocated,
    tenfoldPerSecond: large.perSecond,
    growth,
  };
  return {
    bench: "h placement",
    what: "1,213 nodes with 6,212 GPUs, filled; GPUs allocated when all are asked for",
    value: told(mine!),
    baseline: `${told(theirs!)}: gradient descent; ${told(first!)}: first-fit`,
    target: `≥ ${perSecond(TARGET_PER_SECOND, "placements")}, and more allocated`,
    ok: mine!.perSecond >= TARGET_PER_SECOND && growth <= TARGET_GROWTH &&
      mine!.allocated > Math.max(theirs!.allocated, first!.allocated),
    figures,
    notes: [
      `on ten times the nodes ${perSecond(large.perSecond, "placements")}: ` +
      `a placement takes ${growth.toFixed(1)} times as long`,
    ],
  };
}

const told = (run: Run): string => `${perSecond(run.perSecond, "placements")}, ${run.allocated.toFixed(1)} %`;

function summary(make: Make, part: number): Run {
  const runs = SEEDS.map((seed) => fill(make, 1, part, seed));
  return {
    perSecond: Math.max(...runs.map((run) => run.perSecond)),
    allocated: runs.reduce((sum, run) => sum + run.allocated, 0) / runs.length,
  };
}

/** Fills a cluster, so many times the trace's. */
function fill(make: Make, times: number, part: number, seed: number): Run {
  const nodes = machines(seed, times), pods = arrivals(nodes, part, seed);
  const place = make(nodes);
  const capacity = 1000 * nodes.reduce((sum, node) => sum + node.gpus, 0);
  let asked = 0, given = 0, allocated = 0;
  const before = process.cpuUsage();
  for (const pod of pods) {
    const milli = milliOf(pod);
    if (place(pod)) given += milli;
    if (asked < capacity) allocated = given;
    asked += milli;
  }
  const { user, system } = process.cpuUsage(before);
  return { perSecond: pods.length / (user + system) * 1_000_000, allocated: 100 * allocated / capacity };
}

const milliOf = ({ num_gpu, gpu_milli }: Pod): number => num_gpu * gpu_milli;
