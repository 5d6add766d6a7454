/**
 * Packing on nodes that are not there yet, as real ones would be packed. Pure in effect: a {@link Ground} is its maker's.
 *
 * A {@link Copy} is what is placed at once: a container, or all of a gang, each of its containers on a node of its own. Nodes of a pool
 * are alike and are filled one after the other, so that of each pool only the first that fits is compared with those of others
 * (tightest.ts): a thousand copies on hundreds of nodes take some milliseconds.
 */
import type { GpuChoice } from "../sdk/gpu.ts";
import { choices, fit } from "./fit.ts";
import type { Need, Node, NodeShape, Pool } from "./model.ts";
import { type Candidate, tightest } from "./tightest.ts";

/** Containers to place together: one, or `nodes` on as many nodes. */
export interface Copy {
  readonly need: Need;
  readonly nodes: number;
}

/** A copy of a function's. */
export interface Owned extends Copy {
  readonly functionId: number;
}

/** A pool that may be asked for so many more nodes. */
export interface Offer {
  readonly pool: Pool & { readonly shape: NodeShape };
  readonly room: number;
}

/** An empty node of a pool, before there is one. */
export function hypotheticalNode(
  { name, shape, costPerHour }: Offer["pool"],
  id: string,
): Node {
  return {
    ...shape,
    id,
    session: "",
    pool: name,
    state: "up",
    cordoned: false,
    engineAway: null,
    provision: id,
    emptiedAt: 0,
    leaseUntil: Infinity,
    cpuMilliFree: shape.cpuMilli,
    memoryMiBFree: shape.memoryMiB,
    diskMiBFree: shape.diskMiB,
    ports: [],
    costPerHour,
    cached: [],
    gpus: shape.gpus.map((gpu, index) => ({ ...gpu, index, milliFree: 1000, healthy: true })),
  };
}

/** New nodes of these pools, empty, counted from `from`. */
export const blanks = (pools: readonly string[], offers: readonly Offer[], from = 0): Node[] =>
  pools.map((name, i) =>
    hypotheticalNode(offers.find(({ pool }) => pool.name === name)!.pool, `${name}#${from + i}`)
  );

/** Nodes of a pool, in the order in which they are filled; those before `start` hold nothing more. */
interface Shelf {
  readonly nodes: Node[];
  start: number;
}

/** A place, and where the node stands. */
interface Spot extends Candidate {
  readonly shelf: Shelf;
}

/** Nodes that are being filled. */
export class Ground {
  /** By pool: nodes for everything, and nodes for gangs alone. */
  readonly #shelves = new Map<string, Shelf>();
  readonly #forGangs = new Map<string, Shelf>();
  readonly #least: Least;

