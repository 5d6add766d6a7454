/**
 * For one ask, the best of the spots of one stock at any time. Pure: it looks again only at spots that changed since it was last
 * asked, so that the cost of placing does not grow with the number of nodes.
 */
import { League } from "./league.ts";
import { type Ask, STEP } from "./rank.ts";
import type { Spot, Stock } from "./spot.ts";

/** A score is a number: the cost in steps, then what tells equal costs apart, the least last. All of it fits in 53 bits. */
const ORDERS = 2 ** 20, COST_RANKS = 2 ** 10;
export const SCORES_PER_STEP = 2 * COST_RANKS * 2 * ORDERS;

export class Index {
  readonly #ask: Ask;
  readonly #stock: Stock;
  /** Those that are looked at, and their places in the league. Null: all of the stock, in its order. */
  readonly #entries: ReadonlyMap<Spot, number> | null;
  readonly #isMissing: boolean;
  readonly #league: League;
  /** How many of the stock's changes it has seen. */
  #seen: number;

  /** @param holders those that have the bundle or image, if only they are looked at */
  constructor(ask: Ask, stock: Stock, holders: readonly Spot[] | null) {
    this.#ask = ask;
    this.#stock = stock;
    this.#entries = holders === null ? null : new Map(holders.map((spot, i) => [spot, i]));
    this.#isMissing = holders === null;
    const spots = holders ?? stock.spots;
    this.#league = new League(spots.length);
    this.#seen = stock.changes.length;
    spots.forEach((spot, entry) => this.#look(spot, entry));
  }

  /** The score of the best spot; Infinity when the ask fits on none. */
  get best(): number {
    const { changes } = this.#stock;
    for (; this.#seen < changes.length; this.#seen++) {
      const spot = changes[this.#seen]!;
      if (spot.changedAt !== this.#seen) continue;
      const entry = this.#entries === null ? spot.order : this.#entries.get(spot);
      if (entry !== undefined) this.#look(spot, entry);
    }
    return this.#league.least;
  }

  #look(spot: Spot, entry: number): void {
    const cost = this.#ask.cost(spot, spot.now);
    this.#league.set(entry, scoreOf(this.#ask, spot, cost, this.#isMissing));
  }
}

/** Less is better; the price is not in it. */
export function scoreOf({ choice }: Ask, spot: Spot, cost: number, isMissing: boolean): number {
  if (cost === Infinity) return Infinity;
  const { costRank, order } = spot;
  const isWaste = choice === null ? spot.now.gpus.some((milli) => milli > 0) : isEmpty(spot);
  const tie = (Number(isMissing) * COST_RANKS + Math.min(costRank, COST_RANKS - 1)) * 2 + Number(isWaste);
  return Math.round(cost / STEP) * SCORES_PER_STEP + tie * ORDERS + order;
}

/** Which spot of its stock has a score. */
export const spotOf = (score: number, { spots }: Stock): Spot =>
  spots[score - Math.floor(score / ORDERS) * ORDERS]!;

const isEmpty = ({ node, now }: Spot): boolean =>
  now.cpuMilliFree === node.cpuMilli && now.memoryMiBFree === node.memoryMiB;
