/**
 * Where the numbers of scheduler/hazard_weights.ts come from: a Poisson regression of when gaps end on what the production code
 * knows when they begin (`terms`). Cases of the keep-alive benchmark on stdin, one after another; how many gaps of each count, as
 * arguments. Times that are only known to the minute are spread over it. `terms` rest on TYPICAL, so a change of cases is fitted twice.
 *
 *     cat PEOPLE.jsonl MACHINES.jsonl | deno run -A tests/bench/keepalive_fit.ts 10000 2000
 */
import { AGES_S, secondsIn } from "../../scheduler/arrivals.ts";
import { AGE_PARTS, BASE_PARTS, terms } from "../../scheduler/hazard.ts";
import { parseLines } from "../../sdk/lines.ts";
import { dice } from "../setup/snapshots.ts";
import { berthPolicy, type Known } from "./keepalive_policy.ts";
import { judge, type KeepCase, type KeepRequest } from "./keepalive_referee.ts";
import { poisson, type Sample } from "./poisson.ts";

interface Gap {
  readonly atMs: number;
  readonly known: Known;
  /** Null: it lasted to the end. */
  readonly endMs: number | null;
}

const MINUTE_MS = 60_000;
const FIXED = { prewarmMs: 0, keepMs: 10 * MINUTE_MS };
/** Of a term's weights, towards zero; the base is free. */
const RIDGE = 3;

/** What each gap began with, and when it ended. */
function gapsOf(kase: KeepCase): Gap[] {
  const gaps: Gap[] = [], open = new Map<string, Omit<Gap, "endMs">>();
  const berth = berthPolicy({ coldWorthMs: MINUTE_MS, loadMs: 0 }, (endpoint, atMs, known) => {
    open.set(endpoint, { atMs, known });
  });
  judge(kase, {
    request(endpoint, atMs) {
      const gap = open.get(endpoint);
      if (gap !== undefined) gaps.push({ ...gap, endMs: atMs });
      open.delete(endpoint);
      berth.request(endpoint, atMs);
    },
    idle: (endpoint, atMs) => (berth.idle(endpoint, atMs), FIXED),
  });
  return [...gaps, ...[...open.values()].map((gap) => ({ ...gap, endMs: null }))];
}

/** What a gap says, one sample for each age that it reached. */
function samplesOf({ atMs, known: { history, day }, endMs }: Gap, horizonMs: number): Sample[] {
  const seconds = Math.max(0, ((endMs ?? horizonMs) - atMs) / 1000);
  return terms(history, day, atMs).flatMap((row, cell) => {
    if (seconds < AGES_S[cell]!) return [];
    const x = [...BASE_PARTS[cell]!, ...row.flatMap((value) => AGE_PARTS[cell]!.map((part) => value * part))];
    const ended = endMs !== null && seconds < AGES_S[cell + 1]!;
    return [{ x, count: Number(ended), exposure: secondsIn(cell, seconds) }];
  });
}

/** Every gap of a case in its turn, until there are as many as shall count. */
const thinned = <T>(all: readonly T[], n: number): T[] =>
  all.filter((_, i) => Math.floor((i + 1) * n / all.length) > Math.floor(i * n / all.length));

function typical(gaps: readonly Gap[], horizonMs: number): number[] {
  return AGES_S.slice(0, -1).map((from, cell) => {
    let ended = 0.1, spent = 200;
    for (const { atMs, endMs } of gaps) {
      const seconds = ((endMs ?? horizonMs) - atMs) / 1000;
      spent += secondsIn(cell, seconds);
      if (endMs !== null && seconds >= from && seconds < AGES_S[cell + 1]!) ended++;
    }
    return ended / spent;
  });
}

type Line =
  | { readonly type: "case"; readonly load_s: number; readonly horizon_s: number }
  | { readonly type: "request"; readonly endpoint: string; readonly at: number; readonly exec: number };

function casesOf(lines: readonly Line[]): KeepCase[] {
  const cases: (KeepCase & { readonly requests: KeepRequest[] })[] = [];
  for (const line of lines) {
    if (line.type === "case") {
      cases.push({ loadMs: line.load_s * 1000, horizonMs: line.horizon_s * 1000, requests: [] });
    } else {
      const { endpoint, at, exec } = line;
      cases.at(-1)!.requests.push({ endpoint, atMs: at * 1000, execMs: exec * 1000 });
    }
  }
  return cases.map((one) => one.requests.every(({ atMs }) => atMs % MINUTE_MS === 0) ? spread(one) : one);
}

function spread({ requests, ...rest }: KeepCase): KeepCase {
  const { next } = dice(1);
  const moved = requests.map((one) => ({ ...one, atMs: one.atMs + next() * MINUTE_MS }));
  return { ...rest, requests: moved.sort((a, b) => a.atMs - b.atMs) };
}

const text = (await new Response(Deno.stdin.readable).text()).trimEnd();
const cases = casesOf(parseLines<Line>(text));
const gaps = cases.map(gapsOf);
const samples = gaps.flatMap((all, i) => {
  const chosen = thinned(all, Math.min(all.length, Number(Deno.args[i] ?? Infinity)));
  return chosen.flatMap((gap) => samplesOf(gap, cases[i]!.horizonMs));
});
const base = BASE_PARTS[0]!.length, knots = AGE_PARTS[0]!.length;
const weights = poisson(samples, (i) => i < base ? 0.001 : RIDGE).map((w) => Number(w.toFixed(3)));
const rows = Array.from(
  { length: (weights.length - base) / knots },
  (_, i) => weights.slice(base + i * knots, base + (i + 1) * knots),
);
console.log("TYPICAL", typical(gaps[0]!, cases[0]!.horizonMs).map((rate) => Number(rate.toPrecision(3))));
console.log("BASE", weights.slice(0, base));
console.log("WEIGHTS", rows);
