/**
 * Work that fills idle GPUs and gives way: a training that saves what it has when something more important needs its place, and
 * goes on from there when there is room again.
 *
 *     deno task berth up --simulate-gpus 1xL4:24GiB
 *     deno task berth deploy sdk/examples/preemptible.ts
 *     deno task berth call preemptible/train --input '{"epochs":100}' --priority 10 --follow
 *     deno task berth call preemptible/answer --input 20 --priority 90      # in a second terminal, meanwhile
 */
import { App } from "berth";

const app = new App("preemptible");
const GPU = { gpu: "any", cpu: 0.1 } as const;

export const train = app.function(
  { ...GPU, preemptible: true, preemptNotice: "20s", timeout: "1h" },
  async (input: { epochs: number }, ctx) => {
    const saved = await ctx.checkpoint.load(); // what an attempt that gave way has left
    let epoch = saved?.[0] ?? 0;
    ctx.onPreempt(({ deadlineMs }) => ctx.log("giving way", { epoch, deadlineMs }));
    for (; epoch < input.epochs; epoch++) {
      if (ctx.signal.aborted) { // its reason is a PreemptedError, unless the call was cancelled
        await ctx.checkpoint.save(new Uint8Array([epoch]));
        throw ctx.signal.reason;
      }
      ctx.report({ step: epoch, loss: 1 / (epoch + 1) });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return { epochs: epoch, attempts: ctx.attempt };
  },
);

export const answer = app.function(GPU, (n: number) => n + 22);
