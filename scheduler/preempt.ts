/**
 * Who gives way to whom. Pure.
 *
 * | who gives way | to whom | how |
 * |---|---|---|
 * | containers that are idle beyond what their function wants | anyone who waits | drain |
 * | what a workspace has borrowed | a workspace that holds less than it is promised | preempt, or drain if not preemptible |
 * | containers that only start, and preemptible work | more important work | preempt |
 * | work whose function has less important calls to go on with | more important work | drain |
 * | work of a function that has several containers, or a turn of {@link TURN_MS} behind it | a function of the same workspace without any | drain |
 * | work of a workspace with a larger share | a workspace with a smaller one, as long as it stays the smaller | drain |
 *
 * To *drain* is to end the calls it has and take no more; to *preempt* is to do so within the notice of its function, after which it is
 * stopped and its calls go on elsewhere. Each line is tried on top of those before it, and nobody is told to leave unless that makes
 * room. Calls that gave way are left in peace for {@link PREEMPT_WINDOW_MS}. For a function whose starts fail only idle ones leave.
 */
import type { Asking } from "./claims.ts";
import type { Unit } from "./gangs.ts";
import type { Holder, Holders, Shift } from "./holders.ts";
import { dismiss, preempt } from "./leave.ts";
import type { Ending } from "./model.ts";
import { REQUEST_PRIORITY, waitingFrom } from "./order.ts";
import { type Account, inGpus } from "./share.ts";

/** How long functions that don't fit beside one another have the room before they take turns. */
export const TURN_MS = 30_000;
/** A call that gave way does not do so again for this long. */
export const PREEMPT_WINDOW_MS = 600_000;
/** Workspaces that can't be given their shares at once take turns: until one is ahead by a GPU for this long. */
export const QUANTUM_S = 120;

/** How many are looked at first. */
const LINE_MIN = 64;

/** A holder that could give way, and why. */
export interface Giver {
  readonly holder: Holder;
  readonly how: "drain" | "preempt";
  readonly reason: string;
  /** It holds what the claim's workspace is promised. */
  readonly lent: boolean;
}

/**
 * Those that could give way to a claim, the lines of the table one by one; within a line those that go first, first. Nobody is
 * named twice. No line is drawn before it is asked for.
 */
export function* giversFor(
  claim: Asking,
  holders: Holders,
  now: number,
): Generator<readonly Giver[], undefined> {
  if (claim.since === Infinity) return;
  const named = new Set<Holder>();
  for (const line of linesFor(claim, holders, now)) {
    const fresh: Giver[] = [];
    for (const giver of line) {
      const { holder } = giver;
      if (holder.crew.fn.id === claim.functionId || named.has(holder)) continue;
      named.add(holder);
      fresh.push(giver);
    }
    yield fresh;
  }
}

/** Of those, the idle ones. */
export const idleFor = (claim: Asking, holders: Holders): Iterable<readonly Giver[]> =>
  inLines(idleOnes(claim, holders));

function* linesFor(claim: Asking, holders: Holders, now: number): Generator<readonly Giver[]> {
  yield* idleFor(claim, holders);
  if (claim.fn.startFailures !== null) return;
  if (claim.account.isPromised(claim.amount)) yield* inLines(lent(claim, holders, now));
  const mayTake = withinBorrowed(claim), { shifts } = holders;
  yield* inLines(lessImportant(claim, holders, now, mayTake));
  yield* inLines(withLessToDo(claim, shifts, mayTake));
  yield* inLines(inTurns(claim, shifts, now));
  yield* inLines(ahead(claim, shifts, now, mayTake));
}

/** Whether a holder may be asked to give way, as far as quotas go; one that may counts as asked. */
type MayTake = (holder: Holder) => boolean;

/** Of others a claim to what is not promised takes no more than they have borrowed: what they are promised comes before it. */
function withinBorrowed({ account, amount }: Asking): MayTake {
  if (account.isPromised(amount)) return () => true;
  const borrowed = new Map<Account, { gpuMilli: number; cpuMilli: number }>();
  return (holder) => {
    if (holder.account === account) return true;
    const left = borrowed.get(holder.account) ?? { ...holder.account.borrowed };
    borrowed.set(holder.account, left);
    const kind = holder.amount.gpuMilli > 0 ? "gpuMilli" : "cpuMilli";
    if (left[kind] <= 0) return false;
    left[kind] -= holder.amount[kind];
    return true;
  };
}

/**
 * Splits a line of the table, so that more important work is not looked at while less important work will do; and into ever longer
 * pieces, so that of thousands who could give way only some are looked at.
 */
function* inLines(givers: Iterable<Giver>): Generator<readonly Giver[]> {
  let line: Giver[] = [], length = LINE_MIN, priority = -Infinity;
  for (const giver of givers) {
    if (line.length > 0 && (line.length >= length || giver.holder.priority > priority)) {
      yield line;
      [line, length] = [[], length * 2];
    }
    line.push(giver);
    ({ priority } = giver.holder);
  }
  if (line.length > 0) yield line;
}

const way = ({ fn }: Asking, because = ""): string => `gives way to ${fn.app}/${fn.name}${because}`;

const drains = (holder: Holder, reason: string): Giver => ({ holder, how: "drain", reason, lent: false });

function* idleOnes(claim: Asking, holders: Holders): Generator<Giver> {
  const reason = way(claim);
  for (const holder of holders.idle()) {
    if (holder.crew.fn.id !== claim.functionId) yield drains(holder, reason);
  }
}

