/**
 * Decisions about how many containers a function should have, as values that can be written down with all that they came from, and
 * made again. Pure.
 */
import type { Demand, Scale } from "./model.ts";
import { type History, type KeepPolicy, windows } from "./keepalive.ts";
import { type Load, neededContainers, neededSlots, wantedContainers } from "./scale.ts";

/** How many containers the load of an instant wants. */
export interface ScaleInputs {
  readonly kind: "scale";
  readonly now: number;
  readonly removed: boolean;
  readonly scale: Scale;
  readonly demand: Demand;
}

/** In which stretch of a gap the function is loaded. */
export interface KeepInputs {
  readonly kind: "keep";
  readonly idleAt: number;
  readonly history: History;
  readonly policy: KeepPolicy;
  /** How long before it is to be loaded its start is decided. */
  readonly leadMs: number;
}

export type ScalingInputs = ScaleInputs | KeepInputs;

/** A decision about how many containers there should be, with all that it came from. */
export interface Scaling {
  readonly functionId: number;
  readonly inputs: ScalingInputs;
  readonly wanted: number;
  readonly reason: string;
}

export interface Decision {
  readonly wanted: number;
  /** In words for a person. */
  readonly reason: string;
}

export const decide = (inputs: ScalingInputs): Decision =>
  inputs.kind === "scale" ? scaleDecision(inputs) : keepDecision(inputs);

export interface Stretch {
  readonly loadAt: number;
  readonly keepUntil: number;
}

/** When a function without work is loaded. */
export function keepStretch({ idleAt, history, policy, leadMs }: KeepInputs): Stretch {
  const { prewarmMs, keepMs } = windows(history, idleAt, policy);
  const loadAt = prewarmMs === 0 ? idleAt : Math.max(idleAt + 1, Math.round(idleAt + prewarmMs - leadMs));
  return { loadAt, keepUntil: Math.round(idleAt + prewarmMs + keepMs) };
}

function scaleDecision({ now, ...load }: ScaleInputs): Decision {
  const wanted = wantedContainers(load, now);
  return { wanted, reason: scaleReason(load, wanted, now) };
}

function scaleReason(load: Load, wanted: number, now: number): string {
  const { demand, scale, removed } = load;
  const slots = neededSlots(load, now), needed = neededContainers(load, now);
  if (removed) return "the function was removed";
  if (slots === 0) return wanted === 0 ? "nothing to do" : `nothing to do, and scale.min is ${scale.min}`;
  const waits = demand.queued + demand.requestsHeld, runs = demand.leased + demand.requests;
  const buffer = scale.buffer === 0 ? "" : ` and ${scale.buffer} as buffer`;
  const limit = wanted < needed + scale.buffer ? `; scale.max is ${scale.max}` : "";
  return `${waits} wait and ${runs} run: ${slots} slots in ${needed} containers${buffer}${limit}`;
}

function keepDecision(inputs: KeepInputs): Decision {
  const { loadAt, keepUntil } = keepStretch(inputs), { idleAt } = inputs;
  if (keepUntil <= loadAt) return { wanted: 0, reason: "unloads: nothing is expected soon" };
  if (loadAt === idleAt) return { wanted: 1, reason: `stays loaded until ${instant(keepUntil)}` };
  return { wanted: 0, reason: `unloads, to be loaded from ${instant(loadAt)} to ${instant(keepUntil)}` };
}

const instant = (ms: number): string => new Date(ms).toISOString();
