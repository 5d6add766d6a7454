/**
 * Moves: containers that go elsewhere so that what is blocked only by where they are can be placed. Pure.
 *
 * Idle ones that are kept warm move at no one's cost; work that may be cut short goes on from its checkpoint, and moves only for work that
 * is as important. The new one starts in the same plan as the old one leaves. A container that has been there for less than
 * {@link REST_MS} does not move, so that none is driven around; and no tick makes more than {@link MOVES_MAX}.
 */
import type { Asking } from "./claims.ts";
import type { Draft } from "./draft.ts";
import { evict } from "./evict.ts";
import { type Place, place, type Request } from "./place.ts";
import type { Holder } from "./holders.ts";
import { type Giver, isSpared } from "./preempt.ts";

/** Moves of one tick. Each costs a start, and what is left to do shows in the next tick. */
const MOVES_MAX = 4;
const REST_MS = 300_000;
/** Sets of containers that are tried before a claim is blocked. */
const TRIES = 3;

/** Makes room for a claim by moving containers that are idle or busy; false when that is of no help. */
export function moveAside(
  claim: Asking,
  request: Request<Giver>,
  state: "kept" | "busy",
  draft: Draft,
): boolean {
  if (claim.count > 1 || claim.since === Infinity) return false;
  let movable = draft.holders.movable(state).filter((one) => mayMove(one, claim, draft));
  for (let i = 0; i < TRIES && movable.length > 0; i++) {
    const stuck = new Set<Holder>();
    const moves = draft.room.attempt(() => exchange(movable, request, draft, stuck));
    if (moves !== null) {
      for (const { holder, to } of moves.made) draft.move(holder, to, claim);
      draft.await(claim, moves.places, "waits for another container to move elsewhere");
      return true;
    }
    if (stuck.size === 0) return false;
    movable = movable.filter((one) => !stuck.has(one));
  }
  return false;
}

interface Moves {
  readonly made: readonly { readonly holder: Holder; readonly to: Place }[];
  /** What the claim gets. */
  readonly places: readonly Place[];
}

/** @param stuck is told those for whom there is no other place */
function exchange(
  movable: readonly Holder[],
  request: Request<Giver>,
  { room, moves }: Draft,
  stuck: Set<Holder>,
): Moves | null {
  const givers = [movable.map((holder): Giver => ({ holder, how: "drain", reason: "", lent: false }))];
  const eviction = evict({ ...request, givers }, room);
  if (eviction === null || moves + eviction.evicted.length > MOVES_MAX) return null;
  const except = new Set(eviction.places.map(({ node }) => node.id));
  const made = eviction.evicted.flatMap(({ holder }) => {
    const { need, digest } = holder.crew.fn;
    const found = place({ need, digest, except, givers: [], holdingsOf: () => [] }, room);
    if (found.kind === "placed") return [{ holder, to: found.places[0]! }];
    stuck.add(holder);
    return [];
  });
  return stuck.size > 0 ? null : { made, places: eviction.places };
}

/** Whether it has been there for long enough, may be in two places for a moment, and is no more important. */
function mayMove(
  { unit, crew: { fn }, account, amount, priority }: Holder,
  claim: Asking,
  { field: { now } }: Draft,
): boolean {
  const isAtRest = now - unit.whole.createdAt >= REST_MS && !isSpared(unit, now);
  return isAtRest && fn.id !== claim.functionId && priority <= claim.priority &&
    account.excess(amount) === null;
}
