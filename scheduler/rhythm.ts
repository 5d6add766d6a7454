/**
 * Work that comes at a fixed beat: timers, cron jobs, pollers. Pure.
 *
 * How likely an interval comes again is told as in a Pitman–Yor process: of `n` intervals, one seen `m` times has a chance of
 * (m − {@link DISCOUNT}) ÷ (n + {@link STRENGTH}), and the rest is the chance of something new. So what never repeated says next to nothing
 * (0.1 of n + 0.5), what came twice in a row a little less than half, and what came sixteen times 0.92.
 */
import type { History } from "./arrivals.ts";

/** When the next burst may come: at an age of the gap between `from` and `to`, with that chance. */
export interface Beat {
  readonly fromS: number;
  readonly toS: number;
  readonly chance: number;
}

const DISCOUNT = 0.9;
const STRENGTH = 0.5;
/** Intervals this close are the same one, and so much is allowed for around what was seen: a second, and half a percent. */
const SLACK_S = 1;
const SLACK_SHARE = 0.005;

/** The beats that are still to come, in the order of their ages. */
export function beats({ intervals, burstAt }: History, now: number): Beat[] {
  const elapsedS = (now - burstAt) / 1000;
  const all = alike(intervals.map((ms) => ms / 1000)).map((seen) => beat(seen, intervals.length, elapsedS));
  const missed = sum(all.filter(({ toS }) => toS <= 0));
  return all.filter(({ toS }) => toS > 0).map((one) => ({
    fromS: Math.max(0, one.fromS),
    toS: one.toS,
    chance: one.chance / (1 - missed),
  }));
}

const sum = (some: readonly Beat[]): number => some.reduce((total, { chance }) => total + chance, 0);

/** Intervals in groups of those that are the same. */
function alike(intervalsS: readonly number[]): number[][] {
  const groups: number[][] = [];
  for (const s of intervalsS.toSorted((a, b) => a - b)) {
    const group = groups.at(-1);
    if (group !== undefined && s - group.at(-1)! <= 2 * slackS(s)) group.push(s);
    else groups.push([s]);
  }
  return groups;
}

const slackS = (intervalS: number): number => SLACK_S + SLACK_SHARE * intervalS;

/** The more often it came, the better its spread is known. */
function beat(seen: readonly number[], n: number, elapsedS: number): Beat {
  const low = seen[0]!, high = seen.at(-1)!, m = seen.length;
  const slack = SLACK_S + SLACK_SHARE * high / Math.sqrt(m) + (high - low) / m;
  return {
    fromS: low - slack - elapsedS,
    toS: high + slack - elapsedS,
    chance: (m - DISCOUNT) / (n + STRENGTH),
  };
}
