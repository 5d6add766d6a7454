/**
 * Two weeks of made-up traffic for the keep-alive bench: people at work, in sessions, and timers. Pure, from a seed. Not fitted to any
 * trace: popularity, sessions and think times are spread as they are in the literature on both.
 */
import { dice } from "../setup/snapshots.ts";
import type { KeepCase, KeepRequest } from "./keepalive_referee.ts";

const SECOND_MS = 1_000, MINUTE_MS = 60_000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS;
const HORIZON_MS = 14 * DAY_MS;
const LOAD_MS = 20 * SECOND_MS;
const PERIODS_MS = [5 * MINUTE_MS, 15 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS];

type Chance = () => number;

/** @param scale 1 for a bench, less for a look */
export function madeUpCase(seed: number, scale: number): KeepCase {
  const { next } = dice(seed);
  const people = Array.from({ length: Math.ceil(40 * scale) }, (_, i) => sessions(`people-${i}`, next));
  const timers = Array.from({ length: Math.ceil(8 * scale) }, (_, i) => timer(`timer-${i}`, next));
  const requests = [...people, ...timers].flat().filter(({ atMs }) => atMs < HORIZON_MS);
  return { loadMs: LOAD_MS, horizonMs: HORIZON_MS, requests: requests.sort((a, b) => a.atMs - b.atMs) };
}

/** From one session in a fortnight to ten a day, in office hours mostly; within one, a minute of thought or so between requests. */
function sessions(endpoint: string, next: Chance): KeepRequest[] {
  const perDay = 0.1 * 100 ** next();
  const requests: KeepRequest[] = [];
  for (
    let at = exponential(DAY_MS / perDay / 4, next);
    at < HORIZON_MS;
    at += exponential(DAY_MS / perDay / 4, next)
  ) {
    if (next() >= busyness(at)) continue;
    const thoughtMs = 20 * SECOND_MS * 6 ** next();
    for (let t = at; next() > 0.1;) {
      const execMs = 5 * SECOND_MS + next() * 40 * SECOND_MS;
      requests.push({ endpoint, atMs: t, execMs });
      t += execMs + thoughtMs * Math.exp(1.1 * normal(next));
    }
  }
  return requests;
}

/** Office hours on weekdays are full, evenings and weekends half empty, nights all but. */
function busyness(at: number): number {
  const hour = at % DAY_MS / HOUR_MS, weekend = Math.floor(at / DAY_MS) % 7 >= 5;
  if (hour < 7 || hour >= 23) return 0.02;
  return weekend || hour < 9 || hour >= 18 ? 0.25 : 1;
}

function timer(endpoint: string, next: Chance): KeepRequest[] {
  const period = PERIODS_MS[Math.floor(next() * PERIODS_MS.length)]!;
  const phase = next() * period;
  return Array.from({ length: Math.ceil(HORIZON_MS / period) }, (_, i) => {
    const atMs = phase + i * period + next() * SECOND_MS;
    return { endpoint, atMs, execMs: 2 * SECOND_MS };
  });
}

const exponential = (mean: number, next: Chance): number => -mean * Math.log(1 - next());
const normal = (next: Chance): number =>
  Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
