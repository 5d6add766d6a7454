/** Which containers should be made ahead: of recipes that were used, the last first. Pure. */

export interface Kept {
  readonly key: string;
  /** Of one that waits. */
  readonly memoryMiB: number;
}

/** A function and its endpoint often start together. */
const EACH = 2;

/** How many of each recipe should wait for work, as far as the memory goes: one of each comes before the second of any. */
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

/** One that is created takes neither memory nor CPU: only a folder, and a place in the engine's list. */
const CREATED_MAX = 8;

/** Recipes of which one should be created and no more: those used last of which none is to wait. */
export function wantedCreated(
  recent: readonly Pick<Kept, "key">[],
  waiting: ReadonlyMap<string, number>,
): Set<string> {
  const others = recent.map(({ key }) => key).filter((key) => !waiting.has(key));
  return new Set(others.slice(0, CREATED_MAX));
}
