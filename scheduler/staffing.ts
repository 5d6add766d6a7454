/**
 * Giving the teams the containers that they lack, in turn, as far as there is room. Pure.
 *
 * Each claim goes where it fits now. Else it waits for room that is on its way: containers that leave. Else others make room for it: they
 * give way (preempt.ts) or move elsewhere (moves.ts). A function that was blocked once asks no more in this tick: what it needs
 * stays the same.
 */
import { affordable, type Asking, claimsOf } from "./claims.ts";
import { Draft, type Field, type Staffing } from "./draft.ts";
import { evict } from "./evict.ts";
import type { Need } from "./model.ts";
import { moveAside } from "./moves.ts";
import { inTurn } from "./order.ts";
import { type Place, place, type Request } from "./place.ts";
import { type Giver, giversFor, idleFor } from "./preempt.ts";
import { accountOf } from "./share.ts";

export function staffTeams(field: Field): Staffing {
  const { teams, accounts, now } = field;
  const claims = teams.flatMap((team) => claimsOf(team, accountOf(team.crew.fn, accounts), now));
  const draft = new Draft(field, new Set(claims.map((claim) => claim.functionId)).size);
  const shut = new Map<number, Outcome>();
  for (const claim of inTurn(claims)) {
    const before = shut.get(claim.functionId);
    if (before === "blocked") draft.leaveOut(claim);
    if (before !== undefined) continue;
    const outcome = serve(claim, draft);
    if (outcome !== "served") shut.set(claim.functionId, outcome);
  }
  return draft.staffing;
}

type Outcome = "served" | "limited" | "blocked";

function serve(claim: Asking, draft: Draft): Outcome {
  const { account } = claim;
  const now = affordable(claim, (amount) => account.excess(amount));
  if (now !== null) return serveNow(claim, now, draft);
  const soon = affordable(claim, (amount) => account.excessSoon(amount));
  const places = soon === null ? null : keep(claim, soon, draft);
  if (places !== null) draft.await(claim, places);
  else if (soon !== null || !makeLimit(claim, draft)) {
    draft.block(claim, "limited", account.excess(claim.amount)!);
    return "limited";
  }
  return "served";
}

/** Serves a claim that its workspace may have at once. */
function serveNow(claim: Asking, need: Need, draft: Draft): Outcome {
  const { room, searches } = draft, request = requestOf(claim, need);
  const placement = place(request, room);
  if (placement.kind === "placed") draft.begin(claim, placement.places);
  else if (placement.kind === "soon") draft.await(claim, placement.places);
  else {
    const asks = room.asksOf(need, null);
    if (!searches.may(claim, asks) || !makeRoom(claim, request, draft)) {
      searches.fail(claim, asks);
      draft.block(claim, "blocked", draft.whyBlocked(claim, asks, placement));
      return "blocked";
    }
  }
  return "served";
}

/** Others give way or move. Idle ones that nobody wants first; work that would be cut short or ended moves only if that is of no use. */
function makeRoom(claim: Asking, request: Request<Giver>, draft: Draft): boolean {
  const { holders, field: { now } } = draft;
  return giveWay(claim, { ...request, givers: idleFor(claim, holders) }, draft) ||
    moveAside(claim, request, "kept", draft) ||
    giveWay(claim, { ...request, givers: giversFor(claim, holders, now) }, draft) ||
    moveAside(claim, request, "busy", draft);
}

function giveWay(claim: Asking, request: Request<Giver>, draft: Draft): boolean {
  const eviction = evict(request, draft.room);
  if (eviction !== null) draft.giveWay(claim, eviction);
  return eviction !== null;
}

const requestOf = (
  { fn: { digest }, count, broken }: Asking,
  need: Need,
): Request<Giver> => ({
  need,
  nodes: count,
  digest,
  ...(broken === null ? {} : { except: broken.nodes }),
  givers: [],
  holdingsOf: ({ holder }) => holder.unit.staying,
});

/** Room for a claim that has to wait for containers of its own workspace. */
function keep(claim: Asking, need: Need, { room }: Draft): readonly Place[] | null {
  const placement = place({ ...requestOf(claim, need), notNow: true }, room);
  return placement.kind === "soon" ? placement.places : null;
}

/** Where a workspace's limit is in the way, only its own containers can give way; and only if there is room then. */
function makeLimit(claim: Asking, draft: Draft): boolean {
  const { account, amount } = claim, { room, holders, field: { now } } = draft;
  const mayHelp = ({ holder }: Giver) =>
    holder.account === account && (amount.gpuMilli === 0 || holder.amount.gpuMilli > 0);
  const going: Giver[] = [];
  let places: readonly Place[] | null = null;
  for (const giver of [...giversFor(claim, holders, now)].flat().filter(mayHelp)) {
    going.push(giver);
    account.part(giver.holder.amount);
    const need = affordable(claim, (more) => account.excessSoon(more));
    places = need && room.attempt(() => {
      for (const { holder } of going) holder.unit.staying.forEach((one) => room.expect(one));
      return keep(claim, need, draft);
    });
    if (places !== null) break;
  }
  for (const { holder } of going) account.rejoin(holder.amount);
  if (places !== null) draft.giveWay(claim, { evicted: going, places });
  return places !== null;
}
