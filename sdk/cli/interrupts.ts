/** Ctrl-C. `deno task` passes on to its child what the terminal has already sent to both, so one press may come twice. */
import type { Clock } from "../ports.ts";

/** Signals closer than this are one press. */
const ONE_PRESS_MS = 500;

/** Which press a signal belongs to. Pure. */
export class Presses {
  #pressedAt: number | undefined;

  /** What the signal that comes at `now` is. */
  signal(now: number): "first" | "again" | "same" {
    const since = this.#pressedAt === undefined ? Infinity : now - this.#pressedAt;
    if (since < ONE_PRESS_MS) return "same";
    this.#pressedAt = now;
    return since === Infinity ? "first" : "again";
  }
}

/** Calls `first` at the first Ctrl-C and `again` at each further one, until what it returns is called. */
export function onInterrupt(clock: Clock, first: () => void, again: () => void): () => void {
  const presses = new Presses();
  const listener = () => {
    const press = presses.signal(clock.now());
    if (press === "first") first();
    if (press === "again") again();
  };
  Deno.addSignalListener("SIGINT", listener);
  return () => Deno.removeSignalListener("SIGINT", listener);
}
