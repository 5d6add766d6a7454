/** When a waiting call should start, as far as the past allows to tell. Pure. */

/** What a tick found out about the queue of a function. */
export interface Outlook {
  /** Calls that are worked on at a time, or will be; null when that is not known. */
  readonly slots: number | null;
  /** Mean time of a call. */
  readonly callMs: number | null;
  /** When the slots are there. */
  readonly startsAt: number | null;
}

/** @param position calls that go before it */
export function queueEta({ slots, callMs, startsAt }: Outlook, position: number, now: number): number | null {
  if (slots === null || slots <= 0 || startsAt === null) return null;
  const turns = Math.floor(position / slots);
  if (turns > 0 && callMs === null) return null;
  return Math.max(startsAt, now) + turns * (callMs ?? 0);
}

/** A line of one concurrency key, all places of which are taken. */
export interface KeyLine {
  readonly places: number;
  /** Calls with the key that go before. */
  readonly before: number;
  readonly callMs: number | null;
}

/** When a call of a key should have its place: not before a whole call has passed, since nobody knows how far those are that run. */
export function keyEta({ places, before, callMs }: KeyLine, now: number): number | null {
  return callMs === null ? null : now + (Math.floor(before / places) + 1) * callMs;
}
