/**
 * The quickstart: one machine, real digits, the whole loop. Train, survive a kill, fine-tune by a schedule, classify in
 * parallel, answer HTTP from zero, go back to zero.
 *
 *     deno task quickstart
 */
import { realShell } from "../cli/main.ts";
import { Output } from "../cli/output.ts";
import { span } from "../cli/words.ts";
import type { Clock, Fetch } from "../ports.ts";
import { loadDigits } from "./digits/data.ts";
import { deploy, gpus, start } from "./quickstart/begin.ts";
import { classify } from "./quickstart/classify.ts";
import { finetune } from "./quickstart/finetune.ts";
import type { Platform } from "./quickstart/platform.ts";
import { rest } from "./quickstart/rest.ts";
import { serve } from "./quickstart/serve.ts";
import { stageOf } from "./quickstart/stage.ts";
import { Story } from "./quickstart/story.ts";
import { train } from "./quickstart/train.ts";

/** Tells the story; true when every step held. */
async function quickstart(story: Story, { clock, fetch }: { clock: Clock; fetch: Fetch }): Promise<boolean> {
  const { output } = story;
  output.print(output.paint("bold", "Berth quickstart: 10,000 handwritten digits on one machine"));
  let platform: Platform | undefined;
  let held = false;
  try {
    ({ platform } = await story.tell("start", () => start(clock)));
    await play(story, platform, fetch);
    held = true;
  } catch (error) {
    fail(story, error, platform);
  }
  await platform?.stop();
  if (held && platform) await Deno.remove(platform.dir, { recursive: true });
  return held;
}

async function play(story: Story, platform: Platform, fetch: Fetch): Promise<void> {
  const stage = stageOf(story, platform, fetch);
  const simulated = await gpus(stage);
  story.aside(simulated);
  await story.tell("deploy", () => deploy(stage));
  await story.tell("train", () => train(stage));
  const { accuracyAfter } = await story.tell("fine-tune", () => finetune(stage));
  const { heldOut } = await loadDigits();
  await story.tell("classify", () => classify(stage, heldOut, accuracyAfter));
  await story.tell("serve", () => serve(stage, heldOut));
  await story.tell("rest", () => rest(stage));
  story.output.print(`\n${story.table()}\n\n${simulated}\nEvery step held, in ${span(story.tookMs)}.`);
}

function fail({ output, step }: Story, error: unknown, platform: Platform | undefined): void {
  output.clearStatus();
  output.print(`${output.paint("red", "✗")} ${step}: ${error instanceof Error ? error.message : error}`);
  if (platform !== undefined) output.print(`  Look at ${platform.log}, which is kept`);
}

const shell = realShell();
const story = new Story(new Output(shell, false), shell.clock);
Deno.exit(await quickstart(story, shell) ? 0 : 1);
