/** Asks an endpoint that has no container: the first answer is the cold one, those after it are warm. */
import type { Digit } from "../digits/data.ts";
import { APP, check, liveContainers, type Stage, until } from "./stage.ts";
import type { Outcome } from "./story.ts";
import { ms } from "./words.ts";

const WARM_REQUESTS = 50;
const TO_ZERO_WITHIN_MS = 20_000;

export async function serve(stage: Stage, digits: readonly Digit[]): Promise<Outcome> {
  await until(
    stage,
    { what: "the end of all containers of Digits", withinMs: TO_ZERO_WITHIN_MS },
    async () => (await liveContainers(stage, "Digits")).length === 0,
  );
  const [first, ...rest] = digits.slice(0, 1 + WARM_REQUESTS) as [Digit, ...Digit[]];
  const cold = await ask(stage, first);
  const warm: Asked[] = [];
  for (const digit of rest) warm.push(await ask(stage, digit));
  const right = [cold, ...warm].filter((asked) => asked.right).length;
  check(right > 0.8 * (1 + WARM_REQUESTS), `Only ${right} of ${1 + WARM_REQUESTS} answers were right`);
  const median = warm.map(({ tookMs }) => tookMs).sort((a, b) => a - b)[WARM_REQUESTS / 2]!;
  return {
    what: `POST /e/${APP}/classify from zero containers, then ${WARM_REQUESTS} more; ${right} answers right`,
    latency: `cold ${ms(cold.tookMs)}, warm p50 ${ms(median)}`,
  };
}

interface Asked {
  readonly right: boolean;
  readonly tookMs: number;
}

async function ask({ fetch, platform: { url, key } }: Stage, { label, pixels }: Digit): Promise<Asked> {
  const body = JSON.stringify([...pixels]);
  const startedAt = performance.now();
  const response = await fetch(`${url}/e/${APP}/classify`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body,
  });
  const text = await response.text();
  const tookMs = performance.now() - startedAt;
  check(response.ok, `The endpoint answered ${response.status}: ${text}`);
  return { right: JSON.parse(text).digit === label, tookMs };
}
