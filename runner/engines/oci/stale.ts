/** Which images to give up when there are too many bytes of them. Pure. */

interface Kept {
  readonly usedAt: number;
  readonly bytes: number;
}

const MIB = 1024 ** 2;

/** Least recently used first, and only as many as it takes. */
export function staleImages(
  images: Readonly<Record<string, Kept>>,
  budgetMiB: number,
  inUse: (name: string) => boolean,
): string[] {
  let over = Object.values(images).reduce((sum, { bytes }) => sum + bytes, 0) - budgetMiB * MIB;
  const oldestFirst = Object.entries(images).filter(([name]) => !inUse(name))
    .sort(([, a], [, b]) => a.usedAt - b.usedAt);
  return oldestFirst.flatMap(([name, { bytes }]) => {
    if (over <= 0) return [];
    over -= bytes;
    return [name];
  });
}
