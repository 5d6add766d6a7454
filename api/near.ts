/** Names close to one that was not found, for "did you mean". Pure. */

/** ` (did you mean "train"?)`, or what there is, or nothing: to be put behind a sentence. */
export function suggestion(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  if (near !== undefined) return `; did you mean "${near}"?`;
  if (names.length === 0) return "";
  const shown = names.slice(0, SHOWN).map((known) => `"${known}"`).join(", ");
  return `; there ${names.length === 1 ? "is" : "are"} ${shown}${names.length > SHOWN ? ", …" : ""}`;
}

const SHOWN = 8;

/** The closest of `names`, when it is close enough to be a slip of the pen. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const ranked = names
    .map((known) => ({ known, distance: distance(name.toLowerCase(), known.toLowerCase()) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(1, Math.floor(name.length / 3))
    ? best.known
    : undefined;
}

/** Edits that turn one text into the other; two neighbours swapped are one edit (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
        ? before[j - 2]! + 1
        : Infinity;
      next.push(Math.min(replaced, swapped, row[j]! + 1, next[j - 1]! + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
