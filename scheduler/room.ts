/**
 * What is free on the nodes while containers are being placed. Pure in effect: it is built from values, shared with nobody, and
 * shrinks as containers are placed; the same steps lead to the same room.
 *
 * Finding the best place costs the same on a thousand nodes as on ten thousand, but for a logarithm: each kind of ask keeps its
 * own order of the nodes ({@link Index}) and looks again only at those that changed.
 */
import type { GpuShare } from "../sdk/protocol.ts";
import { choices } from "./fit.ts";
import { Index, SCORES_PER_STEP, spotOf } from "./index.ts";
import type { Workload } from "./mix.ts";
import { mixOf } from "./mix.ts";
import type { Container, Need, Node } from "./model.ts";
import { Prices } from "./prices.ts";
import { Ask, STEP } from "./rank.ts";
import { type Amount, change, copyOf, type Free, lowerTo, type Spot, type Stock, viewOf } from "./spot.ts";
import { stocksOf } from "./stocks.ts";
import { Waste } from "./waste.ts";

/** A place for one container, and what it would get of it. */
export interface Found {
  readonly spot: Spot;
  readonly node: Node;
  readonly gpus: readonly GpuShare[];
}

/** What a container holds of its node. */
export type Holding = Amount & Pick<Container, "node" | "gpus">;

export class Room {
  readonly #stocks: readonly Stock[];
  readonly #spots: ReadonlyMap<string, Spot>;
  readonly #prices: Prices;
  readonly #keys = new WeakMap<Need, string>();
  readonly #asks = new Map<string, readonly Ask[]>();
  readonly #indexes = new Map<Ask, Map<string | null, readonly Index[]>>();
  /** Spots of which more will be free soon than is now. */
  readonly #growing = new Set<Spot>();
  /** What to set back if what is being tried fails. */
  #undo: Map<Spot, { readonly now: Free; readonly soon: Free; readonly grows: boolean }> | null = null;

  constructor(nodes: readonly Node[], mix: readonly Workload[]) {
    const { stocks, kinds } = stocksOf(nodes, new Waste(mix), mix);
    this.#stocks = stocks;
    this.#spots = new Map(stocks.flatMap(({ spots }) => spots.map((spot) => [spot.node.id, spot])));
    this.#prices = new Prices(mix, kinds, stocks);
  }

  /** The best place that is free now; null when there is none. It is not taken. */
  find(need: Need, digest: string | null): Found | null {
    for (const ask of this.asksOf(need, null)) {
      const spot = this.#best(ask, digest);
      if (spot !== null) return { spot, node: spot.node, gpus: ask.shares(spot, spot.now) };
    }
    return null;
  }

  /** The choices of a need, the same ones each time. */
  asksOf(need: Need, digest: string | null): readonly Ask[] {
    let needKey = this.#keys.get(need);
    if (needKey === undefined) this.#keys.set(need, needKey = keyOf(need));
    const key = digest === null ? needKey : `${digest} ${needKey}`;
    const known = this.#asks.get(key);
    if (known !== undefined) return known;
    const asks = choices(need).map((choice) => new Ask(need, choice, digest));
    this.#asks.set(key, asks);
    return asks;
  }

