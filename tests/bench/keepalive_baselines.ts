/** Keep-alive policies to compare with: a fixed window, and the hybrid histogram of "Serverless in the Wild" (ATC 2020). Pure. */
import type { Windows } from "../../scheduler/keepalive.ts";
import type { KeepAlive } from "./keepalive_referee.ts";

const MINUTE_MS = 60_000;

export const fixed = (keepMs: number): KeepAlive => ({
  request: () => {},
  idle: () => ({ prewarmMs: 0, keepMs }),
});

interface Gaps {
  idleAt: number | null;
  /** By minute, up to the range. */
  readonly bins: number[];
  /** Longer than the range. */
  beyond: number;
  /** The last of them, for want of a forecast. */
  readonly recent: number[];
}

/**
 * Where a function's idle times are concentrated (coefficient of variation of the bins above 2): unload, load at the 5th percentile
 * less 10 %, stay to the 99th and 10 % more. Where they are spread: stay for the range. Where most are beyond it: around the mean of the
 * last ones, which stands for the paper's ARIMA.
 */
export function hybrid(rangeMs: number): KeepAlive {
  const minutes = rangeMs / MINUTE_MS, all = new Map<string, Gaps>();
  const of = (endpoint: string): Gaps => {
    const gaps = all.get(endpoint) ??
      { idleAt: null, bins: Array<number>(minutes).fill(0), beyond: 0, recent: [] };
    all.set(endpoint, gaps);
    return gaps;
  };
  return {
    request(endpoint, at) {
      const gaps = of(endpoint);
      if (gaps.idleAt !== null) note(gaps, at - gaps.idleAt);
      gaps.idleAt = null;
    },
    idle(endpoint, at) {
      const gaps = of(endpoint);
      gaps.idleAt = at;
      return decided(gaps, rangeMs);
    },
  };
}

function note(gaps: Gaps, gapMs: number): void {
  const bin = Math.floor(gapMs / MINUTE_MS);
  if (bin < gaps.bins.length) gaps.bins[bin]!++;
  else gaps.beyond++;
  gaps.recent.push(gapMs);
  if (gaps.recent.length > 10) gaps.recent.shift();
}

function decided({ bins, beyond, recent }: Gaps, rangeMs: number): Windows {
  const within = bins.reduce((sum, n) => sum + n, 0);
  if (within + beyond > 0 && beyond > within) return around(recent);
  if (within === 0 || variation(bins, within) <= 2) return { prewarmMs: 0, keepMs: rangeMs };
  const head = percentile(bins, within, 0.05), tail = percentile(bins, within, 0.99) + 1;
  const prewarmMs = head === 0 ? 0 : 0.9 * head * MINUTE_MS;
  return { prewarmMs, keepMs: 1.1 * tail * MINUTE_MS - prewarmMs };
}

function around(recent: readonly number[]): Windows {
  const mean = recent.reduce((sum, ms) => sum + ms, 0) / recent.length;
  return { prewarmMs: 0.85 * mean, keepMs: 0.3 * mean };
}

function variation(bins: readonly number[], total: number): number {
  const mean = total / bins.length;
  return Math.sqrt(bins.reduce((sum, n) => sum + (n - mean) ** 2, 0) / bins.length) / mean;
}

function percentile(bins: readonly number[], total: number, share: number): number {
  let sum = 0;
  return bins.findIndex((n) => (sum += n) >= share * total);
}
