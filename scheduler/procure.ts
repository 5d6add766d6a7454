/**
 * The cheapest nodes on which what has no room would fit. Pure.
 *
 * First in a quick way: function by function, in their order, on what is on its way, else on new nodes of the pool that cost least for
 * what they would hold. That also tells what can't be had. Then exactly, as far as that does not take too long (cheapest.ts).
 */
import { cheapest } from "./cheapest.ts";
import { choices } from "./fit.ts";
import type { Node } from "./model.ts";
import { blanks, type Copy, Ground, type Offer, type Owned } from "./trial.ts";

/** A function's copies that have no room. */
export interface Lacking extends Owned {
  readonly count: number;
}

export interface Procurement {
  /** Pools to ask for a node, a name for each node. */
  readonly pools: readonly string[];
  /** By function: the node that its first copy would go to; that of a node to ask for is `POOL#n`, counted from 0 over all. */
  readonly served: ReadonlyMap<number, string>;
  /** Functions of which some copy can't be had. */
  readonly unmet: ReadonlySet<number>;
}

/**
 * @param coming nodes that are on their way
 * @param present nodes that are there, for gangs that need some beside: nothing else would fit on them
 */
export function procure(
  lacking: readonly Lacking[],
  coming: readonly Node[],
  offers: readonly Offer[],
  present: readonly Node[] = [],
): Procurement {
  if (lacking.length === 0) return { pools: [], served: new Map(), unmet: new Set() };
  const sorted = offers.toSorted((a, b) => a.pool.name < b.pool.name ? -1 : 1);
  const { held, unmet, ...quick } = inOrder(lacking, coming, sorted, present);
  const best = quick.pools.length === 0 ? null : cheapest(held, coming, sorted, quick.pools);
  return { ...best ?? quick, unmet };
}

interface Quick extends Procurement {
  /** Copies that have a place, in their order. */
  readonly held: readonly Owned[];
}

function inOrder(
  lacking: readonly Lacking[],
  coming: readonly Node[],
  offers: readonly Offer[],
  present: readonly Node[],
): Quick {
  const pools: string[] = [], held: Owned[] = [];
  const unmet = new Set<number>(), served = new Map<number, string>();
  const ground = new Ground(coming, lacking, present);
  const isThere = new Set(present.map(({ id }) => id));
  for (const [i, one] of lacking.entries()) {
    for (let left = one.count; left > 0;) {
      const placed = ground.fill(one, left);
      if (placed.length === 0) {
        const rest = [{ ...one, count: left }, ...lacking.slice(i + 1)];
        const bought = worthiest(one, rest, ground, offers, pools);
        if (bought === null) {
          unmet.add(one.functionId); // what it needs stays the same: the others of it can't be had either
          break;
        }
        ground.add(blanks(bought, offers, pools.length));
        pools.push(...bought);
        continue;
      }
      const awaited = placed[0]!.findLast((id) => !isThere.has(id));
      if (awaited !== undefined && !served.has(one.functionId)) served.set(one.functionId, awaited);
      held.push(...placed.map(() => one));
      left -= placed.length;
    }
  }
  return { pools, served, held, unmet };
}

/** The pool, named once per node it takes, whose nodes cost least for what they would hold of this copy and the rest. */
function worthiest(
  copy: Copy,
  rest: readonly Lacking[],
  ground: Ground,
  offers: readonly Offer[],
  taken: readonly string[],
): readonly string[] | null {
  let best: { pools: readonly string[]; cost: number } | null = null;
  for (const offer of offers) {
    const pools = fewest(copy, ground, offer);
    const room = offer.room - taken.filter((name) => name === offer.pool.name).length;
    if (pools === null || pools.length > room) continue;
    const cost = offer.pool.costPerHour * pools.length / heldBy(rest, blanks(pools, offers));
    if (best === null || cost < best.cost) best = { pools, cost };
  }
  return best?.pools ?? null;
}

/** As few nodes of a pool as make room for a copy; null when none of them would. A gang may use what is there too. */
function fewest(copy: Copy, ground: Ground, { pool }: Offer): readonly string[] | null {
  const blank = new Ground(blanks([pool.name], [{ pool, room: 1 }]), [copy]);
  const lacks = choices(copy.need).flatMap((choice) =>
    blank.gang({ ...copy, nodes: 1 }, choice).length === 0
      ? []
      : [copy.nodes === 1 ? 1 : copy.nodes - ground.gang(copy, choice).length]
  );
  return lacks.length === 0 ? null : Array<string>(Math.min(...lacks)).fill(pool.name);
}

/** How much of these copies fits on nodes, in shares of a GPU first, then CPU. Those of a gang are counted by themselves. */
function heldBy(lacking: readonly Lacking[], nodes: readonly Node[]): number {
  const ground = new Ground(nodes, lacking);
  let sum = 0, misses = 0;
  for (const one of lacking) {
    const held = ground.fill({ ...one, nodes: 1 }, one.count * one.nodes).length;
    sum += held * weight(one);
    misses = held === 0 ? misses + 1 : 0;
    if (misses === MISSES_MAX) break;
  }
  return Math.max(sum, 1);
}

/** Nodes on which so many functions in a row find no room are full. */
const MISSES_MAX = 8;

const weight = ({ need: { gpu: [gpu], cpuMilli, memoryMiB } }: Copy): number =>
  (gpu === undefined ? 0 : gpu.count * gpu.milli * 100) + cpuMilli + memoryMiB / 4;
