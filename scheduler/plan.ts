/** The whole policy on one page: from what is to what shall change. Pure; the plan leaves nothing to choose. */
import type { Failure } from "../sdk/protocol.ts";
import { takeNotes } from "./activity.ts";
import { type Crew, isRefused, rescaled, staleBusy } from "./crew.ts";
import type { NewId, Staffing } from "./draft.ts";
import { freePorts, withGangWork } from "./gangs.ts";
import { dismiss, losses, overdue, unwanted } from "./leave.ts";
import type { Container, Ending, Fn, Node, Plan, Refusal, Snapshot } from "./model.ts";
import { mixOf } from "./mix.ts";
import { nextWakeAt } from "./next_wake.ts";
import { poolPlan } from "./pools.ts";
import { news } from "./reasons.ts";
import { roomOf } from "./room.ts";
import { fire } from "./schedule.ts";
import { accountsOf, usageNotes } from "./share.ts";
import { staffTeams } from "./staffing.ts";
import { givenUp, idledOut, relieved, type Team, teamsOf } from "./team.ts";

export function plan(snapshot: Snapshot, now: number, newId: NewId): Plan {
  const lost = losses(snapshot, now);
  const containers = withGangWork(snapshot.containers.filter(({ id }) => !lost.containers.has(id)));
  const nodes = new Map(
    snapshot.nodes.filter(({ id }) => !lost.nodes.has(id)).map((node) => [node.id, node]),
  );
  const fns = new Map(snapshot.functions.map((fn) => [fn.id, fn]));

  // Who must leave whatever there is to do.
  const retired = containers.flatMap((one) =>
    retirement(one, fns.get(one.functionId), nodes.get(one.node), now)
  );
  // What each function has, wants and lacks; and who has been idle for too long. Calls that are lost with a node come back.
  const teams = teamsOf(snapshot, containers, retired, nodes, now);
  const returning = new Set(callsOf(snapshot.containers.filter(({ id }) => lost.containers.has(id))));
  const idle = teams.filter(({ crew }) => !returning.has(crew.fn.id)).flatMap((team) => idledOut(team, now));
  // Who gets what in turn, and who gives way.
  const leaving = leavingOf(containers, [...retired, ...idle]);
  const room = () =>
    roomOf([...nodes.values()].filter(({ state }) => state === "up"), leaving, mixOfTeams(teams));
  const accounts = accountsOf(snapshot, containers, leaving, now);
  const ports = freePorts(snapshot.gangs);
  const staffing = staffTeams({ teams, room, accounts, leaving, fns, ports, now, newId });
  // What has no room: nodes to ask for; and nodes that nobody needs.
  const pools = poolPlan({
    snapshot,
    unplaced: staffing.unplaced,
    wanting: teams.filter((team) => isWanting(team, staffing)).map(({ crew }) => crew.fn),
    occupied: staffing.occupied,
    now,
    newId: () => newId("prov"),
  });
  const starting = Map.groupBy(staffing.start, ({ functionId }) => functionId);
  const { notes, days, kept } = takeNotes(teams.map(({ crew }) => crew), snapshot.workspaces, now);

  return {
    lostNodes: [...lost.nodes],
    lostContainers: [...lost.containers],
    gangs: staffing.gangs,
    start: staffing.start,
    end: [
      ...retired,
      ...idle,
      ...staffing.end,
      ...givenUp(staffing.stuck, now),
      ...teams.flatMap((team) => {
        const { id } = team.crew.fn;
        return relieved(team, staffing.obstacles.get(id), starting.get(id)?.length ?? 0);
      }),
    ],
    ask: pools.ask,
    release: pools.release,
    drainNodes: pools.drainNodes,
    usage: usageNotes(accounts.values(), now),
    busy: teams.flatMap(({ crew }) => staleBusy(crew, now)),
    notes,
    days,
    scalings: [...kept, ...teams.flatMap(({ crew }) => rescaled(crew, now))],
    refuse: teams.flatMap(({ crew }) => refusal(crew, now)),
    fire: snapshot.schedules.map((schedule) => fire(schedule, now)),
    due: hasCome(snapshot.nextDueAt, now),
    expired: hasCome(snapshot.nextExpiryAt, now),
    waiting: teams.flatMap((team) => news(team, staffing, pools, now)),
    nextWakeAt: nextWakeAt({ snapshot, teams, containers, fns, poolsAt: pools.wakeAt }, now),
  };
}

/** It lacks containers, and its workspace may have more. */
const isWanting = ({ crew }: Team, { obstacles }: Staffing): boolean =>
  crew.lacking > 0 && obstacles.get(crew.fn.id)?.kind !== "limited";

/** Functions that had calls in these containers. */
const callsOf = (containers: readonly Container[]): number[] =>
  containers.filter(({ leased }) => leased > 0).map(({ functionId }) => functionId);

const mixOfTeams = (teams: readonly Team[]) =>
  mixOf(teams.map(({ crew: { fn, staff, lacking } }) => ({ fn, containers: staff.length + lacking })));

/** A container that must leave whatever there is to do, or that takes too long over it. */
function retirement(container: Container, fn: Fn | undefined, node: Node | undefined, now: number): Ending[] {
  const late = overdue(container, fn, now);
  if (late !== null) return [late];
  const reason = container.desired === "run" ? unwanted(container, fn, node) : null;
  return reason === null ? [] : [dismiss(container, reason)];
}

function leavingOf(containers: readonly Container[], ending: readonly Ending[]): Container[] {
  const ended = new Set(ending.map(({ container }) => container));
  return containers.filter(({ id, desired }) => desired !== "run" || ended.has(id));
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
