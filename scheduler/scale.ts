/**
 * How many containers a function should have. Pure: a function of the demand and of the containers, without memory.
 *
 * **Slots.** Each request of an endpoint needs a slot. Calls need slots by how long they take:
 *
 * | what is known | slots for `n` calls that wait or run |
 * |---|---|
 * | calls last `d` on average, shorter than `targetWait` | `n × d ÷ targetWait`, at least one: the queue is empty in about that time |
 * | calls last longer than that | `n`: one each |
 * | none has ended, `n` fits into `max` containers | `n`: a few calls expect to run side by side |
 * | none has ended, `n` is more (a bulk map) | of {@link BULK_START} containers, until one ends or is {@link BULK_WAIT_MS} old: then the rows above, `n` |
 * | calls in leases older than {@link STUCK_MS} | one each, whatever `d` is |
 *
 * So 50,000 calls of a millisecond get a few containers, not `max`: starting ten guests would take longer than the work. And a
 * bulk map of long calls waits for a quarter of a second, which is less than any of its calls takes.
 *
 * **Containers** are the slots over `targetConcurrency`, and `buffer` more while there is any load, between `min` and `max`. They start in
 * the tick that sees the load. An idle one stays for `scaledownWindow` after its last work, or as predicted (crew.ts).
 *
 * **Failed starts.** When a container could not start, the next attempt waits 1 s, then 2 s, 4 s … 60 s, one container at a time.
 * After {@link GIVE_UP_COUNT} in a row, the calls that waited for the last of them fail with what it said: a module that throws on import
 * throws for everybody. Later calls are tried again once the wait is over.
 */
import type { Container, Demand, Fn, Scale, StartFailures } from "./model.ts";

/** Containers for a bulk of calls of which nothing is known. Two, so that one slow start does not hold up all. */
export const BULK_START = 2;
/** A call of a bulk that has run for this long is not a short one. */
export const BULK_WAIT_MS = 250;
/** Failed starts in a row after which waiting calls fail. */
export const GIVE_UP_COUNT = 3;

const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;

/** What scaling looks at. */
export type Load = Pick<Fn, "removed" | "scale" | "demand">;

/** Containers that the function should have now, ready or on the way. */
export function wantedContainers(fn: Load, now: number): number {
  if (fn.removed) return 0;
  const { min, max, buffer } = fn.scale;
  const needed = neededContainers(fn, now);
  return Math.min(max, Math.max(min, needed === 0 ? 0 : needed + buffer));
}

/** Containers that the load alone needs. */
export const neededContainers = (fn: Load, now: number): number =>
  Math.ceil(neededSlots(fn, now) / fn.scale.targetConcurrency);

export const neededSlots = ({ demand, scale }: Load, now: number): number =>
  callSlots(demand, scale, now) + demand.requests + demand.requestsHeld;

/** Slots for the calls that wait or run. The table above, row by row. */
export function callSlots(demand: Demand, { max, concurrency, targetWaitMs }: Scale, now: number): number {
  const calls = demand.queued + demand.leased;
  if (calls === 0) return 0;
  if (demand.callMs === null) {
    const slow = demand.leasedSince !== null && now - demand.leasedSince >= BULK_WAIT_MS;
    return slow || calls <= max * concurrency ? calls : Math.min(calls, BULK_START * concurrency);
  }
  const share = Math.min(1, demand.callMs / targetWaitMs);
  return Math.max(1, Math.min(calls, demand.stuck + Math.ceil((calls - demand.stuck) * share)));
}

/** Containers that may be started for a function which has `ready` ready ones and `starting` on the way. */
export function startsAllowed(fn: Fn, starting: number, now: number): number {
  if (fn.startFailures === null) return Infinity;
  return starting === 0 && now >= retryAt(fn.startFailures) ? 1 : 0;
}

/** When a function whose starts failed may be tried again. */
export const retryAt = ({ count, lastAt }: StartFailures): number =>
  lastAt + Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (count - 1));

/** Whether calls wait for a function that can't be started. */
export const isHopeless = ({ startFailures, demand }: Fn): boolean =>
  startFailures !== null && startFailures.count >= GIVE_UP_COUNT && demand.queued > 0 &&
  demand.queuedSince! <= startFailures.lastAt;

/** A container, and since when it has had nothing to do; null while it has. */
export interface Idleness {
  readonly container: Container;
  readonly idleSince: number | null;
}

/**
 * Who is busy. Calls are known per container. Requests only per function: they count for the oldest ready containers, as many as
 * they need, so that the youngest fall idle when traffic falls.
 */
export function idleness(fn: Fn, containers: readonly Container[]): Idleness[] {
  const { requests, requestsHeld, requestedAt } = fn.demand;
  const serving = Math.ceil((requests + requestsHeld) / fn.scale.targetConcurrency);
  return byAge(containers).map((container, i) => {
    if (container.leased > 0 || i < serving) return { container, idleSince: null };
    return { container, idleSince: Math.max(workedAt(container), i === 0 ? requestedAt ?? 0 : 0) };
  });
}

/** The last time that a container is known to have had work. */
export const workedAt = ({ busyAt, leasedAt }: Container): number => Math.max(busyAt, leasedAt ?? 0);

/** Ready ones before others, then the oldest. */
const byAge = (containers: readonly Container[]): Container[] =>
  [...containers].sort((a, b) =>
    Number(b.observed === "ready") - Number(a.observed === "ready") || a.createdAt - b.createdAt ||
    (a.id < b.id ? -1 : 1)
  );

/** Idle containers that the function can spare now, the longest idle first. */
export function spare(
  idle: readonly Idleness[],
  wanted: number,
): (Idleness & { readonly idleSince: number })[] {
  return idle
    .filter((one): one is Idleness & { readonly idleSince: number } => one.idleSince !== null)
    .sort((a, b) => a.idleSince - b.idleSince || (a.container.id < b.container.id ? -1 : 1))
    .slice(0, Math.max(0, idle.length - wanted));
}
