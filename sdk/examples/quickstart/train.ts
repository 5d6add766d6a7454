/** Trains, and kills the process that does it in the midst of its work: the next attempt goes on from the last checkpoint. */
import { type EventItem, Function } from "berth";
import type { train as declared } from "../digits.ts";
import { busiestGuest } from "./processes.ts";
import { APP, check, type Stage } from "./stage.ts";
import type { Outcome } from "./story.ts";
import { lossOf, TrainingBar } from "./training_bar.ts";
import { count } from "./words.ts";

const INPUT = { epochs: 16, digits: 3_000 };
const KILL_AFTER = 7;

export async function train(stage: Stage): Promise<Outcome> {
  const call = await Function.fromName<typeof declared>(APP, "train", { client: stage.client }).spawn(INPUT);
  const { killedAfter, resumedAfter = 0, loss } = await watch(stage, call.events());
  const { learnt, attempt, device } = await call.result();
  const { usage } = await call.status();

  check(killedAfter !== undefined, "The training ended before its process could be killed");
  check(attempt === 2, `The call succeeded in attempt ${attempt}: expected 2, one killed and one resumed`);
  check(
    resumedAfter >= killedAfter,
    `Attempt 2 began after epoch ${resumedAfter}: the checkpoint of epoch ${killedAfter} was lost`,
  );
  const cut = `killed after epoch ${killedAfter}, resumed after ${resumedAfter}`;
  return {
    what: `${count(learnt)} digits, ${INPUT.epochs} epochs on ${device}, loss ${loss}; ${cut}`,
    gpuSeconds: usage.gpuSeconds,
  };
}

interface Watched {
  killedAfter?: number;
  resumedAfter?: number;
  loss?: string;
}

/** Shows what the training tells, and kills it once. */
async function watch({ story, platform }: Stage, events: AsyncIterable<EventItem>): Promise<Watched> {
  const watched: Watched = {};
  const bar = new TrainingBar(story);
  for await (const event of events) {
    bar.show(event);
    if (event.kind !== "report") continue;
    const epoch = Number(event.step);
    watched.loss = lossOf(event);
    if (event.attempt > 1) watched.resumedAfter ??= epoch - 1;
    if (watched.killedAfter !== undefined || epoch < KILL_AFTER) continue;
    const pid = await busiestGuest(platform.pid);
    Deno.kill(pid, "SIGKILL");
    watched.killedAfter = epoch;
    story.aside(`kill -9 ${pid}: that was the process that trains, after epoch ${epoch}`);
  }
  return watched;
}
