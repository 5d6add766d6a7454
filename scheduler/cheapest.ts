/**
 * The cheapest set of new nodes that holds some copies, exactly. Pure. Sets are looked at from the cheapest on; of equal ones the
 * smaller first, then those of pools whose names come first.
 */
import type { Node } from "./model.ts";
import { blanks, type Copy, type Offer, type Owned, pack } from "./trial.ts";

/** What is tried before it takes too long: sets of nodes looked at, sets packed, and copies to pack. */
const SETS_MAX = 1_000;
const TRIALS_MAX = 40;
const COPIES_MAX = 100;

/** A set of nodes: how many of each offer. */
interface Basket {
  readonly counts: readonly number[];
  /** Only this offer and later ones grow, so that no set is looked at twice. */
  readonly from: number;
  readonly cost: number;
  readonly size: number;
}

/**
 * The cheapest set that holds all copies, and where the first of each function goes; null when that takes too long to find.
 *
 * @param coming nodes that are there anyway
 * @param known a set that will do
 */
export function cheapest(
  copies: readonly Owned[],
  coming: readonly Node[],
  offers: readonly Offer[],
  known: readonly string[],
): { readonly pools: readonly string[]; readonly served: ReadonlyMap<number, string> } | null {
  if (copies.length > COPIES_MAX) return null;
  const limit = costOf(known, offers);
  const queue: Basket[] = [{ counts: offers.map(() => 0), from: 0, cost: 0, size: 0 }];
  for (let looked = 0, tried = 0; queue.length > 0 && looked < SETS_MAX && tried < TRIALS_MAX; looked++) {
    const set = queue.pop()!;
    if (set.cost > limit || (set.cost === limit && set.size > known.length)) return null;
    const pools = namesOf(set, offers);
    const nodes = [...coming, ...blanks(pools, offers)];
    if (mayHold(copies, nodes)) {
      tried++;
      const served = pack(copies, nodes);
      if (served !== null) return { pools, served };
    }
    for (const next of larger(set, offers)) insert(queue, next);
  }
  return null;
}

const costOf = (pools: readonly string[], offers: readonly Offer[]): number =>
  pools.reduce((sum, name) => sum + offers.find(({ pool }) => pool.name === name)!.pool.costPerHour, 0);

const namesOf = ({ counts }: Basket, offers: readonly Offer[]): string[] =>
  counts.flatMap((n, i) => Array<string>(n).fill(offers[i]!.pool.name));

const larger = (set: Basket, offers: readonly Offer[]): Basket[] =>
  offers.flatMap(({ pool, room }, i) =>
    i < set.from || set.counts[i]! >= room ? [] : [{
      counts: set.counts.with(i, set.counts[i]! + 1),
      from: i,
      cost: set.cost + pool.costPerHour,
      size: set.size + 1,
    }]
  );

/** The queue ends with the cheapest. */
function insert(queue: Basket[], set: Basket): void {
  let lo = 0, hi = queue.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (goesBefore(set, queue[mid]!)) lo = mid + 1;
    else hi = mid;
  }
  queue.splice(lo, 0, set);
}

function goesBefore(a: Basket, b: Basket): boolean {
  if (a.cost !== b.cost) return a.cost < b.cost;
  if (a.size !== b.size) return a.size < b.size;
  const at = a.counts.findIndex((n, i) => n !== b.counts[i]);
  return at !== -1 && a.counts[at]! > b.counts[at]!;
}

/** Whether there is enough in sum: most sets are too small by far. */
function mayHold(copies: readonly Copy[], nodes: readonly Node[]): boolean {
  const need = (of: (copy: Copy) => number) => copies.reduce((sum, copy) => sum + copy.nodes * of(copy), 0);
  const room = (of: (node: Node) => number) => nodes.reduce((sum, node) => sum + of(node), 0);
  return need(({ need }) => need.cpuMilli) <= room((node) => node.cpuMilliFree) &&
    need(({ need }) => need.memoryMiB) <= room((node) => node.memoryMiBFree) &&
    need(leastMilli) <= room((node) => node.gpus.reduce((sum, gpu) => sum + gpu.milliFree, 0));
}

const leastMilli = ({ need: { gpu } }: Copy): number =>
  gpu.length === 0 ? 0 : Math.min(...gpu.map(({ count, milli }) => count * milli));
