/** The retry decision: which failures get another attempt, and when. Pure. */
import { parseDuration } from "./duration.ts";
import type { Retries } from "./protocol/apps.ts";
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

/** The policy of a function, as it was deployed. */
export const policyOf = ({ max, backoff, factor, maxBackoff, on }: Retries): RetryPolicy => ({
  max,
  backoffMs: parseDuration(backoff),
  factor,
  maxBackoffMs: parseDuration(maxBackoff),
  on,
});

/** How the attempts of a call failed before the last one. Those that gave way to others are not among them. */
export interface PastAttempts {
  /** By a fault of its own. */
  readonly failed: number;
  /** With their node. */
  readonly lost: number;
}

/** A lost node is the platform's doing, yet a call that takes its node down each time must end at last. */
export const LOSSES_MAX = 10;

/**
 * How long to wait before the next attempt, or null when the call has failed for good. Giving way is never held against a call, and
 * lost nodes and preemption don't count against `max`.
 */
export function retryDelayMs(policy: RetryPolicy, failure: Failure, past: PastAttempts): number | null {
  if (failure.kind === "preempted") return 0;
  if (failure.kind === "node_lost") return past.lost < LOSSES_MAX ? 0 : null;
  if (!failure.retryable || !policy.on.includes(failure.kind) || past.failed >= policy.max) return null;
  return Math.min(policy.maxBackoffMs, policy.backoffMs * policy.factor ** past.failed);
}
