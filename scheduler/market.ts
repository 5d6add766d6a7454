/** A pool at this instant: what it has, what is on its way, what leaves, and how much more it may be asked for. Pure. */
import type { NodeShape, Pool, Provision } from "./model.ts";
import { type Holding, isComing, type Leaving, leavingOf, type ReleaseWorld, stays } from "./release.ts";

/** A pool, what it has, and what becomes of that now. */
export interface Market extends Holding {
  readonly leaving: Leaving;
  /** Provisions that live on, and those of them that bring capacity which is not there yet. */
  readonly live: readonly Provision[];
  readonly coming: readonly Provision[];
}

const BACKOFF_MS = 5_000;
const BACKOFF_MAX_MS = 5 * 60_000;

export type Growable = Pool & { readonly shape: NodeShape };

/** Whether it may ever be asked for a node. */
export const isGrowable = (pool: Pool): pool is Growable =>
  pool.state === "active" && pool.shape !== null && pool.max > 0;

export function marketOf(holding: Holding, world: ReleaseWorld): Market {
  const leaving = leavingOf(holding, world);
  const ends = (one: Provision) => leaving.release.some(({ provision }) => provision === one.id);
  const failed = leaving.release.filter(({ event }) => event === "fail").map(({ provision }) => provision);
  return {
    ...holding,
    leaving,
    live: holding.provisions.filter(({ id }) => !failed.includes(id)),
    coming: holding.provisions.filter((one) => isComing(one) && !ends(one)),
  };
}

/** When a pool that failed is asked again. */
export const retryAt = ({ failures }: Pool): number =>
  failures === null
    ? -Infinity
    : failures.lastAt + Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** (failures.count - 1));

/** It has failed of late, or just now. */
export const isResting = ({ pool, leaving }: Market, now: number): boolean =>
  now < retryAt(pool) || leaving.release.some(({ event }) => event === "fail");

/** Nodes that it lacks of its min. */
export function missing(market: Market, now: number): number {
  const { pool, live, leaving, nodes } = market;
  if (!isGrowable(pool) || isResting(market, now)) return 0;
  const ends = new Set(leaving.release.map(({ provision }) => provision));
  const staying = live.filter((one) => !ends.has(one.id) && stays(one, nodes)).length;
  return Math.max(0, Math.min(pool.min - staying, most(market)));
}

/** Nodes that it may still be asked for: of one that has failed, no more than `trial` at a time. */
export function most({ pool, live, coming }: Market, trial = 1): number {
  const may = pool.failures === null ? Infinity : coming.length > 0 ? 0 : trial;
  return Math.min(Math.max(0, pool.max - live.length), may);
}
