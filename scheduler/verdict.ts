/**
 * How an attempt of a gang ends, from how its ranks did. Pure.
 *
 * Rank 0's success is the call's. Else nothing is decided before every rank has ended: when one dies the others fail over the
 * broken connection, often before anybody knows why, and whether the call is tried again depends on the reason.
 */
import { type Failure, type FailureKind, LIMITS } from "../sdk/protocol.ts";

/** What one rank has of a call. */
export interface Part {
  readonly rank: number;
  /** As in reports: 0 succeeded, 1 failed, 2 cancelled, 3 never started; null while it is at work, or is yet to be. */
  readonly outcome: 0 | 1 | 2 | 3 | null;
  readonly failure: Failure | null;
  readonly endedAt: number | null;
}

export type Verdict<P> =
  | { readonly end: "succeeded"; readonly part: P }
  | { readonly end: "failed"; readonly part: P; readonly failure: Failure }
  | { readonly end: "cancelled" }
  | { readonly end: "unstarted" };

/** What explains the others first: a connection to a rank that is lost breaks in all of them, as an error of their code. */
const CAUSES: readonly FailureKind[] = ["node_lost", "preempted", "out_of_memory", "timeout"];

/** @param cancelling somebody wants the call cancelled */
export function verdict<P extends Part>(parts: readonly P[], cancelling: boolean): Verdict<P> | null {
  const leader = parts.find(({ rank }) => rank === 0);
  if (leader?.outcome === 0) return { end: "succeeded", part: leader };
  if (parts.some(({ outcome }) => outcome === null)) return null;
  if (cancelling) return { end: "cancelled" };
  const part = causeAmong(parts);
  if (part === undefined) return { end: "unstarted" };
  return { end: "failed", part, failure: named(part.failure!, part.rank) };
}

/** True when a rank has ended in a way that makes the work of the others pointless. */
export const isBroken = (parts: readonly Part[]): boolean => parts.some(({ outcome }) => (outcome ?? 0) > 0);

function causeAmong<P extends Part>(parts: readonly P[]): P | undefined {
  const weight = ({ failure }: P) => {
    const place = CAUSES.indexOf(failure!.kind);
    return place === -1 ? CAUSES.length : place;
  };
  return parts.filter(({ outcome }) => outcome === 1)
    .toSorted((a, b) => weight(a) - weight(b) || a.endedAt! - b.endedAt! || a.rank - b.rank)[0];
}

const named = (failure: Failure, rank: number): Failure => ({
  ...failure,
  message: `Rank ${rank}: ${failure.message}`.slice(0, LIMITS.failureMessageLength),
});
