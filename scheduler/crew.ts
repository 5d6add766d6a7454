/** The containers of one function, and what scaling makes of them. Pure. */
import { settlesAt } from "./activity.ts";
import type { Container, Fn } from "./model.ts";
import { busyStaleMs } from "./model.ts";
import {
  type Idleness,
  idleness,
  isHopeless,
  type Load,
  spare,
  startsAllowed,
  wantedContainers,
  workedAt,
} from "./scale.ts";
import { decide, type ScaleInputs, type Scaling } from "./scaling.ts";

export interface Crew {
  readonly fn: Fn;
  /** Containers that are to stay: of the current deployment and wanted to run. */
  readonly staff: readonly Container[];
  /** Containers that leave. */
  readonly leaving: number;
  readonly ready: number;
  readonly wanted: number;
  /** Containers to start now, if there is room: those that the load wants, or one that is to be loaded before it comes. */
  readonly lacking: number;
  readonly idle: readonly Idleness[];
  /** Idle beyond what is wanted, the longest idle first: may give way, and leave when their window is over. */
  readonly spare: readonly Spare[];
}

export interface Spare extends Idleness {
  readonly idleSince: number;
  /** The end of its window. */
  readonly until: number;
}

/** The window of what is idle beside others, or before it is known for how long it will be. */
const DEFAULT_WINDOW_MS = 60_000;

/** @param containers all live ones of the function; `isStaff` tells those that stay */
export function crewOf(
  fn: Fn,
  containers: readonly Container[],
  isStaff: (container: Container) => boolean,
  now: number,
): Crew {
  const staff = containers.filter(isStaff);

  const wanted = wantedContainers(loadOf(fn, staff), now);
  const ready = staff.filter((container) => container.observed === "ready").length;
  const idle = idleness(fn, staff);
  const allowed = isRefused(fn, ready) ? 0 : startsAllowed(fn, staff.length - ready, now);
  const lacking = Math.max(0, Math.min(allowed, Math.max(wanted, foreseen(fn, now)) - staff.length));
  return {
    fn,
    staff,
    leaving: containers.length - staff.length,
    ready,
    wanted,
    lacking,
    idle,
    spare: withWindows(fn, spare(idle, wanted), staff.length, now),
  };
}

/** Calls that run in containers which are leaving need no slot of those that stay. */
export function loadOf({ removed, scale, demand }: Fn, staff: readonly Container[]): Load {
  const leased = staff.reduce((sum, container) => sum + container.leased, 0);
  return { removed, scale, demand: { ...demand, leased, stuck: Math.min(demand.stuck, leased) } };
}

/** One, in the window in which the function is to be loaded again before it has work. What merely stays loaded is not replaced. */
function foreseen({ activity, removed, scale }: Fn, now: number): number {
  if (removed || scale.scaledownWindowMs !== null || activity === null || activity.idleAt === null) return 0;
  const { idleAt, loadAt, keepUntil } = activity;
  return loadAt! > idleAt && now >= loadAt! && now < keepUntil! ? 1 : 0;
}

/** When each may leave. Predicted windows are for one container: the last of a function that has nothing to do. */
function withWindows(
  { scale: { scaledownWindowMs }, activity }: Fn,
  idle: readonly (Idleness & { readonly idleSince: number })[],
  staff: number,
  now: number,
): Spare[] {
  const endOf = (idleSince: number, isLast: boolean): number => {
    const usual = idleSince + (scaledownWindowMs ?? DEFAULT_WINDOW_MS);
    if (scaledownWindowMs !== null || activity === null || activity.idleAt === null) return usual;
    const { loadAt, keepUntil } = activity;
    if (now < loadAt!) return idleSince;
    return isLast ? keepUntil! : Math.min(usual, keepUntil!);
  };
  return idle.map((one, i) => ({ ...one, until: endOf(one.idleSince, i === staff - 1) }));
}

/** Nothing of the function runs or could be started: its waiting calls fail. */
export const isRefused = (fn: Fn, ready: number): boolean => ready === 0 && isHopeless(fn);

/** Spare containers whose window is over. */
export const idledOut = ({ spare }: Crew, now: number): Container[] =>
  spare.filter((one) => now >= one.until).map((one) => one.container);

/** When the crew would change by itself. */
export const changesAt = ({ fn, idle, spare }: Crew, now: number): number[] =>
  [...spare.map((one) => one.until), settlesAt({ fn, idle }, now)].filter((at) => at !== null);

/** The decision, to be recorded, when it is another than the last. */
export function rescaled({ fn, staff, wanted }: Crew, now: number): Scaling[] {
  if (wanted === fn.wantedBefore) return [];
  const inputs: ScaleInputs = { kind: "scale", now, ...loadOf(fn, staff) };
  return [{ functionId: fn.id, inputs, ...decide(inputs) }];
}

/** Containers that had work, of which the note is old. */
export const staleBusy = ({ fn, idle }: Crew, now: number): string[] =>
  idle.flatMap(({ container, idleSince }) =>
    (idleSince === null ? now : workedAt(container)) - container.busyAt >=
        busyStaleMs(fn.scale.scaledownWindowMs)
      ? [container.id]
      : []
  );
