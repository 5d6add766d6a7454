/**
 * Calls that an earlier runner was given, and what becomes of them when their guest is back: what the platform holds to be open is
 * compared with what the guest says runs in it. Pure.
 */
import { type OpenLease, parseCallId } from "../sdk/protocol.ts";
import type { HeldCall, HeldLease } from "./calls.ts";
import type { Resumes } from "./frames.ts";

/**
 * Lines and events are numbered within a call, and a number that was there before is a repeat. How many the earlier runner has told
 * nobody knows; a guest that tells more than this in each millisecond is not read so fast.
 */
const TOLD_PER_MS = 128;

/** What is known of a container that an earlier runner started. */
export interface Adopted {
  readonly leases: readonly HeldLease[];
  /** Number of its next line. */
  readonly nextLine: number;
}

/** An open lease as this runner keeps it. */
export function adoptedLease({ indexes, ageMs, ...lease }: OpenLease, now: number): HeldLease {
  const { lease: id, container, batch, attempt, method, master } = lease;
  const held: HeldLease = { id, container, batch, lo: indexes[0]!, attempt, method, master, calls: [] };
  for (const index of indexes) held.calls.push(running(held, index, now - ageMs, now));
  return held;
}

/** What becomes of calls. */
export interface Matched {
  /** They run, and go on. */
  readonly going: HeldCall[];
  /** They run and must end: nobody waits for them, or what they have told is not known. */
  readonly doomed: HeldCall[];
  /** They don't run: what they ended in did not arrive, or they never began. */
  readonly lost: HeldCall[];
}

/** @param isStream whether what a method yields would have a gap */
export function matched(
  open: readonly HeldCall[],
  resumes: Resumes,
  { now, isStream }: { readonly now: number; readonly isStream: (method: string) => boolean },
): Matched {
  const left = new Map(open.map((call) => [keyOf(call.lease.batch, call.index, call.lease.attempt), call]));
  const going: HeldCall[] = [], doomed: HeldCall[] = [];
  for (const { c, id, attempt } of resumes.running) {
    const { batch, index } = parseCallId(id);
    const key = keyOf(batch, index, attempt);
    const call = left.get(key) ?? stranger(batch, index, now);
    call.number = c;
    if (!left.delete(key)) call.doom = { why: "cancelled", killAt: null };
    else if (isStream(call.lease.method)) call.doom ??= { why: "lost", killAt: null };
    (call.doom === null ? going : doomed).push(call);
  }
  return { going, doomed, lost: [...left.values()] };
}

const keyOf = (batch: number, index: number, attempt: number): string => `${batch}:${index}:${attempt}`;

/** The number of no lease: what is reported of it is passed over. */
const NO_LEASE = 0;

/** A call that runs and that nobody wants. */
function stranger(batch: number, index: number, now: number): HeldCall {
  const lease = { id: NO_LEASE, container: "", batch, lo: index, attempt: 0, method: "", calls: [] };
  return running(lease, index, now, now);
}

function running(lease: HeldLease, index: number, since: number, now: number): HeldCall {
  return {
    lease,
    index,
    input: null,
    state: "running",
    number: -1,
    givenAt: since,
    startedAt: since,
    told: 1 + (now - since) * TOLD_PER_MS,
    doom: null,
  };
}
