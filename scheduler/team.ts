/** A function's crew as the planner deals with it: its containers by what takes calls as one. Pure. */
import * as crews from "./crew.ts";
import { type Crew, crewOf } from "./crew.ts";
import { brokenSince, REGANG_MS, type Unit, unitsOf } from "./gangs.ts";
import { dismiss, NODE_DRAINS } from "./leave.ts";
import type { Container, Ending, Node, Snapshot } from "./model.ts";
import type { Obstacle } from "./reasons.ts";

export interface Team {
  readonly crew: Crew;
  /** The units of the crew's staff. */
  readonly staff: readonly Unit[];
  /** Containers that leave once others have taken their place: their node drains. */
  readonly moving: readonly Container[];
}

/** @param retired containers that leave by this plan */
export function teamsOf(
  snapshot: Snapshot,
  containers: readonly Container[],
  retired: readonly Ending[],
  nodes: ReadonlyMap<string, Node>,
  now: number,
): Team[] {
  const ended = new Set(retired.map(({ container }) => container));
  const gangs = new Map(snapshot.gangs.map((gang) => [gang.id, gang]));
  const isOn = (one: Container) => one.desired === "run" && !ended.has(one.id);
  const moves = (one: Container) => isOn(one) && nodes.get(one.node)!.state === "draining";
  const live = new Set(containers.map(({ id }) => id));
  const lost = snapshot.containers.filter(({ id, gang }) => gang !== null && !live.has(id));
  const byFunction = Map.groupBy(containers, (one) => one.functionId);
  return snapshot.functions.map((fn) => {
    const own = byFunction.get(fn.id) ?? [];
    const units = unitsOf(own, gangs, (one) => isOn(one) && !moves(one), lost);
    const staff = units.filter((unit) => unit.staying.length > 0);
    const ids = new Set(staff.map(({ whole }) => whole.id));
    const crew = crewOf(fn, units.map(({ whole }) => whole), ({ id }) => ids.has(id), now);
    return { crew, staff, moving: own.filter(moves) };
  });
}

/** Those that were idle beyond what is wanted for their window. A gang leaves as a whole. */
export function idledOut({ crew, staff }: Team, now: number): Ending[] {
  const out = new Set(crews.idledOut(crew, now).map(({ id }) => id));
  if (out.size === 0) return [];
  return staff.filter(({ whole }) => out.has(whole.id)).flatMap(({ staying }) =>
    staying.map((one) => dismiss(one, "idle"))
  );
}

/**
 * Those on draining nodes whose place others have taken, or take now where `max` leaves no room for both, or for whom there will be no
 * other. A rank of a gang goes at once: another can have its rank only when it has left.
 *
 * @param starting containers of the function that start by this plan
 */
export function relieved({ crew, moving }: Team, obstacle: Obstacle | undefined, starting: number): Ending[] {
  if (moving.length === 0) return [];
  const { fn, staff, ready, wanted } = crew;
  const stuck = (obstacle !== undefined && obstacle.kind !== "soon") || fn.startFailures !== null;
  const enough = ready + moving.length - wanted;
  const over = staff.length + moving.length + starting - fn.scale.max;
  const atOnce = moving.filter((one) => one.gang !== null || one.observed !== "ready").length;
  return moving
    .toSorted((a, b) => Number(a.gang === null) - Number(b.gang === null) || rank(a) - rank(b))
    .slice(0, stuck ? moving.length : Math.max(atOnce, enough, over))
    .map((one) => dismiss(one, NODE_DRAINS));
}

const rank = ({ observed, leased }: Container): number => observed === "ready" ? leased + 1 : 0;

/** Gangs that have had no room for a rank for too long. */
export const givenUp = (stuck: readonly Unit[], now: number): Ending[] =>
  stuck.filter(({ gang }) => now - brokenSince(gang!) >= REGANG_MS).flatMap(({ staying }) =>
    staying.map((one) => dismiss(one, "its gang lost a rank, and there is no room for another"))
  );
