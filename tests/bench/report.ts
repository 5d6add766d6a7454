/** What a bench found, and how it is shown. Pure. */
import { type Column, table } from "../../sdk/cli/table.ts";

/** One measured thing beside its baseline. */
export interface Finding {
  /** Letter and name: `a map`. */
  readonly bench: string;
  readonly what: string;
  /** As a person reads it: `31,200 calls/s`. */
  readonly value: string;
  /** Measured in the same run. */
  readonly baseline: string;
  readonly target: string;
  readonly ok: boolean;
  /** All numbers, for machines. */
  readonly figures: Readonly<Record<string, number>>;
  /** More lines for people. */
  readonly notes?: readonly string[];
}

const COLUMNS: readonly Column<Finding>[] = [
  { title: "", text: ({ ok }) => ok ? "✓" : "✗" },
  { title: "bench", text: ({ bench }) => bench },
  { title: "what", text: ({ what }) => what },
  { title: "measured", text: ({ value }) => value },
  { title: "baseline", text: ({ baseline }) => baseline },
  { title: "target", text: ({ target }) => target },
];

/** Findings as a table, with notes under it. */
export function report(findings: readonly Finding[]): string {
  const notes = findings.flatMap(({ bench, notes = [] }) => notes.map((note) => `${bench}: ${note}`));
  return [table(findings, COLUMNS, { columns: Infinity, strong: (text) => text }), "", ...notes].join("\n");
}

/** The value below which a share of the samples lies. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`;
export const perSecond = (value: number, unit: string): string =>
  `${Math.round(value).toLocaleString("en-US")} ${unit}/s`;
/** `1,234/s [1,100–1,300]` */
export const spread = (samples: readonly number[], unit: string): string =>
  `${perSecond(median(samples), unit)} [${
    [Math.min(...samples), Math.max(...samples)].map((x) => Math.round(x)).join("–")
  }]`;
