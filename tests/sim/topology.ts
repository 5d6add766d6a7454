/** What a seed draws of what there is: processes, machines, pools, workspaces, apps. */
import type { z } from "zod";
import type { CreatePool, FunctionSpec, Gpu, WorkspaceSettings } from "../../sdk/protocol.ts";
import { type Dice } from "./dice.ts";
import { crowdedOf, drawFunction, type Hosts } from "./functions.ts";
import type { MachineShape } from "./machine/machine.ts";

/** A function as its owner writes it. */
export type SpecInput = Partial<z.input<typeof FunctionSpec>> & { readonly name: string };
export type PoolShape = Omit<z.input<typeof CreatePool>, "provider">;

export interface AppShape {
  readonly workspace: string;
  readonly name: string;
  /** As they are deployed, or about to be. */
  functions: readonly SpecInput[];
  /** Functions that some redeploy took away. */
  readonly dropped: Set<string>;
  /** Functions of which several calls have run in one container, which can take each other down. */
  readonly crowded: Set<string>;
}

export interface Topology {
  readonly apis: number;
  /** Beside those of the apis. */
  readonly schedulers: number;
  readonly machines: readonly MachineShape[];
  readonly pools: readonly PoolShape[];
  readonly workspaces: readonly (Partial<WorkspaceSettings> & { readonly name: string })[];
  readonly apps: readonly AppShape[];
  readonly hosts: Hosts;
  /** Clocks differ by at most this from the true time. */
  readonly skewMsMax: number;
}

const MODELS = ["H100", "L4"] as const;
const POOL_MODELS = ["H100", "A100"] as const;
const WORKSPACES = ["default", "other"] as const;
/** No function of ours takes more, gangs excepted. */
const NEED_GPUS_MAX = 2;

export function drawTopology(dice: Dice): Topology {
  const pools = dice.chance(0.35)
    ? Array.from({ length: dice.whole(1, 2) }, (_, i) => pool(dice.of(`pool ${i}`), i))
    : [];
  const count = pools.length > 0 && dice.chance(0.3) ? 0 : dice.whole(1, 3);
  const machines = Array.from({ length: count }, (_, i) => machine(dice.of(`machine ${i}`), i));
  const workspaces = dice.chance(0.3) ? WORKSPACES : WORKSPACES.slice(0, 1);
  const hosts = { machines, pools };
  return {
    apis: dice.chance(0.5) ? 1 : 2,
    schedulers: dice.chance(0.2) ? 1 : 0,
    machines,
    pools,
    workspaces: workspaces.map((name) => ({ name, ...(dice.chance(0.3) ? quotas(dice) : {}) })),
    apps: workspaces.flatMap((workspace) =>
      Array.from(
        { length: dice.whole(1, 2) },
        (_, i) => app(dice.of(`${workspace} ${i}`), workspace, i, hosts),
      )
    ),
    hosts,
    skewMsMax: dice.chance(0.5) ? dice.spread(1, 3_000) : 0,
  };
}

function machine(dice: Dice, i: number): MachineShape {
  const model = dice.pick(MODELS);
  const count = dice.chance(0.8) ? dice.whole(1, 4) : 0;
  return {
    name: `node-${i + 1}`,
    cpu: dice.whole(2, 8),
    memory: dice.whole(4, 16) * 1_024,
    gpus: Array.from({ length: count }, (_, index) => gpu(index, model)),
  };
}

const gpu = (index: number, model: string): Gpu => ({ index, model, vramMiB: 24_576, simulated: true });

function pool(dice: Dice, i: number): PoolShape {
  const model = dice.pick(POOL_MODELS);
  const gpus = Array.from({ length: dice.whole(0, 2) }, () => ({ model, vramMiB: 40_960 }));
  return {
    name: `pool${i}`,
    min: dice.chance(0.2) ? 1 : 0,
    max: dice.whole(1, 3),
    shape: { cpu: dice.whole(2, 4), memory: 8_192, disk: 100_000, gpus },
    costPerHour: dice.whole(1, 10),
    idleTimeout: `${dice.whole(500, 6_000)}ms`,
    provisionTimeout: `${dice.whole(5, 15)}s`,
  };
}

/** Limits that everything fits into by itself. */
function quotas(dice: Dice): Partial<WorkspaceSettings> {
  const [gpus, maxGpus] = [dice.whole(0, NEED_GPUS_MAX), NEED_GPUS_MAX + dice.whole(0, 2)];
  return { weight: dice.whole(1, 1_000), gpus: dice.chance(0.5) ? gpus : null, maxGpus };
}

function app(dice: Dice, workspace: string, i: number, hosts: Hosts): AppShape {
  const count = dice.whole(1, 3);
  const functions = Array.from({ length: count }, (_, k) => drawFunction(dice.of(k), `f${k}`, hosts));
  return {
    workspace,
    name: `app${i}`,
    functions,
    dropped: new Set(),
    crowded: new Set(crowdedOf(functions)),
  };
}
