/** Times, sizes and shares as people say them. Pure. */

const STEPS = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "m"], [1_000, "s"]] as const;

/** `340 ms`, `2.4 s`, `3m 20s`, `2h 5m`: two units at most. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const [size, unit] = STEPS.find(([size]) => ms >= size)!;
  const [less, lessUnit] = STEPS[STEPS.findIndex((step) => step[0] === size) + 1]!;
  const rest = Math.floor((ms % size) / less);
  return `${Math.floor(ms / size)}${unit}${rest === 0 ? "" : ` ${rest}${lessUnit}`}`;
}

/** `12s ago`, `in 3m`, `now`. */
export function relativeTime(at: string | null, now: number): string {
  if (at === null) return "–";
  const ms = now - Date.parse(at);
  const [size, unit] = STEPS.find(([size]) => Math.abs(ms) >= size) ?? [0, ""];
  if (size === 0) return "now";
  const text = `${Math.floor(Math.abs(ms) / size)}${unit}`;
  return ms > 0 ? `${text} ago` : `in ${text}`;
}

/** `512 MiB`, `1.5 GiB` */
export function memory(mib: number): string {
  return mib < 1_024 ? `${mib} MiB` : `${trim(mib / 1_024)} GiB`;
}

/** `12 B`, `3.4 MiB`: of so many bytes. */
export function size(bytes: number): string {
  const step = Math.max(0, SIZES.findLastIndex(([least]) => bytes >= least));
  const [least, unit] = SIZES[step]!;
  return `${least === 1 ? bytes : (bytes / least).toFixed(1)} ${unit}`;
}
const SIZES = [[1, "B"], [2 ** 10, "KiB"], [2 ** 20, "MiB"], [2 ** 30, "GiB"]] as const;

/** Without needless digits: `0.5`, `2`. */
export const trim = (n: number): string => String(Math.round(n * 1000) / 1000);

/** `1 call`, `2 calls` */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;
