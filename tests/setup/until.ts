/** Waiting for a condition instead of for a time. */

/** Asks `look` until it gives something other than null, and fails, naming the condition, when that takes too long. */
export async function until<T>(
  what: string,
  look: () => Promise<T | null> | T | null,
  withinMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  while (true) {
    const seen = await look();
    if (seen !== null) return seen;
    if (performance.now() > deadline) throw new Error(`Waited ${withinMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** The same for a plain condition. */
export async function untilTrue(
  what: string,
  look: () => Promise<boolean> | boolean,
  withinMs?: number,
): Promise<void> {
  await until(what, async () => await look() ? true : null, withinMs);
}
