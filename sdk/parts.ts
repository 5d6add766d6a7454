/** Large files go up in parts, several at a time. Pure. */

/** A part of a file, and where it goes. */
export interface FilePart<To> {
  readonly to: To;
  readonly from: number;
  readonly size: number;
}

/** Parts on their way at a time: more gain little on one line, and each may be in memory. */
const AT_ONCE = 3;

/** Sends a file of `size` bytes by `send`, a part for each place; answers what it said of each, in order. */
export async function sendParts<To, Said>(
  places: readonly To[],
  { size, partBytes, send }: {
    readonly size: number;
    readonly partBytes: number;
    readonly send: (part: FilePart<To>) => Promise<Said>;
  },
): Promise<Said[]> {
  const said: Said[] = [];
  let next = 0;
  const sendSome = async () => {
    while (next < places.length) {
      const i = next++;
      const from = i * partBytes;
      said[i] = await send({ to: places[i]!, from, size: Math.min(partBytes, size - from) });
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, sendSome));
    return said;
  } finally {
    next = places.length; // one has failed: the others begin no more
  }
}
