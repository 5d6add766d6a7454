/** The retry decision: which failures get another attempt, and when. Pure. */
import type { Failure, FailureKind } from "./protocol/calls.ts";

/** When and how often a failed attempt is repeated. All durations in milliseconds. */
export interface RetryPolicy {
  /** Attempts after the first one. */
  readonly max: number;
  readonly backoffMs: number;
  /** Each further wait is this many times the one before. */
  readonly factor: number;
  readonly maxBackoffMs: number;
  /** Failure kinds that are retried. */
  readonly on: readonly FailureKind[];
}

/** Lost nodes and preemption are the platform's doing: repeated always, and never counted against `max`. */
const PLATFORM_FAULT: readonly FailureKind[] = ["node_lost", "preempted"];
/** Yet a call that takes its node down each time must end at last. */
export const PLATFORM_RETRIES_MAX = 10;

/**
 * How long to wait before the next attempt, or null when the call has failed for good.
 *
 * @param attempt the attempt that failed, counted from 1
 */
export function retryDelayMs(policy: RetryPolicy, failure: Failure, attempt: number): number | null {
  if (PLATFORM_FAULT.includes(failure.kind)) return attempt <= policy.max + PLATFORM_RETRIES_MAX ? 0 : null;
  if (!failure.retryable || !policy.on.includes(failure.kind) || attempt > policy.max) return null;
  return Math.min(policy.maxBackoffMs, policy.backoffMs * policy.factor ** (attempt - 1));
}
