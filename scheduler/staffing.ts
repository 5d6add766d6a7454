/**
 * Giving the crews the containers that they lack, in order, as far as there is room. Pure.
 *
 * Idle containers beyond what their function wants give way to any function with calls or requests that wait. And nobody is shut
 * out: for a function without any container, a busy one drains (it ends what it has) if its function has others, or when it has
 * been there for a turn of {@link TURN_MS} and the other has waited for as long. Neither happens to work of higher priority.
 */
import type { Crew } from "./crew.ts";
import { dismiss } from "./leave.ts";
import type { Container, Ending, Fn, Start } from "./model.ts";
import { type Claimant, inOrder } from "./order.ts";
import { place } from "./place.ts";
import type { Obstacle } from "./reasons.ts";
import type { Room } from "./room.ts";

/** How long functions that don't fit beside one another have the room before they take turns. */
export const TURN_MS = 30_000;

/** Held requests are as urgent as a call of the default priority. */
const REQUEST_PRIORITY = 50;

export interface Staffing {
  readonly start: readonly Start[];
  /** Containers that give way. */
  readonly evict: readonly Ending[];
  /** What keeps a function from containers it lacks. */
  readonly obstacles: ReadonlyMap<number, Obstacle>;
}

type Asking = Claimant & { readonly fn: Fn };

/**
 * A function that was blocked once asks no more in this tick: what it needs stays the same.
 *
 * @param ending containers that leave anyway
 */
export function staffCrews(
  crews: readonly Crew[],
  empty: Room,
  ending: readonly Ending[],
  now: number,
  newContainerId: () => string,
): Staffing {
  const start: Start[] = [], evict: Ending[] = [], obstacles = new Map<number, Obstacle>();
  const leaving = new Set(ending.map((one) => one.container));
  let room = empty;
  for (const asking of inOrder(crews.flatMap(claimants))) {
    const { fn } = asking;
    if (obstacles.get(fn.id)?.kind === "blocked") continue;
    const placement = place({
      need: fn.need,
      hasBundle: (node) =>
        crews.some(({ staff }) => staff.some((one) => one.node === node && one.digest === fn.digest)),
      mayLeave: [idleOnes(asking, crews, leaving), busyOnes(asking, crews, leaving, now)],
    }, room);
    if (placement.kind === "blocked") {
      obstacles.set(fn.id, placement);
      continue;
    }
    room = placement.room;
    if (placement.kind === "soon") {
      for (const one of placement.evicted) {
        leaving.add(one.id);
        evict.push(dismiss(one, `gives way to ${fn.app}/${fn.name}`));
      }
      obstacles.set(fn.id, { kind: "soon", evicted: placement.evicted.length });
    } else {
      const { node, gpus } = placement;
      start.push({ id: newContainerId(), ...terms(fn), node: node.id, session: node.session, gpus });
    }
  }
  return { start, evict, obstacles };
}

/** One for each container that the crew lacks. Without calls or requests that wait, it comes after all that have some. */
function claimants({ fn, staff, leaving, lacking }: Crew): Asking[] {
  const { demand, lastExitAt } = fn;
  const oldest = Math.min(demand.queuedSince ?? Infinity, demand.heldSince ?? Infinity);
  // The oldest of many calls is always old: what counts is since when nobody serves them.
  const since = Math.max(oldest, lastExitAt ?? 0);
  const claimant = { fn, functionId: fn.id, priority: since === Infinity ? -1 : priorityOf(fn), since };
  return Array.from({ length: lacking }, (_, i) => ({ ...claimant, nth: staff.length + leaving + i }));
}

const priorityOf = ({ demand }: Fn): number =>
  Math.max(
    demand.queued > 0 ? demand.priority : 0,
    demand.requestsHeld + demand.requests > 0 ? REQUEST_PRIORITY : 0,
  );

/** Containers that are only kept warm, the longest idle first. */
function idleOnes({ since }: Asking, crews: readonly Crew[], leaving: ReadonlySet<string>): Container[] {
  if (since === Infinity) return [];
  return crews.flatMap((crew) => crew.spare)
    .filter(({ container }) => !leaving.has(container.id))
    .sort((a, b) => a.idleSince - b.idleSince)
    .map(({ container }) => container);
}

/** Containers with work that make place for a function that has none, the largest crew and the oldest container first. */
function busyOnes(
  { since, nth, priority }: Asking,
  crews: readonly Crew[],
  leaving: ReadonlySet<string>,
  now: number,
): Container[] {
  if (since === Infinity || nth > 0) return [];
  return crews
    .filter(({ fn }) => priorityOf(fn) <= priority)
    .toSorted((a, b) => b.staff.length - a.staff.length)
    .flatMap(({ fn, staff, spare }) => {
      const idle = new Set(spare.map(({ container }) => container.id));
      const busy = staff
        .filter(({ id, observed }) => observed === "ready" && !leaving.has(id) && !idle.has(id))
        .toSorted((a, b) => a.createdAt - b.createdAt);
      const tired = now - since < TURN_MS ? [] : busy.filter((one) => now - one.createdAt >= TURN_MS);
      const shared = busy.slice(0, Math.max(0, busy.length - Math.max(1, fn.scale.min)));
      return tired.length > shared.length ? tired.slice(0, busy.length - fn.scale.min) : shared;
    });
}

const terms = (fn: Fn): Pick<Start, "functionId" | "deployment" | "cpuMilli" | "memoryMiB" | "reason"> => ({
  functionId: fn.id,
  deployment: fn.deployment,
  cpuMilli: fn.need.cpuMilli,
  memoryMiB: fn.need.memoryMiB,
  reason: startReason(fn),
});

function startReason({ demand: { queued, requestsHeld, leased, requests } }: Fn): string {
  if (queued > 0) return queued === 1 ? "1 call waits" : `${queued} calls wait`;
  if (requestsHeld > 0) return requestsHeld === 1 ? "1 request waits" : `${requestsHeld} requests wait`;
  return leased + requests > 0 ? "spare for the present load" : "kept by scale.min";
}
