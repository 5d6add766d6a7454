/**
 * From training to serving by name: each training publishes a version, an alias says which one is served, and every version
 * knows the call that made it.
 *
 *     deno task berth deploy sdk/examples/artifacts.ts
 *     deno task berth call artifacts/train --input '{"slope":3}'
 *     deno task berth artifact alias line production 1
 *     curl http://localhost:7878/e/artifacts/predict?x=2
 *     deno task berth artifact ls line
 */
import { App, type ContainerContext, type Context, endpoint, enter } from "berth";

const app = new App("artifacts");

interface Line {
  readonly slope: number;
  readonly offset: number;
}

/** Fits a line to noisy points, and publishes it. */
export const train = app.function({ retries: 2 }, async (input: { slope: number }, ctx: Context) => {
  const points = Array.from({ length: 50 }, (_, x) => ({ x, y: input.slope * x + 1 + Math.sin(x * 7) / 9 }));
  let line: Line = { slope: 0, offset: 0 };
  for (let step = 0; step < 4_000 && !ctx.signal.aborted; step++) line = better(line, points);
  const { name, version } = await ctx.artifact("line", new TextEncoder().encode(JSON.stringify(line)));
  ctx.log(`published ${name}@${version}`);
  return { version, slope: line.slope };
});

/** Serves the version that `production` pointed at when its container started. */
@app.cls({ scale: { scaledownWindow: "2s" } })
export class Predictor {
  #line?: Line;

  @enter()
  async load(ctx: ContainerContext) {
    this.#line = JSON.parse(new TextDecoder().decode(await ctx.artifact("line@production")));
  }

  @endpoint({ name: "predict", auth: "public" })
  predict(request: Request) {
    const x = Number(new URL(request.url).searchParams.get("x") ?? 0);
    const { slope, offset } = this.#line!;
    return Response.json({ x, y: slope * x + offset });
  }
}

/** One step of gradient descent. */
function better({ slope, offset }: Line, points: readonly { x: number; y: number }[]): Line {
  const errors = points.map(({ x, y }) => ({ x, by: slope * x + offset - y }));
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    slope: slope - 0.001 * mean(errors.map(({ x, by }) => x * by)),
    offset: offset - 0.05 * mean(errors.map(({ by }) => by)),
  };
}
