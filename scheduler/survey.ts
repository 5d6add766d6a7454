/** All places where one ask fits, the best first: for what is placed seldom, or on several nodes at once. Pure. */
import { scoreOf, SCORES_PER_STEP } from "./index.ts";
import { type Ask, STEP } from "./rank.ts";
import type { Found, Room } from "./room.ts";
import type { Spot } from "./spot.ts";

export interface Survey {
  /** Whether it shall fit in what is free now, or in what will be once all that leaves has left. */
  readonly when: "now" | "soon";
  /** @default all of them */
  readonly spots?: Iterable<Spot>;
  /** Nodes that won't do. */
  readonly except?: ReadonlySet<string> | undefined;
}

export function rankedSpots(
  ask: Ask,
  room: Room,
  { when, spots = room.spots(), except }: Survey,
): (Found & { readonly score: number })[] {
  const ranked = [];
  for (const spot of spots) {
    const free = spot[when];
    if (except?.has(spot.node.id) || !ask.fits(spot, free)) continue;
    const price = Math.round(room.priceOf(ask, spot.kind.stock) / STEP) * SCORES_PER_STEP;
    const isMissing = ask.digest !== null && !spot.node.cached.includes(ask.digest);
    const score = scoreOf(ask, spot, ask.cost(spot, free), isMissing) + price;
    ranked.push({ spot, node: spot.node, gpus: ask.shares(spot, free), score });
  }
  return ranked.sort((a, b) => a.score - b.score || a.spot.kind.stock.index - b.spot.kind.stock.index);
}
