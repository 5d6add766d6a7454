/** The settings of a pool as options of a command. */
import type { Command } from "commander";
import type { PoolShape } from "../protocol/pools.ts";
import { usageError } from "./failure.ts";
import { gpusOf, labelsOf, mibOf, numberOf } from "./machine_options.ts";

export interface PoolFlags {
  readonly min?: number;
  readonly max?: number;
  readonly cpu?: number;
  readonly memory?: number;
  readonly disk?: number;
  readonly gpus?: string;
  readonly labels?: string;
  readonly cost?: number;
  readonly idleTimeout?: string;
  readonly provisionTimeout?: string;
  readonly devices?: string;
  readonly poolSize?: number;
}

/** Adds them to a command. */
export const poolOptions = (command: Command): Command =>
  command
    .option("--min <n>", "nodes to keep however idle they are", numberOf)
    .option("--max <n>", "nodes to ask for at most", numberOf)
    .option("--cpu <cores>", "cores of one node", numberOf)
    .option("--memory <size>", "memory of one node, such as 64GiB", mibOf)
    .option("--disk <size>", "scratch space of one node", mibOf)
    .option("--gpus <spec>", "GPUs of one node, such as 8xH100:80GiB; none for no GPUs")
    .option("--labels <labels>", "labels of its nodes, such as zone=eu-1,rack=7")
    .option("--cost <amount>", "what one node costs per hour, in any currency", numberOf)
    .option("--idle-timeout <time>", "how long an empty node stays, such as 10m")
    .option("--provision-timeout <time>", "how long a node may take to join, such as 10m")
    .option(
      "--devices <list>",
      "local pools: GPUs of this machine to deal out, such as 0,1,2,3; simulated without",
    )
    .option("--pool-size <n>", "local pools: guests that each runner keeps started ahead", numberOf);

/** The settings that the flags name, as the wire has them; `shape` as it is when the flags change a part of it. */
export function poolSettings(
  flags: PoolFlags,
  known: { shape: PoolShape | null; config: Record<string, unknown> },
) {
  const { min, max, cost, idleTimeout, provisionTimeout } = flags;
  return {
    ...given({ min, max, costPerHour: cost, idleTimeout, provisionTimeout }),
    ...shapeOf(flags, known.shape),
    ...configOf(flags, known.config),
  };
}

function shapeOf(
  { cpu, memory, disk, gpus, labels }: PoolFlags,
  known: PoolShape | null,
): { shape?: PoolShape } {
  const some = given({
    cpu,
    memory,
    disk,
    gpus: gpus === undefined ? undefined : gpus === "none" ? [] : gpusOf(gpus),
    labels: labels === undefined ? undefined : labelsOf(labels),
  });
  if (Object.keys(some).length === 0) return {};
  if (known === null && (cpu === undefined || memory === undefined)) {
    throw usageError("Cannot tell what a node of the pool has: say at least --cpu and --memory");
  }
  return { shape: { ...known ?? {}, ...some } as PoolShape };
}

function configOf(
  { devices, poolSize }: PoolFlags,
  known: Record<string, unknown>,
): { config?: Record<string, unknown> } {
  const some = given({ devices: devices?.split(",").map((name) => name.trim()), poolSize });
  return Object.keys(some).length === 0 ? {} : { config: { ...known, ...some } };
}

/** Without what is undefined. */
const given = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
