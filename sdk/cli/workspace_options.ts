/** The settings of a workspace as options of a command. */
import type { Command } from "commander";
import type { WorkspaceSettings } from "../protocol/workspaces.ts";
import { numberOf } from "./machine_options.ts";

type Amount = number | typeof NONE;
const NONE = "none";

export interface WorkspaceFlags {
  readonly weight?: number;
  readonly gpus?: Amount;
  readonly maxGpus?: Amount;
  readonly cpu?: Amount;
  readonly maxCpu?: Amount;
  readonly maxQueued?: Amount;
}

/** Adds them to a command. */
export const workspaceOptions = (command: Command): Command =>
  command
    .option("--weight <n>", "its share of what several want, relative to the others", numberOf)
    .option("--gpus <n>", "GPUs that it is promised, or none", amountOf)
    .option("--max-gpus <n>", "GPUs at most, with what it borrows of others, or none for no limit", amountOf)
    .option("--cpu <cores>", "cores that it is promised, or none", amountOf)
    .option("--max-cpu <cores>", "cores at most, or none for no limit", amountOf)
    .option("--max-queued <n>", "calls that may wait, or none for no limit", amountOf);

/** The settings that the flags name. */
export const workspaceSettings = (
  { weight, gpus, maxGpus, cpu, maxCpu, maxQueued }: WorkspaceFlags,
): Partial<WorkspaceSettings> =>
  Object.fromEntries(
    Object.entries({ weight, gpus, maxGpus, cpu, maxCpu, maxQueued })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, value === NONE ? null : value]),
  );

const amountOf = (text: string): Amount => text === NONE ? NONE : numberOf(text);
