/** Many no-op calls through real guests, read in order: what benches a and g measure. */
import { fromName } from "../../sdk/handle.ts";
import type { noop } from "./app.ts";
import { took } from "./times.ts";
import type { World } from "./world.ts";

/** Maps `n` inputs, checks each result and its place, and returns calls per second. */
export async function drain({ client }: World, n: number, app = "bench"): Promise<number> {
  const handle = fromName<typeof noop>(app, "noop", { client });
  const inputs = Array.from({ length: n }, (_, i) => i);
  let next = 0;
  const elapsed = await took(async () => {
    for await (const result of handle.map(inputs)) {
      if (result !== next) throw new Error(`Cannot go on: call ${next} returned ${result}`);
      next++;
    }
  });
  if (next !== n) throw new Error(`Cannot go on: ${n - next} of ${n} calls are missing`);
  return n * 1_000 / elapsed;
}
