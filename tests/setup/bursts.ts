/** Histories of functions, from the times at which they had work. Pure. */
import { type Day, type History, observe, observeDay } from "../../scheduler/keepalive.ts";

export interface Known {
  readonly history: History;
  readonly day: Day;
}

/** What is known after bursts that began at these times, each with work for `busyMs`. The last one has ended. */
export function after(starts: readonly number[], busyMs = 1_000): Known {
  let history: History | null = null, day: Day | null = null;
  for (const at of starts) {
    history = observe(observe(history, { kind: "work", at }), { kind: "idle", at: at + busyMs });
    day = observeDay(day, at);
  }
  return { history: history!, day: day! };
}

/** `n` times, `everyMs` apart. */
export const every = (everyMs: number, n: number, from: number): number[] =>
  Array.from({ length: n }, (_, i) => from + i * everyMs);