  /**
   * @param copies all that will be placed: nodes with less room than any of them needs are passed over
   * @param present nodes that only gangs may use, beside the others
   */
  constructor(nodes: readonly Node[], copies: readonly Copy[], present: readonly Node[] = []) {
    this.#least = leastOf(copies);
    this.add(nodes);
    putUp(this.#forGangs, present);
  }

  add(nodes: readonly Node[]): void {
    putUp(this.#shelves, nodes);
  }

  /** Places up to `count` of a copy; answers on which nodes each of them went. */
  fill(copy: Copy, count: number): string[][] {
    const placed: string[][] = [];
    for (const choice of choices(copy.need)) {
      const from = new Map<Shelf, number>();
      while (placed.length < count) {
        const found = copy.nodes === 1 ? this.#one(copy.need, choice, from) : this.gang(copy, choice);
        if (found.length < copy.nodes) break;
        for (const spot of found) this.#take(copy.need, spot);
        placed.push(found.map(({ node }) => node.id));
      }
    }
    return placed;
  }

  /** Places for as many of a gang as there are, all in one pool if that can be. */
  gang({ need, nodes: size }: Copy, choice: GpuChoice | null): Spot[] {
    const all: Spot[] = [];
    for (const pool of new Set([...this.#forGangs.keys(), ...this.#shelves.keys()])) {
      const shelves = [this.#forGangs.get(pool) ?? [], this.#shelves.get(pool) ?? []].flat();
      const here = shelves.flatMap((shelf) => spotsOf(need, choice, shelf));
      if (here.length >= size) return here.slice(0, size);
      all.push(...here);
    }
    return all.slice(0, size);
  }

  /** @param from where to look on, by shelf: a node that did not fit a need once never will */
  #one(need: Need, choice: GpuChoice | null, from: Map<Shelf, number>): Spot[] {
    const firsts: Spot[] = [];
    for (const shelf of this.#shelves.values()) {
      let at = Math.max(shelf.start, from.get(shelf) ?? 0), first: Spot | null = null;
      while (at < shelf.nodes.length && (first = spotOf(need, choice, shelf, at)) === null) at++;
      from.set(shelf, at);
      if (first !== null) firsts.push(first);
    }
    const best = tightest(need, firsts);
    return best === null ? [] : [best];
  }

  #take(need: Need, { node, gpus, shelf }: Spot): void {
    shelf.nodes[shelf.nodes.indexOf(node, shelf.start)] = taken(node, need, gpus);
    while (shelf.start < shelf.nodes.length && isFull(shelf.nodes[shelf.start]!, this.#least)) shelf.start++;
  }
}

function putUp(shelves: Map<string, Shelf>, nodes: readonly Node[]): void {
  for (const node of nodes) {
    const shelf = shelves.get(node.pool) ?? { nodes: [], start: 0 };
    shelves.set(node.pool, shelf);
    shelf.nodes.push(node);
  }
}

const spotsOf = (need: Need, choice: GpuChoice | null, shelf: Shelf): Spot[] =>
  shelf.nodes.flatMap((_, at) => at < shelf.start ? [] : spotOf(need, choice, shelf, at) ?? []);

function spotOf(need: Need, choice: GpuChoice | null, shelf: Shelf, at: number): Spot | null {
  const node = shelf.nodes[at]!;
  const gpus = fit(need, choice, node);
  return gpus === null ? null : { node, gpus, shelf };
}

/** Less of any of these than all copies need is as good as nothing. */
interface Least {
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly gpuMilli: number;
}

const leastOf = (copies: readonly Copy[]): Least => ({
  cpuMilli: Math.min(...copies.map(({ need }) => need.cpuMilli)),
  memoryMiB: Math.min(...copies.map(({ need }) => need.memoryMiB)),
  gpuMilli: Math.min(
    ...copies.map(({ need }) =>
      Math.min(...need.gpu.map(({ milli }) => milli), need.gpu.length === 0 ? 0 : Infinity)
    ),
  ),
});

const isFull = (node: Node, { cpuMilli, memoryMiB, gpuMilli }: Least): boolean =>
  node.cpuMilliFree < cpuMilli || node.memoryMiBFree < memoryMiB ||
  (gpuMilli > 0 && node.gpus.every(({ milliFree }) => milliFree < gpuMilli));

function taken(node: Node, need: Need, gpus: Candidate["gpus"]): Node {
  const milli = new Map(gpus.map((share) => [share.index, share.milli]));
  return {
    ...node,
    cpuMilliFree: node.cpuMilliFree - need.cpuMilli,
    memoryMiBFree: node.memoryMiBFree - need.memoryMiB,
    diskMiBFree: node.diskMiBFree - need.diskMiB,
    ports: need.port === null ? node.ports : [...node.ports, need.port],
    gpus: node.gpus.map((gpu) => ({ ...gpu, milliFree: gpu.milliFree - (milli.get(gpu.index) ?? 0) })),
  };
}

/** Where the first copy of each function goes, or null when not all of them fit. */
export function pack(copies: readonly Owned[], on: readonly Node[]): Map<number, string> | null {
  const ground = new Ground(on, copies);
  const first = new Map<number, string>();
  for (const copy of copies) {
    const [nodes] = ground.fill(copy, 1);
    if (nodes === undefined) return null;
    if (!first.has(copy.functionId)) first.set(copy.functionId, nodes.at(-1)!);
  }
  return first;
}

/** Whether an empty pool of such nodes would do. */
export const suits = (copy: Copy, offer: Offer): boolean =>
  new Ground(blanks(Array<string>(copy.nodes).fill(offer.pool.name), [offer]), [copy]).fill(copy, 1).length >
    0;
