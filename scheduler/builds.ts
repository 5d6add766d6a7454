/**
 * Gives images that wait to be built to nodes, for as long as this process runs. Woken when one is asked for or a build has ended;
 * while any is not over it also looks by itself, for nodes that come and go.
 */
import type { Clock, Log } from "../sdk/ports.ts";
import { Alarm } from "./alarm.ts";
import { tendBuilds } from "./store/builds.ts";
import type { Pool } from "./store/connect.ts";
import type { Wakes } from "./wakes.ts";

export interface BuildsDeps {
  readonly sql: Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly wakes: Wakes;
}

const LOOK_MS = 2_000;
/** When there is nothing to build; a lost wake costs at most this. */
const IDLE_LOOK_MS = 30_000;

/** Runs until aborted; errors are logged and survived. */
export async function placeBuilds(
  { sql, clock, log, wakes }: BuildsDeps,
  signal: AbortSignal,
): Promise<void> {
  const alarm = new Alarm(clock);
  const off = wakes.on("build", "*", () => alarm.ring());
  signal.addEventListener("abort", () => alarm.ring(), { once: true });
  while (!signal.aborted) {
    alarm.reset();
    let waitMs = LOOK_MS;
    try {
      const { nodes, images, open } = await tendBuilds(sql, new Date(clock.now()));
      for (const node of nodes) wakes.wake("node", node);
      for (const image of images) wakes.wake("image", image);
      if (!open) waitMs = IDLE_LOOK_MS;
    } catch (error) {
      log("builds.failed", { message: error instanceof Error ? error.message : String(error) });
    }
    await alarm.until(clock.now() + waitMs);
  }
  off();
}
