/** Why the calls and requests of a function wait, in words for a person. Pure. */
import type { Crew } from "./crew.ts";
import { retryAt } from "./scale.ts";

/** What placing found out about a function that lacks containers. */
export type Obstacle = { readonly kind: "blocked"; readonly reason: string } | {
  readonly kind: "soon";
  readonly evicted: number;
};

/** With a container ready, a call that waited for less than this is about to be claimed and needs no reason. */
const SOON_MS = 1_000;

/** The reason, or null when nothing waits. */
export function waitingReason(
  crew: Crew,
  starting: number,
  obstacle: Obstacle | undefined,
  now: number,
): string | null {
  const { queued, requestsHeld, queuedSince, heldSince } = crew.fn.demand;
  if (queued === 0 && requestsHeld === 0) return null;
  if (crew.fn.removed) return "the function was removed";
  if (crew.ready === 0 && crew.fn.startFailures !== null) return failing(crew, starting);
  if (starting > 0) return "a container is starting";
  if (obstacle !== undefined) return hindered(crew, obstacle);
  return now - Math.min(queuedSince ?? now, heldSince ?? now) < SOON_MS ? null : busy(crew);
}

function failing({ fn }: Crew, starting: number): string {
  const { count, message, lastAt } = fn.startFailures!;
  const next = starting > 0
    ? "trying again"
    : `next try at ${new Date(retryAt({ count, message, lastAt })).toISOString()}`;
  return `the last ${count === 1 ? "start" : `${count} starts`} failed: ${message}; ${next}`;
}

function hindered({ staff }: Crew, obstacle: Obstacle): string {
  const reason = obstacle.kind === "blocked"
    ? obstacle.reason
    : obstacle.evicted > 0
    ? "another container gives way to it"
    : "waits for a container that is leaving";
  return staff.length === 0 ? reason : `${containers(staff.length)} busy; for another: ${reason}`;
}

function busy({ fn, staff }: Crew): string {
  const limit = staff.length >= fn.scale.max ? ` and scale.max is ${fn.scale.max}` : "";
  return `${containers(staff.length)} busy${limit}`;
}

const containers = (n: number): string => n === 1 ? "1 container is" : `${n} containers are`;
