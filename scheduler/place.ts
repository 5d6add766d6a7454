/**
 * Where new containers go. Pure: the room on the nodes is a value that shrinks as containers are placed.
 *
 * A container goes where it fits now. Else it waits for room that is already on its way: containers that drain or stop. Else
 * others give way, if they may: as few as possible, in the order they are named. What it waits for is kept for it: otherwise whoever
 * needs less would take each GPU of a node as it becomes free, and whoever needs all of them would never get them.
 */
import type { GpuChoice } from "../sdk/gpu.ts";
import type { GpuShare } from "../sdk/protocol.ts";
import { choices, fit, whyNot } from "./fit.ts";
import type { Container, Need, Node } from "./model.ts";
import { best, type Candidate } from "./rank.ts";
import { type Room, withPlaced, withReserved, withReturned } from "./room.ts";

export interface Request {
  readonly need: Need;
  /** Tells the nodes where a container with the same bundle lives. */
  readonly hasBundle: (node: string) => boolean;
  /** Containers that may be told to leave for it: only of the first list, or, when that is not enough, of both. */
  readonly mayLeave: readonly [idle: readonly Container[], busy: readonly Container[]];
}

/** `placed`: start it there. `soon`: it will fit when what leaves has left; `evicted` are told to leave now. `blocked`: and why. */
export type Placement =
  | { readonly kind: "placed"; readonly node: Node; readonly gpus: readonly GpuShare[]; readonly room: Room }
  | { readonly kind: "soon"; readonly evicted: readonly Container[]; readonly room: Room }
  | { readonly kind: "blocked"; readonly reason: string };

/** Finds a place for one container. */
export function place({ need, hasBundle, mayLeave: [idle, busy] }: Request, room: Room): Placement {
  const now = search(need, room.free, hasBundle);
  if (now !== null) {
    return { kind: "placed", node: now.node, gpus: now.gpus, room: withPlaced(room, need, now) };
  }
  const later = search(need, room.soon, hasBundle);
  if (later !== null) return { kind: "soon", evicted: [], room: withReserved(room, need, later) };
  return evict(need, room, idle) ?? evict(need, room, [...idle, ...busy]) ??
    { kind: "blocked", reason: whyNot(need, [...room.free.values()]) };
}

function search(
  need: Need,
  nodes: ReadonlyMap<string, Node>,
  hasBundle: (node: string) => boolean,
): Candidate | null {
  for (const choice of choices(need)) {
    const found = best(need, candidates(need, choice, nodes, hasBundle));
    if (found !== null) return found;
  }
  return null;
}

const candidates = (
  need: Need,
  choice: GpuChoice | null,
  nodes: ReadonlyMap<string, Node>,
  hasBundle: (node: string) => boolean,
): Candidate[] =>
  [...nodes.values()].flatMap((node) => {
    const gpus = fit(need, choice, node);
    return gpus === null ? [] : [{ node, gpus, hasBundle: hasBundle(node.id) }];
  });

/** The fewest containers of one node whose leaving makes room there. */
function evict(need: Need, room: Room, mayLeave: readonly Container[]): Placement | null {
  const sets = [...room.soon.values()].flatMap((node) =>
    enough(need, node, mayLeave.filter((container) => container.node === node.id)) ?? []
  );
  const fewest = sets.reduce<Eviction | null>(
    (a, b) => a === null || b.evicted.length < a.evicted.length ? b : a,
    null,
  );
  if (fewest === null) return null;
  const soon = fewest.evicted.reduce(withReturned, room.soon);
  return { kind: "soon", evicted: fewest.evicted, room: withReserved({ ...room, soon }, need, fewest.found) };
}

interface Eviction {
  readonly evicted: readonly Container[];
  readonly found: Candidate;
}

function enough(need: Need, node: Node, here: readonly Container[]): Eviction | null {
  const n = here.findIndex((_, i) => roomAfter(need, node, here.slice(0, i + 1)) !== null);
  if (n === -1) return null;
  const single = here.find((container) => roomAfter(need, node, [container]) !== null);
  const evicted = single ? [single] : needed(need, node, here.slice(0, n + 1));
  return { evicted, found: roomAfter(need, node, evicted)! };
}

/** Of containers that suffice, those without which there is no room. */
const needed = (need: Need, node: Node, gone: readonly Container[]): readonly Container[] =>
  gone.reduceRight<readonly Container[]>((set, container) => {
    const without = set.filter((other) => other !== container);
    return roomAfter(need, node, without) === null ? set : without;
  }, gone);

const roomAfter = (need: Need, node: Node, gone: readonly Container[]): Candidate | null =>
  search(need, gone.reduce(withReturned, new Map([[node.id, node]])), () => false);
