/** Classifies all held-out digits by a map over several containers, and counts how many are read rightly. */
import { Function } from "berth";
import type { Call } from "../../protocol/calls.ts";
import { routes } from "../../protocol/routes.ts";
import type { Digit } from "../digits/data.ts";
import { APP, check, type Stage } from "./stage.ts";
import type { Outcome } from "./story.ts";
import { count, percent, some } from "./words.ts";

/** One picture a call: enough calls for several containers to share, however quickly the first one is there. */
const PER_CALL = 1;
/** Who ran a call is asked of every so many calls. */
const SAMPLE = 20;
const CONTAINERS_MIN = 2;
const WANTED_ACCURACY = 0.93;
/** By which the calls of this step are found again. */
const TAG = { step: "classify" };

type Classify = (pictures: number[][]) => number[];

/** @param expected what the fine-tune said of the same digits */
export async function classify(stage: Stage, digits: readonly Digit[], expected: number): Promise<Outcome> {
  const { client } = stage;
  const handle = Function.fromName<Classify>(APP, "Digits.classify", { client, tags: TAG });
  const answers: number[] = [];
  for await (const some of handle.map(batches(digits))) answers.push(...some);

  const right = digits.filter(({ label }, i) => answers[i] === label).length;
  const accuracy = right / digits.length;
  check(answers.length === digits.length, `${answers.length} of ${digits.length} digits were answered`);
  check(
    accuracy >= WANTED_ACCURACY,
    `Accuracy is ${percent(accuracy)}: expected at least ${percent(WANTED_ACCURACY)}`,
  );
  check(
    Math.abs(accuracy - expected) < 0.01,
    `Accuracy is ${percent(accuracy)}, but the fine-tune measured ${
      percent(expected)
    }: an old model was served`,
  );
  const { calls, containers, gpuSeconds } = await whoDidIt(stage);
  check(containers >= CONTAINERS_MIN, `All calls ran in ${some(containers, "container")}: expected several`);
  return {
    what: `${count(digits.length)} held-out digits in ${some(calls, "call")}, by ${
      some(containers, "container")
    }`,
    gpuSeconds,
    accuracy: percent(accuracy),
  };
}

function* batches(digits: readonly Digit[]): Generator<number[][]> {
  for (let i = 0; i < digits.length; i += PER_CALL) {
    yield digits.slice(i, i + PER_CALL).map(({ pixels }) => [...pixels]);
  }
}

async function whoDidIt(
  { client }: Stage,
): Promise<{ calls: number; containers: number; gpuSeconds: number }> {
  const calls: Call[] = [];
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const asked = { app: APP, tag: "step:classify", limit: 500, ...(cursor === undefined ? {} : { cursor }) };
    const page = await client.send(routes.listCalls, asked);
    calls.push(...page.items);
    cursor = page.nextCursor;
  }
  const sample = calls.filter((_, i) => i % SAMPLE === 0);
  const attempts = await Promise.all(sample.map(({ id }) => client.send(routes.listAttempts, { id })));
  return {
    calls: calls.length,
    containers: new Set(attempts.flatMap(({ items }) => items.map(({ container }) => container))).size,
    gpuSeconds: calls.reduce((sum, { usage }) => sum + usage.gpuSeconds, 0),
  };
}
