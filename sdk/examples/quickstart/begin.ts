/** The first two steps: a platform on this machine, and the app on it. */
import { fileURLToPath } from "node:url";
import type { Clock } from "../../ports.ts";
import { routes } from "../../protocol/routes.ts";
import { setPaused } from "./finetune.ts";
import { type Platform, startPlatform } from "./platform.ts";
import { type Stage, until } from "./stage.ts";
import type { Outcome } from "./story.ts";
import { some } from "./words.ts";

const FILE = fileURLToPath(new URL("../digits.ts", import.meta.url));
const SIMULATED = "2xH100:80GiB";
const NODE_WITHIN_MS = 10_000;

/** Starts a platform, with simulated GPUs where the machine has none. */
export async function start(clock: Clock): Promise<Outcome & { platform: Platform }> {
  const args = await hasGpus() ? [] : ["--simulate-gpus", SIMULATED];
  const platform = await startPlatform({ clock, args });
  return { what: `a platform of its own at ${platform.url}, PostgreSQL and runner included`, platform };
}

/** Says what the machine has, plainly. */
export async function gpus(stage: Stage): Promise<string> {
  const node = await until(
    stage,
    { what: "a node", withinMs: NODE_WITHIN_MS },
    async () => (await stage.client.send(routes.listNodes, {})).items.find(({ state }) => state === "up"),
  );
  const names = [...new Set(node.gpus.map(({ model }) => model))].join(", ");
  return node.gpus.some(({ simulated }) => simulated)
    ? `GPUs are SIMULATED: ${node.gpus.length} × ${names} are counted and packed like real ones; the work runs on the CPU`
    : `${some(node.gpus.length, "GPU")}: ${names}`;
}

/** Deploys the app as a user does, and stops its schedule until its step comes. */
export async function deploy(stage: Stage): Promise<Outcome> {
  const deployed = await stage.platform.berth("deploy", FILE) as {
    functions: string[];
    endpoints: { name: string }[];
  };
  await setPaused(stage, true);
  const endpoints = deployed.endpoints.map(({ name }) => name).join(", ");
  return { what: `digits.ts: ${deployed.functions.join(", ")}; endpoint ${endpoints}` };
}

async function hasGpus(): Promise<boolean> {
  try {
    return (await new Deno.Command("nvidia-smi", { args: ["-L"], stdout: "null", stderr: "null" }).output())
      .success;
  } catch {
    return false; // there is no such program
  }
}
