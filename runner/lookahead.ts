/**
 * How many calls to hold ahead of those that run. Pure.
 *
 * Sending short calls ahead, into the runner's memory and into the guest's socket, is the largest lever there is: 7.2k calls a
 * second without, 50–59k with 64 frames ahead. But a call held here cannot run elsewhere, so both lookaheads are
 * bounded by the *time* they hold: they shrink with the measured duration, and a container whose pace is not known
 * gets exactly as many calls as it can run.
 */

/** What is known of the time that one call takes. */
export interface Pace {
  /** Mean of late, or null before the first call has ended. */
  readonly ms: number | null;
  /** Calls it was learned from. */
  readonly calls: number;
}

export const UNKNOWN_PACE: Pace = { ms: null, calls: 0 };

/** Work sent ahead into a guest's socket: time, and frames. More frames gain nothing. */
const GUEST_MS = 7.5;
const GUEST_FRAMES_MAX = 64;
/** Work held in the runner's memory for one container. */
const HOLD_MS = 75;
/** Slower calls are not held at all: fetching the next costs little beside running it. */
const HELD_CALL_MS_MAX = 25;
/** Calls held in one runner for all its containers. */
const RUNNER_CALLS_MAX = 4_000;
/** Bytes of inputs held in one runner. */
const RUNNER_BYTES_MAX = 64 * 1024 * 1024;
/** The hold grows no faster than this many times the calls seen, so that a few lucky ones do not fetch thousands. */
const GROWTH = 4;
/** What one call adds to the mean. */
const WEIGHT = 0.1;
/** An unstarted call that waited this long while others were stuck before it is given back. */
const STUCK_WAIT_MS = 100;
const STUCK_RUN_MS = 50;

/** The pace after `calls` more calls, which took `meanMs` each. */
export function paced(pace: Pace, meanMs: number, calls: number): Pace {
  if (calls === 0) return pace;
  if (pace.ms === null) return { ms: meanMs, calls };
  const weight = 1 - (1 - WEIGHT) ** calls;
  return { ms: pace.ms + (meanMs - pace.ms) * weight, calls: pace.calls + calls };
}

/** The pace after calls turned out to be stuck behind one that has run for `runningMs`. */
export function slowed(pace: Pace, runningMs: number): Pace {
  return { ms: Math.max(pace.ms ?? 0, runningMs), calls: pace.calls };
}

/** Frames to send into a guest's socket beyond those that run. */
export function guestAhead({ ms }: Pace, concurrency: number): number {
  return ms === null ? 0 : Math.min(GUEST_FRAMES_MAX, within(GUEST_MS, ms, concurrency));
}

/** Calls to hold for a container beyond those that run, when the runner may hold `share` for it. */
export function heldAhead(pace: Pace, concurrency: number, share: number): number {
  if (pace.ms === null || pace.ms > HELD_CALL_MS_MAX) return 0;
  return Math.min(share, GROWTH * pace.calls, within(HOLD_MS, pace.ms, concurrency));
}

/** Calls that each of `containers` may hold ahead, given the mean size of an input. */
export function holdShare(containers: number, inputBytes: number): number {
  const calls = Math.min(RUNNER_CALLS_MAX, RUNNER_BYTES_MAX / Math.max(1, inputBytes));
  return Math.floor(calls / Math.max(1, containers));
}

/** True when calls that wait should be given back: they waited long, behind one that does not end. */
export function isStuck({ waitedMs, runningMs }: { waitedMs: number; runningMs: number }): boolean {
  return waitedMs > STUCK_WAIT_MS && runningMs > STUCK_RUN_MS;
}

function within(budgetMs: number, callMs: number, concurrency: number): number {
  return Math.floor(budgetMs * concurrency / Math.max(callMs, 0.001));
}
