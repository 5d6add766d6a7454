/** Removing what is left of a container: tried until it is done, since engines go away, and refuse while they are busy with it. */
import type { Clock, Log } from "../../../sdk/ports.ts";
import { backoffMs } from "../../api.ts";
import { EngineAway } from "./http.ts";

export interface RemovalDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** The engine is given up; what is left then is swept by the next runner. */
  readonly closing: AbortSignal;
}

/** What an engine refuses now it mostly does a moment later: Podman says no while a container ends. */
const TRIES_AT_ONCE = 8;

/** Tries again what an engine refuses for the moment. */
export async function patiently(clock: Clock, remove: () => Promise<void>): Promise<void> {
  for (let tries = 0;; tries++) {
    try {
      return await remove();
    } catch (error) {
      if (error instanceof EngineAway || tries === TRIES_AT_ONCE) throw error;
    }
    await clock.sleep(backoffMs(tries));
  }
}

/**
 * Resolves when it is done. When the engine is away, or goes on refusing, it is done as soon as that is over, and nobody waits.
 *
 * @param name of what is removed, for the log
 */
export async function persistently(
  deps: RemovalDeps,
  name: string,
  remove: () => Promise<void>,
): Promise<void> {
  try {
    await patiently(deps.clock, remove);
  } catch (error) {
    deps.log("oci.remove_failed", { container: name, error: String(error) });
    later(deps, remove);
  }
}

async function later({ clock, closing }: RemovalDeps, remove: () => Promise<void>): Promise<void> {
  for (let tries = 0; !closing.aborted; tries++) {
    await clock.sleep(backoffMs(tries), closing);
    if (closing.aborted || await remove().then(() => true, () => false)) return;
  }
}
