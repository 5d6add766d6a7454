/** The production keep-alive policy, with the histories of many endpoints in memory. Pure. */
import { type Day, type History, observe, observeDay, windows } from "../../scheduler/keepalive.ts";
import type { KeepAlive } from "./keepalive_referee.ts";

/** What `windows` is asked about, as it was at each end of a burst. */
export interface Known {
  readonly history: History;
  readonly day: Day;
}

export function berthPolicy(
  { coldWorthMs, loadMs }: { coldWorthMs: number; loadMs: number },
  look?: (endpoint: string, at: number, known: Known) => void,
): KeepAlive {
  const histories = new Map<string, History>();
  let day: Day | null = null;
  return {
    request(endpoint, at) {
      const before = histories.get(endpoint) ?? null;
      const after = observe(before, { kind: "work", at });
      if (after === before) return;
      histories.set(endpoint, after);
      day = observeDay(day, at);
    },
    idle(endpoint, at) {
      const history = observe(histories.get(endpoint) ?? null, { kind: "idle", at });
      histories.set(endpoint, history);
      look?.(endpoint, at, { history, day: day! });
      return windows(history, at, { coldWorthMs, loadMs, day: day! });
    },
  };
}