/** What others have borrowed, as far as they have, for a claim to what its workspace is promised. */
function* lent({ account, amount, fn }: Asking, holders: Holders, now: number): Generator<Giver> {
  const kind = amount.gpuMilli > 0 ? "gpuMilli" : "cpuMilli";
  const reason = `workspace ${account.workspace.id} takes back what it lent, for ${fn.app}/${fn.name}`;
  const borrowed = new Map<Account, number>();
  for (const holder of holders.byLoss()) {
    const left = borrowed.get(holder.account) ?? holder.account.borrowed[kind];
    const mayGo = holder.account !== account && holder.state !== "kept" && holder.amount[kind] > 0;
    if (!mayGo || left <= 0 || isSpared(holder.unit, now)) continue;
    borrowed.set(holder.account, left - holder.amount[kind]);
    yield { holder, how: holder.crew.fn.preemptible ? "preempt" : "drain", reason, lent: true };
  }
}

/** Work that may be cut short for more important work, and what has not begun. */
function* lessImportant(claim: Asking, holders: Holders, now: number, mayTake: MayTake): Generator<Giver> {
  for (const holder of holders.byLoss()) {
    const { state, priority, crew: { fn }, unit } = holder;
    if (priority >= claim.priority) return; // those that follow are as important
    const mayBe = state === "starting" || (state === "busy" && fn.preemptible && !isSpared(unit, now));
    if (!mayBe || !mayTake(holder)) continue;
    const because = `: priority ${claim.priority} comes before ${Math.max(0, priority)}`;
    yield { holder, how: state === "busy" ? "preempt" : "drain", reason: way(claim, because), lent: false };
  }
}

export const isSpared = ({ whole: { preemptedAt } }: Unit, now: number): boolean =>
  preemptedAt !== null && now - preemptedAt < PREEMPT_WINDOW_MS;

/** Work of functions of which less important calls would be next. */
function* withLessToDo(claim: Asking, shifts: readonly Shift[], mayTake: MayTake): Generator<Giver> {
  const reason = way(claim, `: priority ${claim.priority} comes first`);
  for (const shift of shifts) {
    for (const holder of beyond(shift, claim.priority)) {
      if (mayTake(holder)) yield drains(holder, reason);
    }
  }
}

/** In a workspace: for a function that has nothing, of those with several; of those with one, after a turn. */
function* inTurns(claim: Asking, shifts: readonly Shift[], now: number): Generator<Giver> {
  if (claim.nth > 0) return;
  const reason = way(claim);
  for (const shift of shifts) {
    if (shift.account !== claim.account) continue;
    const { busy, crew: { fn: { scale: { min } } } } = shift;
    const mine = beyond(shift, claim.priority + 1);
    const tired = now - claim.since < TURN_MS ? [] : mine.filter((one) => hasHadTurn(one, now));
    const shared = mine.slice(0, Math.max(0, busy.length - Math.max(1, min)));
    const going = tired.length > shared.length ? tired.slice(0, busy.length - min) : shared;
    for (const holder of going) yield drains(holder, reason);
  }
}

/**
 * Of workspaces with a larger share: as far as it stays the larger one. A function that has nothing need not wait for that, where
 * there is too little to share: workspaces take turns then. Either way the claim is the first in line afterwards.
 */
function* ahead(claim: Asking, shifts: readonly Shift[], now: number, mayTake: MayTake): Generator<Giver> {
  const { account } = claim, wanted = inGpus(claim.amount);
  const reason = way(claim, ": its workspace has had more than its share");
  const taken = new Map<Account, number>();
  for (const shift of shifts) {
    const other = shift.account;
    if (other === account || other.share() <= account.share()) continue;
    for (const holder of beyond(shift, claim.priority + 1)) {
      const change = (taken.get(other) ?? 0) - inGpus(holder.amount);
      if (other.share({ change }) <= account.share()) break;
      const keepsMore = other.share({ change }) >= account.share({ change: wanted });
      const hasHadMore = claim.nth === 0 &&
        other.share({ change, memoryS: QUANTUM_S }) >= account.share({ change: wanted, memoryS: QUANTUM_S });
      if ((!keepsMore && !hasHadMore) || !hasHadTurn(holder, now) || !mayTake(holder)) continue;
      taken.set(other, change);
      yield drains(holder, reason);
    }
  }
}

const hasHadTurn = ({ unit: { whole } }: Holder, now: number): boolean => now - whole.createdAt >= TURN_MS;

/**
 * Busy ones of a function beyond those that have something this important to go on with: a call that waits, or, when there are
 * none, more of what they do now; and beyond those that its `min` keeps.
 */
function beyond({ crew: { fn }, queue, busy }: Shift, priority: number): readonly Holder[] {
  const { demand: { requests }, scale: { targetConcurrency, min } } = fn;
  const serving = priority <= REQUEST_PRIORITY ? requests : 0;
  const next = Math.ceil((waitingFrom(queue, priority) + serving) / targetConcurrency);
  if (next >= busy.length) return [];
  const unsure = Math.max(0, busy.length - Math.ceil(waitingFrom(queue, -Infinity) / targetConcurrency));
  const same = unsure === 0 ? 0 : busy.filter((one) => one.priority >= priority).length;
  return busy.slice(0, Math.max(0, busy.length - Math.max(min, next + Math.min(unsure, same))));
}

/** What a giver is told: all ranks of a gang leave together. */
export const endingsOf = ({ holder: { unit, crew }, how, reason }: Giver, now: number): Ending[] =>
  unit.staying.map((one) => how === "preempt" ? preempt(one, crew.fn, reason, now) : dismiss(one, reason));
