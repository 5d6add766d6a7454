/** The whole policy on one page: from what is to what shall change. Pure; the plan leaves nothing to choose. */
import type { Failure } from "../sdk/protocol.ts";
import { type Crew, crewOf, idledOut, isRefused, staleBusy, windowEnd } from "./crew.ts";
import { deadline, dismiss, losses, overdue, unwanted } from "./leave.ts";
import type { Container, Ending, Fn, Node, Plan, Refusal, Snapshot } from "./model.ts";
import { roomOf } from "./room.ts";
import { waitingReason } from "./reasons.ts";
import { retryAt } from "./scale.ts";
import { fire } from "./schedule.ts";
import { staffCrews, type Staffing } from "./staffing.ts";

/** @param newContainerId makes the id of each container to start */
export function plan(snapshot: Snapshot, now: number, newContainerId: () => string): Plan {
  const lost = losses(snapshot, now);
  const containers = snapshot.containers.filter((container) => !lost.containers.includes(container.id));
  const nodes = snapshot.nodes.filter((node) => !lost.nodes.includes(node.id));
  const fns = new Map(snapshot.functions.map((fn) => [fn.id, fn]));

  const retired = containers.flatMap((one) => retirement(one, fns.get(one.functionId), nodes, now));
  const isStaff = (one: Container) =>
    one.desired === "run" && !retired.some((ending) => ending.container === one.id);
  const crews = snapshot.functions.map((fn) =>
    crewOf(fn, containers.filter((one) => one.functionId === fn.id), isStaff, now)
  );
  const idle = crews.flatMap((crew) => idledOut(crew, now).map((one) => dismiss(one, "idle")));

  const ending = [...retired, ...idle];
  const leaving = containers.filter((one) =>
    one.desired !== "run" || ending.some(({ container }) => container === one.id)
  );
  const room = roomOf(nodes.filter((node) => node.state === "up"), leaving);
  const staffing = staffCrews(crews, room, ending, now, newContainerId);

  return {
    lostNodes: lost.nodes,
    lostContainers: lost.containers,
    start: staffing.start,
    end: [...ending, ...staffing.evict],
    busy: crews.flatMap((crew) => staleBusy(crew, now)),
    refuse: crews.flatMap((crew) => refusal(crew, now)),
    fire: snapshot.schedules.map((schedule) => fire(schedule, now)),
    due: hasCome(snapshot.nextDueAt, now),
    expired: hasCome(snapshot.nextExpiryAt, now),
    waiting: crews.flatMap((crew) => newReason(crew, staffing, now)),
    nextWakeAt: nextWakeAt(snapshot, crews, containers, fns, now),
  };
}

/** A container that must leave whatever there is to do, or that takes too long over it. */
function retirement(container: Container, fn: Fn | undefined, nodes: readonly Node[], now: number): Ending[] {
  const late = overdue(container, fn, now);
  if (late !== null) return [late];
  const reason = unwanted(container, fn, nodes.find((node) => node.id === container.node));
  return reason === null || container.desired !== "run" ? [] : [dismiss(container, reason)];
}

/** The reason for what waits, when it is not what the last tick said. */
function newReason(crew: Crew, { start, obstacles }: Staffing, now: number): Plan["waiting"] {
  const { id, waiting } = crew.fn;
  const starting = crew.staff.length - crew.ready + start.filter((one) => one.functionId === id).length;
  const reason = waitingReason(crew, starting, obstacles.get(id), now);
  return reason === waiting ? [] : [{ functionId: id, reason }];
}

/** Calls that nothing will ever run: of a function that can't be started, or that is no more (they came back from a lease). */
function refusal({ fn, ready }: Crew, now: number): Refusal[] {
  if (fn.removed && fn.demand.queued > 0) return [{ functionId: fn.id, until: now, failure: REMOVED }];
  if (!isRefused(fn, ready)) return [];
  const { lastAt, message } = fn.startFailures!;
  return [{ functionId: fn.id, until: lastAt, failure: { kind: "start_failed", message, retryable: true } }];
}

const REMOVED: Failure = { kind: "cancelled", message: "The function was removed", retryable: false };

const hasCome = (at: number | null, now: number): boolean => at !== null && at <= now;

function nextWakeAt(
  snapshot: Snapshot,
  crews: readonly Crew[],
  containers: readonly Container[],
  fns: ReadonlyMap<number, Fn>,
  now: number,
): number | null {
  const instants = [
    snapshot.nextScheduleAt,
    snapshot.nextDueAt,
    snapshot.nextExpiryAt,
    ...snapshot.nodes.map((node) => node.leaseUntil),
    ...crews.flatMap((crew) => crew.spare.map((one) => windowEnd(crew.fn, one.idleSince))),
    ...crews.map(({ fn }) => fn.startFailures === null ? null : retryAt(fn.startFailures)),
    ...containers.map((container) => deadline(container, fns.get(container.functionId))?.at ?? null),
  ];
  return instants.reduce<number | null>(
    (next, at) => at !== null && at > now && at < (next ?? Infinity) ? at : next,
    null,
  );
}
