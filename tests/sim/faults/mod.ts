/** All that goes wrong, and how a seed has some of it. */
import type { World } from "../world.ts";
import { databaseCuts, databaseRestarts, partition } from "./cuts.ts";
import { apiDies, freeze, machineDies, restart, runnerDies } from "./deaths.ts";
import type { Fault } from "./fault.ts";
import { badCloud, gpuFails, gpuIsGone, operations } from "./operations.ts";
import { badDatabase, badEngines, badNetwork } from "./weather.ts";

export const FAULTS: readonly Fault[] = [
  badNetwork,
  badDatabase,
  badEngines,
  badCloud,
  partition,
  databaseRestarts,
  databaseCuts,
  apiDies,
  runnerDies,
  restart,
  machineDies,
  freeze,
  gpuFails,
  gpuIsGone,
  operations,
];

/** Lets some faults strike until an instant. A seed without some of them goes deeper into the others. */
export function torment(world: World, until: number): void {
  for (const fault of world.dice.of("faults").some(FAULTS, 0.4)) haunt(world, fault, until);
}

function haunt(world: World, fault: Fault, until: number): void {
  const { timeline } = world;
  const dice = world.dice.of(`fault ${fault.name}`);
  if (fault.everyMs === undefined) return void fault.strike(world, dice);
  const next = () =>
    timeline.after(dice.between(0, 2 * fault.everyMs!), async () => {
      if (timeline.now >= until) return;
      await fault.strike(world, dice);
      next();
    });
  next();
}
