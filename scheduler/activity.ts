/**
 * Notes of when functions have work, made as it begins and ends; and at its end the stretch of the coming gap in which the function
 * is to be loaded. Pure. Only for functions whose `scale.scaledownWindow` is "auto".
 *
 * A tick sees what is there, not what came and went: of the latter the leases given and the requests made since the tick before
 * tell. An end is noted once it has lasted for {@link SETTLE_MS}, so that calls one after another are one burst.
 */
import { type Day, NO_DAY, type Note } from "./arrivals.ts";
import {
  CPU_COLD_WORTH_MS,
  GPU_COLD_WORTH_MS,
  type History,
  type KeepPolicy,
  observe,
  observeDay,
} from "./keepalive.ts";
import type { Demand, Fn, Workspace } from "./model.ts";
import type { Idleness } from "./scale.ts";
import { decide, type KeepInputs, keepStretch, type Scaling } from "./scaling.ts";

export const SETTLE_MS = 2_000;
/** Idle time that must be saved for a function to be unloaded and loaded again in one gap. */
const RELOAD_MS = 60_000;
/** A tick looks once a second. */
const TICK_MS = 1_000;
/** The part of a GPU, and so of its cost, that a function is taken to use at least. */
const GPU_SHARE_MIN = 0.25;

/** A function, and who of its containers is idle. */
interface Staffed {
  readonly fn: Fn;
  readonly idle: readonly Idleness[];
}

/** What is to be noted of a function now: that work began, that it ended, or nothing. */
export function noteOf({ fn, idle }: Staffed, day: Day, now: number): Note | null {
  if (fn.scale.scaledownWindowMs !== null || fn.removed) return null;
  if (fn.activity !== null && fn.activity.history === null) return null;
  const since = workSince(fn, idle, now);
  if (fn.activity?.idleAt !== null) return since === null ? null : begun(fn, since);
  const end = hasWork(fn.demand) ? null : workEnd(fn, idle, now);
  return end === null || now - end < SETTLE_MS ? null : ended(fn, end, day);
}

/** When the end of what was noted as work may be noted, if nothing comes. */
export function settlesAt({ fn, idle }: Staffed, now: number): number | null {
  if (fn.scale.scaledownWindowMs !== null || fn.activity === null || fn.activity.idleAt !== null) return null;
  return hasWork(fn.demand) ? null : workEnd(fn, idle, now) + SETTLE_MS;
}

const hasWork = ({ queued, keyed, leased, requests, requestsHeld }: Demand): boolean =>
  queued + keyed + leased + requests + requestsHeld > 0;

/** The first sign of work after the gap that was noted last; null for none. */
function workSince({ demand, activity }: Fn, idle: readonly Idleness[], now: number): number | null {
  const { queuedSince, leasedSince, heldSince, requestedAt } = demand;
  const signs = [
    queuedSince,
    leasedSince,
    heldSince,
    requestedAt,
    ...idle.map((one) => one.container.leasedAt),
  ];
  const before = activity?.idleAt ?? -Infinity;
  const later = signs.filter((at): at is number => at !== null && at > before);
  if (later.length === 0 && !hasWork(demand)) return null;
  return Math.min(now, ...later);
}

/** The last sign of work of a function that has none now. Without a container that could tell, it has ended just now. */
function workEnd({ demand }: Fn, idle: readonly Idleness[], now: number): number {
  const signs = [demand.requestedAt, ...idle.map((one) => one.idleSince)].filter((at) => at !== null);
  return signs.length === 0 ? now - SETTLE_MS : Math.min(now, Math.max(...signs));
}

const begun = (fn: Fn, at: number): Note => ({
  functionId: fn.id,
  history: observe(fn.activity?.history ?? null, { kind: "work", at }),
  idleAt: null,
  loadAt: null,
  keepUntil: null,
});

function ended(fn: Fn, at: number, day: Day): Note {
  const before = fn.activity!.history!;
  const idleAt = Math.max(at, before.burstAt);
  const history = observe(before, { kind: "idle", at: idleAt });
  return { functionId: fn.id, history, idleAt, ...keepStretch(keepInputs(fn, history, idleAt, day)) };
}

/** From what the windows of a function follow that fell idle. */
function keepInputs(fn: Fn, history: History, idleAt: number, day: Day): KeepInputs {
  const startMs = fn.startMs ?? TICK_MS;
  const policy: KeepPolicy = { coldWorthMs: coldWorthMs(fn), loadMs: startMs + RELOAD_MS, day };
  return { kind: "keep", idleAt, history, policy, leadMs: startMs + TICK_MS };
}

/** The more of GPUs it holds, the less idle time is a cold start worth. */
export function coldWorthMs({ need: { gpu: [choice] }, nodes }: Pick<Fn, "need" | "nodes">): number {
  if (choice === undefined) return CPU_COLD_WORTH_MS;
  return GPU_COLD_WORTH_MS / Math.max(GPU_SHARE_MIN, choice.count * choice.milli / 1000 * nodes);
}

/** What a tick notes of all functions. */
export interface Notes {
  readonly notes: readonly Note[];
  readonly days: readonly { readonly workspace: string; readonly day: Day }[];
  /** The decisions in it, to be recorded. */
  readonly kept: readonly Scaling[];
}

export function takeNotes(
  crews: readonly Staffed[],
  workspaces: readonly Workspace[],
  now: number,
): Notes {
  const days = new Map(workspaces.map(({ id, day }) => [id, day ?? NO_DAY]));
  const dayOf = ({ workspace }: Fn): Day => days.get(workspace) ?? NO_DAY;
  const noted = crews.flatMap(({ fn, idle }) => {
    const note = noteOf({ fn, idle }, dayOf(fn), now);
    return note === null ? [] : [{ fn, note }];
  });
  const kept = noted.flatMap(({ fn, note }) =>
    note.idleAt === null ? [] : [keepScaling(fn, note, dayOf(fn))]
  );
  const changed = new Set<string>();
  for (const { fn, note } of noted) {
    if (note.idleAt !== null) continue;
    days.set(fn.workspace, observeDay(dayOf(fn), note.history.burstAt));
    changed.add(fn.workspace);
  }
  return {
    notes: noted.map(({ note }) => note),
    days: [...changed].map((workspace) => ({ workspace, day: days.get(workspace)! })),
    kept,
  };
}

function keepScaling(fn: Fn, { history, idleAt }: Note, day: Day): Scaling {
  const inputs = keepInputs(fn, history, idleAt!, day);
  return { functionId: fn.id, inputs, ...decide(inputs) };
}
