/** The containers of one function, and what scaling makes of them. Pure. */
import type { Container, Fn } from "./model.ts";
import { busyStaleMs } from "./model.ts";
import {
  type Idleness,
  idleness,
  isHopeless,
  spare,
  startsAllowed,
  wantedContainers,
  workedAt,
} from "./scale.ts";

export interface Crew {
  readonly fn: Fn;
  /** Containers that are to stay: of the current deployment and wanted to run. */
  readonly staff: readonly Container[];
  /** Containers that leave. */
  readonly leaving: number;
  readonly ready: number;
  readonly wanted: number;
  /** Containers to start now, if there is room. */
  readonly lacking: number;
  readonly idle: readonly Idleness[];
  /** Idle beyond what is wanted, the longest idle first: may give way, and leave when their window is over. */
  readonly spare: readonly (Idleness & { readonly idleSince: number })[];
}

/** @param containers all live ones of the function; `isStaff` tells those that stay */
export function crewOf(
  fn: Fn,
  containers: readonly Container[],
  isStaff: (container: Container) => boolean,
  now: number,
): Crew {
  const staff = containers.filter(isStaff);

  const wanted = wantedContainers(withOwnLeases(fn, staff), now);
  const ready = staff.filter((container) => container.observed === "ready").length;
  const idle = idleness(fn, staff);
  const allowed = isRefused(fn, ready) ? 0 : startsAllowed(fn, staff.length - ready, now);
  const lacking = Math.max(0, Math.min(allowed, wanted - staff.length));
  return {
    fn,
    staff,
    leaving: containers.length - staff.length,
    ready,
    wanted,
    lacking,
    idle,
    spare: spare(idle, wanted),
  };
}

/** Calls that run in containers which are leaving need no slot of those that stay. */
function withOwnLeases(fn: Fn, staff: readonly Container[]): Fn {
  const leased = staff.reduce((sum, container) => sum + container.leased, 0);
  return { ...fn, demand: { ...fn.demand, leased, stuck: Math.min(fn.demand.stuck, leased) } };
}

/** Nothing of the function runs or could be started: its waiting calls fail. */
export const isRefused = (fn: Fn, ready: number): boolean => ready === 0 && isHopeless(fn);

/** When the window of an idle container is over. */
export const windowEnd = (fn: Fn, idleSince: number): number => idleSince + fn.scale.scaledownWindowMs;

/** Spare containers whose window is over. */
export const idledOut = ({ fn, spare }: Crew, now: number): Container[] =>
  spare.filter((one) => now >= windowEnd(fn, one.idleSince)).map((one) => one.container);

/** Containers that had work, of which the note is old. */
export const staleBusy = ({ fn, idle }: Crew, now: number): string[] =>
  idle.flatMap(({ container, idleSince }) =>
    (idleSince === null ? now : workedAt(container)) - container.busyAt >=
        busyStaleMs(fn.scale.scaledownWindowMs)
      ? [container.id]
      : []
  );
