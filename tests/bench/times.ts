/** Taking the time. */
import type { Clock } from "../../sdk/ports.ts";

/** Milliseconds of each of `n` runs, one after the other. */
export async function times(
  { clock }: { readonly clock: Clock },
  n: number,
  run: () => Promise<void>,
  pauseMs = 0,
): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < n; i++) {
    if (pauseMs > 0) await clock.sleep(pauseMs);
    samples.push(await took(run));
  }
  return samples;
}

/** Milliseconds of one run. */
export async function took(run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await run();
  return performance.now() - startedAt;
}
