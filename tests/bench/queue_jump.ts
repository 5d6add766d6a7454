/** (g) A slow call never holds up those that were sent ahead to its container while another container is free. */
import { fromName } from "../../sdk/handle.ts";
import type { nap } from "./app.ts";
import { type Finding, ms, quantile } from "./report.ts";
import { took } from "./times.ts";
import type { World } from "./world.ts";

const SLOW_MS = 3_000;
const QUICK = 40;
const QUICK_MS = 1;

export async function queueJump({ client }: World): Promise<Finding> {
  const handle = fromName<typeof nap>("bench", "nap", { client });
  const run = (inputs: number[]) => ends(handle.map(inputs, { order: "completion", onError: "yield" }));

  // Both containers up, and so many quick calls that the platform dares to send many ahead.
  await took(() => run(Array(4).fill(200)));
  for (let i = 0; i < 3; i++) await run(Array(500).fill(QUICK_MS));
  const alone = quantile([...await run(Array(QUICK).fill(QUICK_MS))].map(([, at]) => at), 1);
  const mixed = await run([SLOW_MS, ...Array(QUICK).fill(QUICK_MS)]);
  mixed.delete(0);
  const last = quantile([...mixed.values()], 1);
  return {
    bench: "g queue jump",
    what: `${QUICK} quick calls behind one of ${SLOW_MS / 1_000} s, last result`,
    value: ms(last),
    baseline: `${ms(alone)}: without the slow one`,
    target: `< ${SLOW_MS / 2_000} s`,
    ok: last < SLOW_MS / 2,
    figures: { last, alone, slow: SLOW_MS },
  };
}

/** When each input's call ended, in milliseconds from the start. */
async function ends(settled: AsyncIterable<{ index: number; status: string }>): Promise<Map<number, number>> {
  const startedAt = performance.now();
  const ends = new Map<number, number>();
  for await (const { index, status } of settled) {
    if (status !== "fulfilled") throw new Error(`Cannot measure: call ${index} failed`);
    ends.set(index, performance.now() - startedAt);
  }
  return ends;
}
