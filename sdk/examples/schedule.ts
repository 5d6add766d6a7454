/**
 * Functions that nobody calls: the clock does. Two ways to say it, for functions and for methods.
 *
 *     deno task berth deploy sdk/examples/schedule.ts
 *     deno task berth schedules
 *     deno task berth delete schedule      # when you have seen enough
 */
import { App, type Context, Cron, cron, method } from "berth";

const app = new App("schedule");

/** Every morning in Seoul, wherever the machines are. */
export const report = app.function(
  { schedule: Cron("0 7 * * *", { timeZone: "Asia/Seoul", input: { kind: "daily" } }) },
  (input: { kind: string }, ctx: Context) => {
    ctx.log(`the ${input.kind} report of ${ctx.callId}`);
    return { reported: input.kind };
  },
);

@app.cls({ scale: { max: 1 } })
export class Counter {
  #ticks = 0;

  /** Six fields start with the second: this is every five seconds. */
  @cron("*/5 * * * * *")
  tick() {
    return ++this.#ticks;
  }

  @method()
  ticks() {
    return this.#ticks;
  }
}
