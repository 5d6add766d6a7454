/**
 * Nodes to ask pools for, and nodes to give back. Pure.
 *
 * What no node has room for is packed onto nodes that are on their way, then onto new ones: the cheapest set that holds it is asked
 * for (procure.ts), within each pool's `max`. A pool that fails to bring a node is left alone for 5 s, then 10 s, 20 s … 5 min, and
 * then asked for one at a time, or for as many as a gang that waits needs at once; meanwhile others are asked. What goes back is in release.ts.
 */
import {
  type Growable,
  isGrowable,
  isResting,
  type Market,
  marketOf,
  missing,
  most,
  retryAt,
} from "./market.ts";
import type { Ask, Fn, Node, Release, Snapshot } from "./model.ts";
import { poolReasons } from "./pool_reasons.ts";
import { procure } from "./procure.ts";
import { emptyOnes, holdingsOf, idleUntil, LOST_MS, type ReleaseWorld } from "./release.ts";
import { hypotheticalNode, type Offer } from "./trial.ts";

/** Containers of a function, or gangs of them, for which no node has room. */
export interface Unplaced {
  readonly fn: Fn;
  readonly count: number;
}

export interface PoolWorld {
  readonly snapshot: Snapshot;
  /** The most urgent first. */
  readonly unplaced: readonly Unplaced[];
  /** Functions that want more containers than they have and may have them, though perhaps not now: nodes that suit them are kept. */
  readonly wanting: readonly Fn[];
  /** Nodes that get containers by this plan, or on which room is kept for some. */
  readonly occupied: ReadonlySet<string>;
  readonly now: number;
  /** Makes the id of each provision. */
  readonly newId: () => string;
}

export interface PoolPlan {
  readonly ask: readonly Ask[];
  readonly release: readonly Release[];
  readonly drainNodes: readonly string[];
  /** By function: which node it waits for, or why no pool brings one. Empty where no pool could grow anyway. */
  readonly reasons: ReadonlyMap<number, string>;
  /** By function: by when the node that it waits for is there, if it comes. */
  readonly expected: ReadonlyMap<number, number>;
  /** The next instant at which this would change by itself. */
  readonly wakeAt: number | null;
}

export function poolPlan(world: PoolWorld): PoolPlan {
  const { snapshot: { pools, provisions, containers }, unplaced, wanting, occupied, now } = world;
  if (provisions.length === 0 && !pools.some((pool) => isGrowable(pool) || pool.state === "draining")) {
    return NOTHING;
  }
  const inUse = new Set([...occupied, ...containers.map(({ node }) => node)]);
  const here = { inUse, wanting, now };
  const markets = holdingsOf(world.snapshot).map((holding) => marketOf(holding, here));
  const kept = markets.flatMap((market) => Array<string>(missing(market, now)).fill(market.pool.name));
  const trial = Math.max(1, ...unplaced.map(({ fn }) => fn.nodes));
  const offers = markets.flatMap((market) => offerOf(market, trial, now));
  const bought = procure(
    unplaced.map(({ fn, count }) => ({ functionId: fn.id, need: fn.need, nodes: fn.nodes, count })),
    [...markets.flatMap(comingNodes), ...kept.map((name, i) => blankOf(name, `${name}+${i}`, markets))],
    offers,
    unplaced.some(({ fn }) => fn.nodes > 1) ? world.snapshot.nodes.filter((node) => isOpen(node, world)) : [],
  );
  return {
    ask: [
      ...kept.map((name) => askFor(name, "kept by the pool's min", world)),
      ...bought.pools.map((name) => askFor(name, forWhom(unplaced, bought.served), world)),
    ],
    release: markets.flatMap(({ leaving }) => leaving.release),
    drainNodes: markets.flatMap(({ leaving }) => leaving.drainNodes),
    reasons: poolReasons(unplaced.map(({ fn }) => fn), bought, markets, now),
    expected: new Map([...bought.served].map(([id, node]) => [id, deadlineOf(node, markets, now)])),
    wakeAt: wakeAt(markets, here),
  };
}

const NOTHING: PoolPlan = {
  ask: [],
  release: [],
  drainNodes: [],
  reasons: new Map(),
  expected: new Map(),
  wakeAt: null,
};

/** What is free of it is as it was: nothing is placed there by this plan. */
const isOpen = ({ id, state }: Node, { occupied }: PoolWorld): boolean => state === "up" && !occupied.has(id);

/** @param trial nodes that a pool is trusted with after a failure: as many as one who waits needs at once */
function offerOf(market: Market, trial: number, now: number): Offer[] {
  const { pool } = market;
  if (!isGrowable(pool) || isResting(market, now)) return [];
  const room = most(market, trial) - missing(market, now);
  return room > 0 ? [{ pool, room }] : [];
}

const comingNodes = ({ pool, coming }: Market): Node[] =>
  isGrowable(pool) ? coming.map(({ id }) => hypotheticalNode(pool, id)) : [];

const blankOf = (name: string, id: string, markets: readonly Market[]): Node =>
  hypotheticalNode(markets.find(({ pool }) => pool.name === name)!.pool as Growable, id);

const askFor = (name: string, reason: string, { snapshot, now, newId }: PoolWorld): Ask => ({
  id: newId(),
  pool: name,
  deadlineAt: now + snapshot.pools.find((pool) => pool.name === name)!.provisionTimeoutMs,
  reason,
});

/** Of a node that is on its way, or of one that is asked for now. */
function deadlineOf(id: string, markets: readonly Market[], now: number): number {
  const coming = markets.flatMap((market) => market.coming).find((one) => one.id === id);
  if (coming !== undefined) return coming.deadlineAt;
  const { pool } = markets.find((market) => id.slice(0, id.search(/[#+]/)) === market.pool.name)!;
  return now + pool.provisionTimeoutMs;
}

/** `for demo/train and 2 others` */
function forWhom(unplaced: readonly Unplaced[], served: ReadonlyMap<number, string>): string {
  const [first, ...others] = unplaced.filter(({ fn }) => served.has(fn.id));
  const more = others.length === 0
    ? ""
    : others.length === 1
    ? " and another"
    : ` and ${others.length} others`;
  return `for ${first!.fn.app}/${first!.fn.name}${more}`;
}

function wakeAt(markets: readonly Market[], world: ReleaseWorld): number | null {
  const instants = markets.flatMap((market) => [
    ...market.coming.map(({ deadlineAt }) => deadlineAt),
    ...[...market.nodes.values()].filter(({ state }) => state === "lost").map(({ leaseUntil }) =>
      leaseUntil + LOST_MS
    ),
    ...emptyOnes(market, world).map((node) => idleUntil(market.pool, node)),
    retryAt(market.pool),
  ]).filter((at) => at > world.now);
  return instants.length === 0 ? null : Math.min(...instants);
}
