/** Which containers should wait for work: of recipes that were used, the last first, as far as the memory goes. Pure. */

export interface Kept {
  readonly key: string;
  /** Of one that waits. */
  readonly memoryMiB: number;
}

/** A function and its endpoint often start together. */
const EACH = 2;

/** How many of each recipe: one of each comes before the second of any. */
export function wantedWaiting(recent: readonly Kept[], budgetMiB: number): Map<string, number> {
  const wanted = new Map<string, number>();
  const fitting = recent.filter(({ memoryMiB }) => memoryMiB <= budgetMiB);
  let left = budgetMiB;
  for (let round = 1; round <= EACH; round++) {
    for (const { key, memoryMiB } of fitting) {
      if (memoryMiB > left) return wanted; // what was used longer ago is not preferred for being small
      left -= memoryMiB;
      wanted.set(key, round);
    }
  }
  return wanted;
}
