/** Durations as people write them ("90s", "1h30m") and as machines count them (milliseconds). */

const MS_BY_UNIT = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof MS_BY_UNIT;

/** A duration such as `"250ms"`, `"90s"`, `"10m"`, `"1h30m"` or `"2d"`. Units go from large to small. */
export type Duration = string;

const SHAPE =
  /^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/;

/** True for every text that {@link parseDuration} accepts. */
export function isDuration(text: string): boolean {
  return text !== "" && SHAPE.test(text);
}

/**
 * Milliseconds of a duration.
 *
 * @example
 * ```ts
 * import { parseDuration } from "./duration.ts";
 * import assert from "node:assert/strict";
 * assert.equal(parseDuration("1m30s"), 90_000);
 * ```
 */
export function parseDuration(text: Duration): number {
  const parts = text === "" ? null : SHAPE.exec(text);
  if (parts === null) {
    throw new TypeError(
      `Cannot read duration "${text}": expected a number and a unit, such as "90s" or "1h30m"`,
    );
  }
  const units: Unit[] = ["d", "h", "m", "s", "ms"];
  return units.reduce((sum, unit, i) => sum + Number(parts[i + 1] ?? 0) * MS_BY_UNIT[unit], 0);
}

/**
 * The shortest exact text of a duration.
 *
 * @example
 * ```ts
 * import { formatDuration } from "./duration.ts";
 * import assert from "node:assert/strict";
 * assert.equal(formatDuration(5_400_000), "1h30m");
 * ```
 */
export function formatDuration(ms: number): Duration {
  let rest = Math.round(ms);
  let text = "";
  for (const unit of ["d", "h", "m", "s", "ms"] as const) {
    const n = Math.floor(rest / MS_BY_UNIT[unit]);
    if (n > 0) text += `${n}${unit}`;
    rest -= n * MS_BY_UNIT[unit];
  }
  return text === "" ? "0s" : text;
}
