/**
 * A gang: one call that runs on three nodes at once. Each rank fits a line to its own points, and after each step all take the mean
 * of their gradients, so that together they fit one line to all points. On one machine a pool brings the nodes:
 *
 *     deno task berth pools create trio --provider local --max 3 --cpu 1 --memory 1GiB
 *     deno task berth run sdk/examples/gang.ts --input '{"steps":200}'
 */
import { App, type Context } from "berth";

const app = new App("gang");

export const fit = app.function(
  { nodes: 3, permissions: { net: true } },
  async ({ steps }: { steps: number }, ctx) => {
    using ranks = await Ranks.meet(ctx);
    const points = pointsOf(ctx.rank);
    let [slope, offset] = [0, 0];
    for (let step = 1; step <= steps; step++) {
      const [toSlope, toOffset, loss] = await ranks.mean(gradient(points, slope, offset));
      slope -= 0.5 * toSlope!;
      offset -= 0.5 * toOffset!;
      ctx.report({ step, loss: loss! }); // of the ranks' reports, those of rank 0 are kept
    }
    ctx.log(`fitted ${points.length} points`); // of the ranks' logs, all are
    return { slope, offset, ranks: ctx.worldSize };
  },
);

/** Points near y = 3x + 2, other ones on each rank. */
const pointsOf = (rank: number): { x: number; y: number }[] =>
  Array.from({ length: 100 }, (_, i) => {
    const x = ((i * 7 + rank * 31) % 100) / 50 - 1;
    return { x, y: 3 * x + 2 + 0.02 * Math.sin(i * 12.9898 + rank * 78.233) };
  });

/** Of the mean square error by slope and offset, and the error itself. */
function gradient(points: readonly { x: number; y: number }[], slope: number, offset: number): number[] {
  const sums = [0, 0, 0];
  for (const { x, y } of points) {
    const error = slope * x + offset - y;
    for (const [k, term] of [error * x, error, error ** 2].entries()) sums[k]! += term / points.length;
  }
  return sums;
}

/** Connections between the ranks: rank 0 has one to each other, they have one to it. What runs on GPUs would use NCCL. */
class Ranks implements Disposable {
  readonly #conns: readonly Deno.Conn[];
  readonly #leads: boolean;

  private constructor(conns: readonly Deno.Conn[], leads: boolean) {
    this.#conns = conns;
    this.#leads = leads;
  }

  /** Rank 0 listens where the platform says; the others find it there. Ends with the call's signal, as all that waits should. */
  static async meet({ rank, worldSize, gang, signal }: Context): Promise<Ranks> {
    const conns: Deno.Conn[] = [];
    if (rank > 0) conns.push(await connect(gang!, signal));
    else if (worldSize > 1) {
      using listener = Deno.listen({ port: gang!.masterPort });
      const stop = () => listener.close();
      signal.addEventListener("abort", stop);
      while (conns.length < worldSize - 1) conns.push(await listener.accept());
      signal.removeEventListener("abort", stop);
    }
    const ranks = new Ranks(conns, rank === 0);
    signal.addEventListener("abort", () => ranks[Symbol.dispose]());
    return ranks;
  }

  /** The mean over all ranks; each gives its numbers and gets the same back. */
  async mean(mine: readonly number[]): Promise<number[]> {
    if (!this.#leads) {
      await send(this.#conns[0]!, mine);
      return await receive(this.#conns[0]!, mine.length);
    }
    const all = [mine, ...await Promise.all(this.#conns.map((conn) => receive(conn, mine.length)))];
    const mean = mine.map((_, k) => all.reduce((sum, one) => sum + one[k]!, 0) / all.length);
    await Promise.all(this.#conns.map((conn) => send(conn, mean)));
    return mean;
  }

  [Symbol.dispose](): void {
    for (const conn of this.#conns) {
      try {
        conn.close();
      } catch { /* it was */ }
    }
  }
}

/** Ranks begin at about the same time: rank 0 may not listen yet. */
async function connect(gang: NonNullable<Context["gang"]>, signal: AbortSignal): Promise<Deno.Conn> {
  for (;;) {
    try {
      return await Deno.connect({ hostname: gang.masterAddress, port: gang.masterPort });
    } catch (error) {
      if (signal.aborted || !(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

async function send(conn: Deno.Conn, numbers: readonly number[]): Promise<void> {
  const bytes = new Uint8Array(Float64Array.from(numbers).buffer);
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

async function receive(conn: Deno.Conn, count: number): Promise<number[]> {
  const bytes = new Uint8Array(count * 8);
  for (let at = 0; at < bytes.length;) {
    const n = await conn.read(bytes.subarray(at));
    if (n === null) throw new Error("Cannot go on: another rank has left");
    at += n;
  }
  return [...new Float64Array(bytes.buffer)];
}
