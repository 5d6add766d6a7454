/** Which of what is kept to give up when there are too many bytes of it: images, installed packages. Pure. */

interface Kept {
  readonly usedAt: number;
  readonly bytes: number;
}

const MIB = 1024 ** 2;

/** Least recently used first, and only as many as it takes. */
export function staleOnes(
  kept: Readonly<Record<string, Kept>>,
  budgetMiB: number,
  inUse: (name: string) => boolean,
): string[] {
  let over = Object.values(kept).reduce((sum, { bytes }) => sum + bytes, 0) - budgetMiB * MIB;
  const oldestFirst = Object.entries(kept).filter(([name]) => !inUse(name))
    .sort(([, a], [, b]) => a.usedAt - b.usedAt);
  return oldestFirst.flatMap(([name, { bytes }]) => {
    if (over <= 0) return [];
    over -= bytes;
    return [name];
  });
}
