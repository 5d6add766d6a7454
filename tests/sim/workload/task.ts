/** What clients do. A task is one thing that a client does once; adding one is a file here and a name in mod.ts. */
import { parseDuration } from "../../../sdk/duration.ts";
import type { SimulatedClient } from "../client.ts";
import type { Dice } from "../dice.ts";
import type { Ledger, Wish } from "../ledger.ts";
import type { Deed, Doing } from "../machine/deed.ts";
import type { Hosts } from "../functions.ts";
import type { AppShape, SpecInput } from "../topology.ts";

/** Where a task happens. */
export interface Scene {
  readonly client: SimulatedClient;
  readonly dice: Dice;
  readonly ledger: Ledger;
  /** Apps of the client's workspace as they are deployed, or about to be. */
  readonly apps: readonly AppShape[];
  readonly hosts: Hosts;
  /** Resolves after about `ms`. */
  pause(ms: number): Promise<void>;
}

export interface Task {
  readonly name: string;
  run(scene: Scene): Promise<void>;
}

export interface Target {
  readonly app: AppShape;
  readonly spec: SpecInput;
}

/** A function that calls can be made to. */
export function drawTarget({ dice, apps }: Scene): Target {
  const app = dice.pick(apps);
  return { app, spec: dice.pick(app.functions) };
}

const DOINGS: readonly (readonly [number, Doing])[] = [
  [0.84, "return"],
  [0.04, "throw"],
  [0.05, "stumble"],
  [0.03, "hang"],
  [0.02, "exit"],
  [0.02, "grow"],
];

/** What one call is to do. */
export function drawDeed(dice: Dice, { spec }: Target): Omit<Deed, "n"> {
  const timeoutMs = parseDuration(spec.timeout ?? "5m");
  let rest = dice.next();
  const [, doing] = DOINGS.find(([weight]) => (rest -= weight) < 0) ?? DOINGS[0]!;
  const ms = Math.round(
    dice.chance(0.05) ? timeoutMs * dice.between(0.9, 1.3) : dice.spread(2, timeoutMs / 4),
  );
  return {
    do: doing,
    ms,
    ...(doing === "stumble" ? { times: dice.whole(1, 3) } : {}),
    deaf: dice.chance(0.1),
  };
}

/** Now and then, one of a few keys of which only so many calls run at a time. */
export const drawKey = (dice: Dice): { concurrencyKey?: string } =>
  dice.chance(0.3) ? { concurrencyKey: `key${dice.whole(1, 2)}` } : {};

export function wishOf(scene: Scene, target: Target, more: Partial<Wish> = {}): Wish {
  return scene.ledger.wish({
    deed: drawDeed(scene.dice, target),
    workspace: scene.client.workspace,
    app: target.app.name,
    function: target.spec.name,
    mayCancel: false,
    mayExpire: false,
    mayFailWithOthers: () => target.app.crowded.has(target.spec.name),
    mayLoseFunction: () => target.app.dropped.has(target.spec.name),
    ...more,
  });
}
