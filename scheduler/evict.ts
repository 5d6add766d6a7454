/** Who has to leave so that something fits: as few as possible, and only if it fits then. Pure in effect, as placing is. */
import type { Request } from "./place.ts";
import type { Ask } from "./rank.ts";
import type { Found, Holding, Room } from "./room.ts";
import { change, copyOf, type Free, type Spot } from "./spot.ts";

/** A giver, and what it holds. */
interface Leaver<Giver> {
  readonly giver: Giver;
  readonly holdings: readonly Holding[];
}

/** A node, those of it that may leave, and what is free when all of them have. */
interface Site<Giver> {
  readonly spot: Spot;
  readonly leavers: Leaver<Giver>[];
  readonly free: Free;
}

/** A node that fits once some have left. */
interface Way<Giver> {
  readonly spot: Spot;
  readonly leave: readonly Leaver<Giver>[];
}

/** Those that have to leave, and the places that are kept. */
export interface Eviction<Giver> {
  readonly evicted: readonly Giver[];
  readonly places: readonly Found[];
}

/**
 * Those that have to leave, or null when it would not fit even then. The room expects them to leave, and keeps the places.
 * A line of givers is looked at only when those before it don't suffice; then only on the nodes where it adds somebody, unless
 * several nodes are needed.
 */
export function evict<Giver>(request: Request<Giver>, room: Room): Eviction<Giver> | null {
  const { need, digest, nodes = 1, except, givers, holdingsOf } = request;
  const asks = room.asksOf(need, digest), sites = new Map<string, Site<Giver>>();
  for (const line of givers) {
    const touched = new Set<Site<Giver>>();
    for (const giver of line) join({ giver, holdings: holdingsOf(giver) }, sites, touched, room, except);
    if (touched.size === 0) continue;
    const hopeful = nodes === 1 ? touched : sites.values();
    for (const ask of asks) {
      const cleared = room.attempt(() => clear(ask, nodes, [...hopeful], room, except));
      if (cleared === null) continue;
      return { evicted: [...cleared.gone].map(({ giver }) => giver), places: cleared.places };
    }
  }
  return null;
}

function join<Giver>(
  leaver: Leaver<Giver>,
  sites: Map<string, Site<Giver>>,
  touched: Set<Site<Giver>>,
  room: Room,
  except?: ReadonlySet<string>,
): void {
  for (const holding of leaver.holdings) {
    const spot = room.spot(holding.node);
    if (spot === undefined || except?.has(holding.node)) continue;
    let site = sites.get(holding.node);
    if (site === undefined) sites.set(holding.node, site = { spot, leavers: [], free: copyOf(spot.soon) });
    if (site.leavers.at(-1) !== leaver) site.leavers.push(leaver);
    change(site.free, spot.node, 1, holding, holding.gpus);
    touched.add(site);
  }
}

/** Clears as many nodes as needed, one after the other, each time the one where fewest have to leave. */
function clear<Giver>(
  ask: Ask,
  nodes: number,
  sites: readonly Site<Giver>[],
  room: Room,
  except?: ReadonlySet<string>,
): { readonly gone: ReadonlySet<Leaver<Giver>>; readonly places: readonly Found[] } | null {
  const gone = new Set<Leaver<Giver>>(), used = new Set(except), places: Found[] = [];
  for (let n = 0; n < nodes; n++) {
    const way = (nodes > 1 ? freeWay<Giver>(ask, room, used) : null) ?? shortestWay(ask, sites, gone, used);
    if (way === null) return null;
    for (const leaver of way.leave) {
      gone.add(leaver);
      for (const holding of leaver.holdings) room.expect(holding);
    }
    const { spot } = way;
    const found: Found = { spot, node: spot.node, gpus: ask.shares(spot, spot.soon) };
    room.reserve(found, ask.need);
    places.push(found);
    used.add(spot.node.id);
  }
  return { gone, places };
}

/** A node where nobody has to leave. */
function freeWay<Giver>(ask: Ask, room: Room, used: ReadonlySet<string>): Way<Giver> | null {
  for (const spot of room.spots()) {
    if (!used.has(spot.node.id) && ask.fits(spot, spot.soon)) return { spot, leave: [] };
  }
  return null;
}

function shortestWay<Giver>(
  ask: Ask,
  sites: readonly Site<Giver>[],
  gone: ReadonlySet<Leaver<Giver>>,
  used: ReadonlySet<string>,
): Way<Giver> | null {
  let best: Way<Giver> | null = null, fewest = Infinity;
  for (const { spot, leavers, free } of sites) {
    if (used.has(spot.node.id) || !ask.fits(spot, free)) continue;
    const leave = fewestOf(ask, spot, gone.size === 0 ? leavers : leavers.filter((one) => !gone.has(one)));
    const n = leave.reduce((sum, { holdings }) => sum + holdings.length, 0);
    if (n < fewest) [best, fewest] = [{ spot, leave }, n];
    if (n === 1) break;
  }
  return best;
}

/** Of those on a node, all of whom would do, the first that make room; one alone if that is enough; and none that is not needed. */
function fewestOf<Giver>(ask: Ask, spot: Spot, leavers: readonly Leaver<Giver>[]): readonly Leaver<Giver>[] {
  const free = copyOf(spot.soon);
  const alone = leavers.find((one) => {
    go(one, spot, free, 1);
    const fits = ask.fits(spot, free);
    go(one, spot, free, -1);
    return fits;
  });
  if (alone !== undefined) return [alone];
  let n = 0;
  while (n < leavers.length && !ask.fits(spot, free)) go(leavers[n++]!, spot, free, 1);
  return leavers.slice(0, n).reverse().filter((one) => {
    go(one, spot, free, -1);
    const needed = !ask.fits(spot, free);
    if (needed) go(one, spot, free, 1);
    return needed;
  }).reverse();
}

/** Somebody leaves, or comes back. */
function go<Giver>({ holdings }: Leaver<Giver>, spot: Spot, free: Free, sign: 1 | -1): void {
  for (const holding of holdings) {
    if (holding.node === spot.node.id) change(free, spot.node, sign, holding, holding.gpus);
  }
}
