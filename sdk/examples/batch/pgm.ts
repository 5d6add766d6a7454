/** Pictures of 28 × 28 grey values in the binary form of PGM. */

const SIDE = 28;
const HEADER = new TextEncoder().encode(`P5\n${SIDE} ${SIDE}\n255\n`);

export const toPgm = (pixels: Uint8Array): Uint8Array => new Uint8Array([...HEADER, ...pixels]);

/** The grey values, row by row. */
export function fromPgm(bytes: Uint8Array): Uint8Array {
  const isOurs = HEADER.every((byte, i) => bytes[i] === byte);
  if (isOurs && bytes.length === HEADER.length + SIDE ** 2) return bytes.subarray(HEADER.length);
  throw new TypeError(`expected a PGM of ${SIDE} × ${SIDE} grey values, got ${bytes.length} bytes`);
}