  #best(ask: Ask, digest: string | null): Spot | null {
    const all = this.#indexesOf(ask, null), holders = digest === null ? null : this.#indexesOf(ask, digest);
    let least = Infinity, best: Stock | null = null, bestScore = Infinity;
    for (const stock of this.#stocks) {
      const score = Math.min(all[stock.index]!.best, holders?.[stock.index]?.best ?? Infinity);
      if (score === Infinity) continue;
      const priced = score + Math.round(this.priceOf(ask, stock) / STEP) * SCORES_PER_STEP;
      if (priced < least) [least, best, bestScore] = [priced, stock, score];
    }
    return best === null ? null : spotOf(bestScore, best);
  }

  /** By stock: of all spots, or of those that have a bundle or image. So what differs in that only shares most of the work. */
  #indexesOf(ask: Ask, digest: string | null): readonly Index[] {
    let byDigest = this.#indexes.get(ask);
    if (byDigest === undefined) this.#indexes.set(ask, byDigest = new Map());
    let indexes = byDigest.get(digest);
    if (indexes === undefined) {
      indexes = this.#stocks.map((stock) =>
        new Index(
          ask,
          stock,
          digest === null ? null : stock.spots.filter(({ node }) => node.cached.includes(digest)),
        )
      );
      byDigest.set(digest, indexes);
    }
    return indexes;
  }

  priceOf = ({ choice }: Ask, stock: Stock): number => this.#prices.of(choice, stock);

  /** All spots, in the order in which equal ones are taken. */
  *spots(): Generator<Spot> {
    for (const { spots } of this.#stocks) yield* spots;
  }

  spot(node: string): Spot | undefined {
    return this.#spots.get(node);
  }

  /** Those of which more may be free soon than is now. */
  growing(): Iterable<Spot> {
    return this.#growing;
  }

  /** A container goes there. */
  take({ spot, gpus }: Found, need: Amount): void {
    this.#keep(spot);
    change(spot.soon, spot.node, -1, need, gpus);
    this.#changeNow(spot, -1, need, gpus);
  }

  /** A container has left. */
  give(holding: Holding): void {
    const spot = this.#spots.get(holding.node);
    if (spot === undefined) return;
    this.#keep(spot);
    change(spot.soon, spot.node, 1, holding, holding.gpus);
    this.#changeNow(spot, 1, holding, holding.gpus);
  }

  /** A container will leave. */
  expect(holding: Holding): void {
    const spot = this.#spots.get(holding.node);
    if (spot === undefined) return;
    this.#keep(spot);
    change(spot.soon, spot.node, 1, holding, holding.gpus);
    this.#growing.add(spot);
  }

  /** Keeps a place for a container that fits there soon: of what is free now no more is left than will be then. */
  reserve({ spot, gpus }: Found, need: Amount): void {
    this.#keep(spot);
    change(spot.soon, spot.node, -1, need, gpus);
    const before = sumOf(spot.now);
    lowerTo(spot.now, spot.soon);
    this.#changed(spot, sumOf(spot.now) - before);
  }

  /** Does what leads to a result, and takes all of it back when there is none. Attempts may be made within others. */
  attempt<T>(act: () => T | null): T | null {
    const outer = this.#undo, undo = this.#undo = new Map() as NonNullable<typeof outer>;
    const result = act();
    this.#undo = outer;
    for (const [spot, before] of undo) {
      if (result === null) this.#restore(spot, before);
      else if (outer?.has(spot) === false) outer.set(spot, before);
    }
    return result;
  }

  /** The nodes with what is free now. */
  nodes(): Node[] {
    return [...this.spots()].map((spot) => spot.view ??= viewOf(spot.node, spot.now));
  }

  #changeNow(spot: Spot, sign: 1 | -1, amount: Amount, gpus: readonly GpuShare[]): void {
    change(spot.now, spot.node, sign, amount, gpus);
    this.#changed(spot, sign * gpus.reduce((sum, { milli }) => sum + milli, 0));
  }

  #changed(spot: Spot, gpuMilli: number): void {
    const { stock } = spot.kind;
    stock.gpuMilliFree += gpuMilli;
    spot.waste = NaN;
    spot.view = null;
    spot.changedAt = stock.changes.push(spot) - 1;
  }

  #keep(spot: Spot): void {
    if (this.#undo === null || this.#undo.has(spot)) return;
    this.#undo.set(spot, { now: copyOf(spot.now), soon: copyOf(spot.soon), grows: this.#growing.has(spot) });
  }

  #restore(spot: Spot, before: { readonly now: Free; readonly soon: Free; readonly grows: boolean }): void {
    const freed = sumOf(before.now) - sumOf(spot.now);
    [spot.now, spot.soon] = [before.now, before.soon];
    if (!before.grows) this.#growing.delete(spot);
    this.#changed(spot, freed);
  }
}

const sumOf = ({ gpus }: Free): number => gpus.reduce((sum, milli) => sum + milli, 0);

/** The same for needs that ask the same. */
const keyOf = ({ gpu, cpuMilli, memoryMiB, diskMiB, labels, port, volumes }: Need): string =>
  JSON.stringify([gpu, cpuMilli, memoryMiB, diskMiB, port, Object.entries(labels).sort(), volumes]);

/** The room on some nodes once containers that leave are counted out of what is free soon. */
export function roomOf(
  nodes: readonly Node[],
  leaving: readonly Holding[],
  mix: readonly Workload[] = mixOf([]),
): Room {
  const room = new Room(nodes, mix);
  for (const container of leaving) room.expect(container);
  return room;
}
