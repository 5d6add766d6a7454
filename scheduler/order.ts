/**
 * Who is placed first. Pure.
 *
 * 1. Who waits, before what is only kept warm.
 * 2. What a workspace is promised (its quota), before what it would borrow.
 * 3. Higher priority. A function's nth container is as important as the call that it will take: the nth of those that wait.
 * 4. The workspace with the smaller share (share.ts). Shares grow with each container given, so a tick fills them evenly.
 * 5. A function's first container before another's second, so that a long queue does not shut out a short one.
 * 6. The longest wait. So a rank only ever rises with time. The function's id makes the order total.
 *
 * Within a workspace only 1, 3, 5 and 6 tell claims apart, and none of them changes while containers are given: each workspace
 * has its claims in a fixed line, and the heads of the lines are compared anew for each container.
 */
import type { Fn, QueueLevel } from "./model.ts";
import type { Account, Amount } from "./share.ts";

/** Held requests are as urgent as a call of the default priority. */
export const REQUEST_PRIORITY = 50;
/** The priority of what nobody waits for: containers kept by `min` or `buffer`. */
export const IDLE_PRIORITY = -1;

/** A container that a function lacks, or a gang of them. */
export interface Claim {
  readonly functionId: number;
  readonly account: Account;
  /** What it takes at least. */
  readonly amount: Amount;
  readonly priority: number;
  /** How many containers the function has or would have before this one. */
  readonly nth: number;
  /** Since when its calls or requests wait without a container; Infinity when none wait. */
  readonly since: number;
}

/** The claims one after another, each chosen when it is asked for: by what the accounts are then. */
export function* inTurn<T extends Claim>(claims: readonly T[]): Generator<T> {
  const lines = [...Map.groupBy(claims, (claim) => claim.account).values()]
    .map((line) => ({ line: line.toSorted(withinWorkspace), at: 0 }));
  while (lines.length > 0) {
    const first = lines.reduce((a, b) => goesBefore(b.line[b.at]!, a.line[a.at]!) ? b : a);
    yield first.line[first.at]!;
    if (++first.at === first.line.length) lines.splice(lines.indexOf(first), 1);
  }
}

const withinWorkspace = (a: Claim, b: Claim): number =>
  b.priority - a.priority || a.nth - b.nth || a.since - b.since || a.functionId - b.functionId;

function goesBefore(a: Claim, b: Claim): boolean {
  const waits = Number(b.since !== Infinity) - Number(a.since !== Infinity);
  const promised = Number(b.account.isPromised(b.amount)) - Number(a.account.isPromised(a.amount));
  const share = a.account.share() - b.account.share();
  return (waits || promised || b.priority - a.priority || share || withinWorkspace(a, b)) < 0;
}

/** What waits for a function, the most urgent first: calls by priority, and requests among them. */
export function queueOf({ demand }: Fn): QueueLevel[] {
  const { levels, queued, queuedSince, priority, requestsHeld, heldSince } = demand;
  const calls = levels.length > 0 || queued === 0 ? levels : [{ priority, queued, since: queuedSince! }];
  const held = requestsHeld === 0 || heldSince === null
    ? []
    : [{ priority: REQUEST_PRIORITY, queued: requestsHeld, since: heldSince }];
  return [...calls, ...held].sort((a, b) => b.priority - a.priority);
}

/** The level of the nth of those that wait, counted from 0. */
export function levelAt(queue: readonly QueueLevel[], nth: number): QueueLevel | null {
  let before = 0;
  for (const level of queue) {
    before += level.queued;
    if (nth < before) return level;
  }
  return null;
}

/** How many wait that are at least this important. */
export const waitingFrom = (queue: readonly QueueLevel[], priority: number): number =>
  queue.reduce((sum, level) => level.priority >= priority ? sum + level.queued : sum, 0);
