/** Waits until nothing runs any more: no container, every GPU free again. */
import { routes } from "../../protocol/routes.ts";
import { liveContainers, type Stage, until } from "./stage.ts";
import type { Outcome } from "./story.ts";
import { some } from "./words.ts";

const TO_ZERO_WITHIN_MS = 20_000;

export async function rest(stage: Stage): Promise<Outcome> {
  await until(
    stage,
    { what: "zero containers", withinMs: TO_ZERO_WITHIN_MS },
    async () => (await liveContainers(stage)).length === 0,
  );
  const { items: nodes } = await stage.client.send(routes.listNodes, {});
  const gpus = nodes.flatMap((node) => node.gpus);
  const taken = gpus.filter(({ freeMilli }) => freeMilli < 1_000).length;
  if (taken > 0) throw new Error(`${some(taken, "GPU")} are still taken, though no container runs`);
  return { what: `0 containers; ${some(gpus.length, "GPU")} free` };
}
