/**
 * How likely work is to come, by how long there has been none. Pure.
 *
 * The hazard (the chance per second, given that nothing came before) is log-linear in what history tells, with weights that change
 * with the age of the gap: minutes after work, the last quarter of an hour says most; hours after it, the time of day. The weights
 * are those of functions in general (hazard_weights.ts); what is known of this function comes in as terms, and outweighs them as
 * it grows.
 */
import { AGES_S, burstsAt, CELLS, type Day, type History } from "./arrivals.ts";
import { BASE, BASE_AGES_S, TYPICAL, WEIGHT_AGES_S, WEIGHTS } from "./hazard_weights.ts";

const HOUR_S = 3_600;
/** Gaps of other functions that count as much as those seen of this one. */
const PRIOR_GAPS = 2;
/** Bursts spread like everybody's that count as much as those seen in a day's profile; and evenly spread ones for everybody's. */
const PRIOR_BURSTS = 1.2;
const PRIOR_DAY_BURSTS = 24;
/** By how much hours of the day blur into one another. */
const BLUR_HOURS = 0.7;
/** Stands for a quiet that never was: three days ago. */
const NEVER = 12;

/** For each cell of {@link AGES_S}, the chance per second. */
export function hazards(history: History, day: Day, now: number): number[] {
  const told = terms(history, day, now);
  return told.map((row, cell) => {
    const log = row.reduce((sum, value, i) => sum + value * dot(WEIGHTS[i]!, AGE_PARTS[cell]!), 0);
    return Math.exp(Math.max(-25, Math.min(2, log + dot(BASE, BASE_PARTS[cell]!))));
  });
}

/** What history tells, by cell, in the order of {@link WEIGHTS}. */
export function terms(history: History, day: Day, now: number): number[][] {
  const lately = burstsAt(history, now).map((n) => Math.log(0.01 + n));
  const { quietEnds } = history;
  const quiets = [1, 4].map((n) => sinceQuiet(quietEnds[quietEnds.length - n], now));
  return MIDDLES_S.map((ageS, cell) => {
    const hour = (now / 1000 + ageS) / HOUR_S;
    const everybody = relative(day, hour, PRIOR_DAY_BURSTS, 1);
    const own = relative(history.day, hour, PRIOR_BURSTS, everybody);
    return [...lately, Math.log(ownHazard(history, cell)), Math.log(own), ...quiets, Math.log(everybody)];
  });
}

const sinceQuiet = (end: number | undefined, now: number): number =>
  end === undefined ? NEVER : Math.log(1 + Math.max(0, now - end) / 1000);

/** Of this function's gaps, how often one ended at that age; with too few, that of gaps in general. */
function ownHazard({ ended, spent }: History, cell: number): number {
  const near = [cell - 1, cell, cell + 1].filter((i) => i >= 0 && i < CELLS);
  const total = (some: readonly number[]) => near.reduce((sum, i) => sum + some[i]!, 0);
  return (total(ended) + PRIOR_GAPS) / (total(spent) + PRIOR_GAPS / TYPICAL[cell]!);
}

/** Work at an hour of the day, relative to an even spread. */
function relative({ hours }: Day, hour: number, prior: number, expected: number): number {
  const total = hours.reduce((sum, n) => sum + n, 0);
  return (blurred(hours, hour) * 24 + prior * expected) / (total + prior);
}

function blurred(hours: readonly number[], hour: number): number {
  const at = Math.floor(hour);
  let sum = 0, weights = 0;
  for (let near = at - 2; near <= at + 2; near++) {
    const weight = Math.exp(-0.5 * ((near + 0.5 - hour) / BLUR_HOURS) ** 2);
    sum += weight * hours[(near + 24) % 24]!;
    weights += weight;
  }
  return sum / weights;
}

const dot = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((sum, x, i) => sum + x * b[i]!, 0);

/** How much each knot has of an age: between two of them, the nearer one more (on the scale of logarithms). */
export function parts(ageS: number, knotsS: readonly number[]): number[] {
  const at = Math.log(1 + ageS), knots = knotsS.map((s) => Math.log(1 + s));
  const last = knots.length - 1;
  return knots.map((knot, i) => {
    if (at <= knot) return i === 0 ? 1 : Math.max(0, (at - knots[i - 1]!) / (knot - knots[i - 1]!));
    return i === last ? 1 : Math.max(0, (knots[i + 1]! - at) / (knots[i + 1]! - knot));
  });
}

/** The middle of each cell on the scale of logarithms. */
const MIDDLES_S = AGES_S.slice(0, -1).map((s, i) => Math.sqrt((s + 1) * (AGES_S[i + 1]! + 1)) - 1);
export const AGE_PARTS = MIDDLES_S.map((s) => parts(s, WEIGHT_AGES_S));
export const BASE_PARTS = MIDDLES_S.map((s) => parts(s, BASE_AGES_S));
