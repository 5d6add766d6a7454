/**
 * Where new containers go. Pure in effect: the {@link Room} is its caller's, and shrinks as containers are placed.
 *
 * A container goes where it fits now. Else it waits for room that is already on its way: containers that drain or stop. Else
 * others give way, if they may: as few as possible, in the order they are named. What it waits for is kept for it: otherwise whoever
 * needs less would take each GPU of a node as it becomes free, and whoever needs all of them would never get them.
 *
 * The same for a gang, all or none: each rank on a node of its own, all by the same choice of GPU, in one pool if that can be.
 *
 * What callers need: `roomOf(nodes, leaving, mix)` once, then `place(request, room)` for one after the other. The room has taken what was
 * placed and keeps what waits; `room.expect(container)` tells it that one more leaves, `room.find(need, digest)` only looks.
 */
import type { GpuShare } from "../sdk/protocol.ts";
import { evict } from "./evict.ts";
import type { Need, Node } from "./model.ts";
import type { Ask } from "./rank.ts";
import type { Found, Holding, Room } from "./room.ts";
import { rankedSpots } from "./survey.ts";
import { whyNot } from "./why_not.ts";

/** @template Giver something that may be told to leave: a container, a gang */
export interface Request<Giver> {
  readonly need: Need;
  /**
   * Containers, each on a node of its own.
   * @default 1
   */
  readonly nodes?: number;
  /** Of the bundle or image: nodes that have it are preferred. */
  readonly digest: string | null;
  /** Nodes that won't do, such as those of the other ranks of a gang that lacks one. */
  readonly except?: ReadonlySet<string>;
  /** It has to wait for what leaves though there may be room: its workspace has no more to give out before. */
  readonly notNow?: boolean;
  /** Those that may be told to leave, by lines: each line is tried on top of those before, and in a line the first go first. */
  readonly givers: Iterable<readonly Giver[]>;
  /** The containers of a giver: all of them leave together. */
  readonly holdingsOf: (giver: Giver) => readonly Holding[];
}

export interface Place {
  readonly node: Node;
  readonly gpus: readonly GpuShare[];
}

/** `placed`: start it there. `soon`: it will fit there when what leaves has left; `evicted` are told to leave now. `blocked`: and why. */
export type Placement<Giver> =
  | { readonly kind: "placed"; readonly places: readonly Place[] }
  | { readonly kind: "soon"; readonly places: readonly Place[]; readonly evicted: readonly Giver[] }
  | { readonly kind: "blocked"; readonly reason: string };

/** Finds places for a container, or for all of a gang, and takes or keeps them. */
export function place<Giver>(request: Request<Giver>, room: Room): Placement<Giver> {
  const { need, notNow = false } = request;
  const places = notNow ? null : findNow(request, room);
  if (places !== null) {
    for (const found of places) room.take(found, need);
    return { kind: "placed", places };
  }
  const later = findSoon(request, room);
  if (later !== null) {
    for (const found of later) room.reserve(found, need);
    return { kind: "soon", places: later, evicted: [] };
  }
  const eviction = evict(request, room);
  if (eviction !== null) return { kind: "soon", ...eviction };
  return {
    kind: "blocked",
    /** Looks at all nodes, which not every caller needs. */
    get reason() {
      return reasonOf(request, room);
    },
  };
}

function findNow<Giver>(
  { need, nodes = 1, digest, except }: Request<Giver>,
  room: Room,
): readonly Found[] | null {
  if (nodes > 1 || (except?.size ?? 0) > 0) {
    const asks = room.asksOf(need, digest);
    return findTogether(asks, nodes, (ask) => rankedSpots(ask, room, { when: "now", except }));
  }
  const found = room.find(need, digest);
  return found === null ? null : [found];
}

function findSoon<Giver>(
  { need, nodes = 1, digest, except, notNow = false }: Request<Giver>,
  room: Room,
): readonly Found[] | null {
  // What does not fit on a single node now needs one of which more gets free.
  const spots = [...nodes === 1 && !notNow ? room.growing() : room.spots()];
  const asks = room.asksOf(need, digest);
  return findTogether(asks, nodes, (ask) => rankedSpots(ask, room, { when: "soon", spots, except }));
}

/** The best places of one pool, of the pool where they cost least; else the best of all. */
function findTogether(
  asks: readonly Ask[],
  nodes: number,
  survey: (ask: Ask) => readonly (Found & { readonly score: number })[],
): readonly Found[] | null {
  for (const ask of asks) {
    const all = survey(ask);
    if (all.length < nodes) continue;
    const pools = [...Map.groupBy(all, ({ node }) => node.pool).values()].filter(({ length }) =>
      length >= nodes
    );
    const sets = (pools.length > 0 ? pools : [all]).map((pool) => pool.slice(0, nodes));
    return sets.reduce((best, set) => sumOf(set) < sumOf(best) ? set : best);
  }
  return null;
}

const sumOf = (set: readonly { readonly score: number }[]): number =>
  set.reduce((sum, { score }) => sum + score, 0);

function reasonOf<Giver>({ need, nodes = 1, except }: Request<Giver>, room: Room): string {
  const others = room.nodes().filter((node) => !(except?.has(node.id) ?? false));
  if (nodes === 1) return whyNot(need, others);
  const fitting = Math.max(
    0,
    ...room.asksOf(need, null).map((ask) => rankedSpots(ask, room, { when: "now", except }).length),
  );
  if (fitting === 0) return whyNot(need, others);
  return `needs ${nodes} nodes at once; ${fitting} ${fitting === 1 ? "has" : "have"} room`;
}
