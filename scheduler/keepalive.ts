/**
 * For how long a function that has nothing to do stays loaded, and when it is loaded again before work comes. Pure.
 *
 * Keeping something loaded at an age of the gap is worth its idle seconds when the chance that work comes then, per second, is above
 * 1 ÷ `coldWorthMs`: the idle time that one avoided cold start is worth. So `windows` looks for the stretch of ages with the largest
 *
 *     chance of work in it  −  idle time expected in it ÷ coldWorthMs
 *
 * where the chances come from hazard.ts (people, mixed traffic) and rhythm.ts (timers). A stretch that does not begin at once
 * means: unload now, and load again in time; that costs a load more.
 */
import { AGES_S, type Day, type History } from "./arrivals.ts";
import { hazards } from "./hazard.ts";
import { type Beat, beats } from "./rhythm.ts";

export { type Day, type History, observe, observeDay, type WorkEvent } from "./arrivals.ts";

/** From the end of work: 0 ms to prewarm is to stay loaded; else unload, be loaded again then; and stay for as long as `keepMs` says. */
export interface Windows {
  readonly prewarmMs: number;
  readonly keepMs: number;
}

export interface KeepPolicy {
  /** Idle time that is worth one cold start: the knob. */
  readonly coldWorthMs: number;
  /** What a load takes, as idle time that it is worth. */
  readonly loadMs: number;
  /** When in the day there is work, of all functions. */
  readonly day: Day;
}

/**
 * Idle GPU time that is worth one cold start. On the published trace of a serverless GPU service (76 models, 13 days) this costs as
 * many idle hours as a fixed window of 10 minutes, with a sixth fewer cold starts.
 */
export const GPU_COLD_WORTH_MS = 22 * 60_000;
/** The same without a GPU. */
export const CPU_COLD_WORTH_MS = 60 * 60_000;

/** What to do at the end of a burst. */
export function windows(history: History, now: number, policy: KeepPolicy): Windows {
  const { coldWorthMs, loadMs, day } = policy;
  const cells = outlook(hazards(history, day, now), beats(history, now));
  return bestStretch(cells, 1000 / coldWorthMs, loadMs / 1000);
}

/** A stretch of ages: the chances that the gap gets there, and that it ends there, and the idle time expected there. */
interface Cell {
  readonly fromS: number;
  readonly toS: number;
  readonly reached: number;
  readonly hit: number;
  readonly idleS: number;
}

/** The gap ahead, cell by cell: it ends at a beat, or else as the hazards say. */
function outlook(rates: readonly number[], ahead: readonly Beat[]): Cell[] {
  let atBeats = ahead.reduce((sum, { chance }) => sum + chance, 0);
  let elsewhere = 1 - atBeats;
  const edges = edgesOf(ahead);
  let age = 0;
  return edges.slice(0, -1).map((fromS, i) => {
    const toS = edges[i + 1]!, seconds = toS - fromS;
    while (AGES_S[age + 1]! <= fromS) age++;
    const rate = rates[age]!, ends = elsewhere * -Math.expm1(-rate * seconds);
    const beaten = ahead.reduce((sum, beat) => sum + chanceIn(beat, fromS, toS), 0);
    const cell = {
      fromS,
      toS,
      reached: elsewhere + atBeats,
      hit: ends + beaten,
      idleS: ends / rate + (atBeats - beaten / 2) * seconds,
    };
    elsewhere -= ends;
    atBeats -= beaten;
    return cell;
  });
}

/** Those of all ages, and those of the beats. */
function edgesOf(ahead: readonly Beat[]): number[] {
  const last = AGES_S.at(-1)!;
  const beaten = ahead.flatMap(({ fromS, toS }) => [fromS, toS]).filter((s) => s < last);
  return [...new Set([...AGES_S, ...beaten])].sort((a, b) => a - b);
}

/** A beat comes anywhere in its stretch alike; no cell reaches over its edges. */
const chanceIn = ({ fromS, toS, chance }: Beat, from: number, to: number): number =>
  fromS <= from && to <= toS ? chance * (to - from) / (toS - fromS) : 0;

/** The cells in a row that are worth most (Kadane's algorithm). */
function bestStretch(cells: readonly Cell[], coldPerIdleS: number, loadS: number): Windows {
  let best = { worth: 0, fromS: 0, toS: 0 };
  let current = { worth: 0, fromS: 0 };
  for (const { fromS, toS, reached, hit, idleS } of cells) {
    const anew = fromS === 0 ? 0 : -coldPerIdleS * loadS * reached;
    if (fromS === 0 || current.worth < anew) current = { worth: anew, fromS };
    current = { ...current, worth: current.worth + hit - coldPerIdleS * idleS };
    if (current.worth > best.worth) best = { ...current, toS };
  }
  return { prewarmMs: best.fromS * 1000, keepMs: (best.toS - best.fromS) * 1000 };
}
