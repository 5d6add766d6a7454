/** The next instant at which a plan would change by itself. Pure. */
import { changesAt } from "./crew.ts";
import { brokenSince, REGANG_MS } from "./gangs.ts";
import { deadline } from "./leave.ts";
import type { Container, Fn, Snapshot } from "./model.ts";
import { retryAt } from "./scale.ts";
import type { Team } from "./team.ts";

interface Sources {
  readonly snapshot: Snapshot;
  readonly teams: readonly Team[];
  readonly containers: readonly Container[];
  readonly fns: ReadonlyMap<number, Fn>;
  readonly poolsAt: number | null;
}

export function nextWakeAt(sources: Sources, now: number): number | null {
  let next = Infinity;
  for (const at of instants(sources, now)) {
    if (at !== null && at > now && at < next) next = at;
  }
  return next === Infinity ? null : next;
}

function* instants(
  { snapshot, teams, containers, fns, poolsAt }: Sources,
  now: number,
): Generator<number | null> {
  yield snapshot.nextScheduleAt;
  yield snapshot.nextDueAt;
  yield snapshot.nextExpiryAt;
  yield snapshot.nextLoadAt;
  yield poolsAt;
  for (const { leaseUntil } of snapshot.nodes) yield leaseUntil;
  for (const { crew, staff } of teams) {
    yield* changesAt(crew, now);
    const { fn } = crew;
    if (fn.startFailures !== null) yield retryAt(fn.startFailures);
    for (const { gang, missing } of staff) if (missing.length > 0) yield brokenSince(gang!) + REGANG_MS;
  }
  for (const one of containers) yield deadline(one, fns.get(one.functionId))?.at ?? null;
}
