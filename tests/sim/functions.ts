/** What a seed draws of functions. Each fits on what there is, all by itself: what can't ever be placed can't ever end. */
import type { Dice } from "./dice.ts";
import type { MachineShape } from "./machine/machine.ts";
import type { PoolShape, SpecInput } from "./topology.ts";

/** Where functions may run. */
export interface Hosts {
  readonly machines: readonly MachineShape[];
  readonly pools: readonly PoolShape[];
}

/** Calls of a function with the same key that run at a time; the same in all its versions. */
export const perKeyOf = (name: string): number => name.endsWith("0") ? 1 : 2;

export function drawFunction(dice: Dice, name: string, hosts: Hosts): SpecInput {
  const taken = need(dice, hosts);
  const alone = taken.nodes === undefined;
  const serves = alone && dice.chance(0.25);
  return {
    name,
    methods: [
      { name, kind: "call" },
      ...(serves ? [{ name, kind: "endpoint", endpoint: { name } } as const] : []),
    ],
    schedules: dice.chance(0.25) ? [schedule(dice, name)] : [],
    ...taken,
    concurrency: !alone || dice.chance(0.6) ? 1 : dice.whole(2, 5),
    concurrencyPerKey: perKeyOf(name),
    preemptible: dice.chance(0.4),
    preemptNotice: `${dice.whole(100, 2_000)}ms`,
    timeout: `${dice.whole(2, 6)}s`,
    startTimeout: `${dice.whole(3, 6)}s`,
    retries: { max: dice.whole(0, 3), backoff: `${dice.whole(100, 1_000)}ms`, maxBackoff: "2s" },
    scale: {
      min: dice.chance(0.15) ? 1 : 0,
      max: dice.whole(1, 4),
      buffer: dice.chance(0.15) ? 1 : 0,
      ...(dice.chance(0.8) ? { scaledownWindow: `${dice.whole(500, 5_000)}ms` } : {}),
    },
  };
}

/** What one container takes, or, now and then, each of a gang. */
function need(dice: Dice, { machines, pools }: Hosts): Pick<SpecInput, "gpu" | "cpu" | "memory" | "nodes"> {
  const ranks = dice.chance(0.15) ? dice.whole(2, 3) : 1;
  const wide = pools.filter(({ max = 0 }) => max >= ranks);
  if (ranks > 1 && (machines.length >= ranks || wide.length > 0)) {
    return { cpu: 0.5, memory: 512, nodes: ranks };
  }
  const models = dice.pick([
    ...machines.map(({ gpus }) => gpus.map(({ model }) => model)),
    ...pools.map(({ shape }) => shape!.gpus?.map(({ model }) => model) ?? []),
  ]);
  return {
    gpu: models.length > 0 && dice.chance(0.6) ? [gpuText(dice, models)] : [],
    cpu: dice.pick([0.125, 0.5, 1, 2]),
    memory: dice.pick([128, 512, 2_048]),
  };
}

function gpuText(dice: Dice, models: readonly string[]): string {
  const model = dice.chance(0.2) ? "any" : models[0]!;
  if (dice.chance(0.4)) return `${model}:${dice.pick(["0.25", "0.5", "0.3"])}`;
  return `${model}:${dice.whole(1, Math.min(2, models.length))}`;
}

/** Every so many seconds of each minute. */
const schedule = (dice: Dice, method: string): NonNullable<SpecInput["schedules"]>[number] => ({
  method,
  cron: `*/${dice.pick([2, 3, 5, 7, 11])} * * * * *`,
  input: { n: -1, do: "return", ms: dice.whole(1, 100) },
});

export const crowdedOf = (functions: readonly SpecInput[]): string[] =>
  functions.filter(({ concurrency = 1 }) => concurrency > 1).map(({ name }) => name);
