/** Lets the schedule fire: what it calls finds the digits that have arrived since the training, and learns them. */
import type { CallHandle } from "berth";
import type { Schedule } from "../../protocol/nodes.ts";
import { routes } from "../../protocol/routes.ts";
import { APP, check, type Stage, until } from "./stage.ts";
import type { Outcome } from "./story.ts";
import { TrainingBar } from "./training_bar.ts";
import { count, percent } from "./words.ts";

const FIRE_WITHIN_MS = 10_000;

interface Tuned {
  readonly learnt: number;
  readonly before?: number;
  readonly after?: number;
}

/** The accuracy that the fine-tune measured is handed on, for the next step to confirm. */
export async function finetune(stage: Stage): Promise<Outcome & { accuracyAfter: number }> {
  const { client, story } = stage;
  const earlier = new Set(await callIds(stage));
  const { id, cron } = await setPaused(stage, false);
  const fired = await until(
    stage,
    { what: `a call of the schedule "${cron}"`, withinMs: FIRE_WITHIN_MS },
    async () => {
      return (await callIds(stage)).find((id) => !earlier.has(id));
    },
  );
  await setPaused(stage, true);
  story.aside(`schedule ${id} fired: ${fired}`);

  const call: CallHandle<Tuned> = client.call(fired);
  const bar = new TrainingBar(story);
  for await (const event of call.events()) bar.show(event);
  const { learnt, before = 0, after = 0 } = await call.result();
  check(learnt > 0, "The scheduled fine-tune found nothing to learn");
  check(
    after > before,
    `Fine-tuning did not help: accuracy ${percent(before)} before, ${percent(after)} after`,
  );
  const { usage } = await call.status();
  return {
    what: `cron "${cron}" fired; learnt ${count(learnt)} digits that had arrived meanwhile`,
    gpuSeconds: usage.gpuSeconds,
    accuracy: `${percent(before)} → ${percent(after)}`,
    accuracyAfter: after,
  };
}

/** Pauses or resumes the app's schedule. */
export async function setPaused({ client }: Stage, paused: boolean): Promise<Schedule> {
  const { items: [schedule] } = await client.send(routes.listSchedules, { app: APP });
  check(schedule !== undefined, "The deployed app has no schedule");
  return await client.send(paused ? routes.pauseSchedule : routes.resumeSchedule, { id: schedule.id });
}

async function callIds({ client }: Stage): Promise<string[]> {
  const { items } = await client.send(routes.listCalls, { app: APP, function: "finetune", limit: 100 });
  return items.map(({ id }) => id);
}
