/** Sorts nodes: into kinds that the same work can use, and into stocks with the same models of GPU. Pure. */
import { WHOLE } from "./fit.ts";
import type { Workload } from "./mix.ts";
import type { Node } from "./model.ts";
import { freeOf, type Kind, type Spot, type Stock } from "./spot.ts";
import type { Waste } from "./waste.ts";

/** CPU and memory of nodes of one kind differ by less than a sixteenth: machines are never quite equal. */
const STEPS_PER_DOUBLING = 11;

export function stocksOf(
  nodes: readonly Node[],
  waste: Waste,
  mix: readonly Workload[],
): { readonly stocks: readonly Stock[]; readonly kinds: readonly Kind[] } {
  const labels = [...new Set(mix.flatMap(({ need }) => Object.keys(need.labels)))].sort();
  const stocks = new Map<string, Stock>(), kinds = new Map<string, Kind>();
  const costs = [...new Set(nodes.map((node) => node.costPerHour))].sort((a, b) => a - b);
  const costRanks = new Map(costs.map((cost, rank) => [cost, rank]));
  for (const node of nodes.toSorted(inOrder)) {
    const stock = known(stocks, modelsOf(node), (index) => emptyStock(index));
    const kind = known(kinds, kindKey(node, labels), (index): Kind => ({
      index,
      example: node,
      prospect: waste.prospectOf(node),
      healthy: node.gpus.flatMap((gpu, i) => gpu.healthy ? [i] : []),
      stock,
    }));
    add(stock, spotOf(node, kind, costRanks.get(node.costPerHour)!));
  }
  return { stocks: [...stocks.values()], kinds: [...kinds.values()] };
}

const inOrder = (a: Node, b: Node): number => a.costPerHour - b.costPerHour || (a.id < b.id ? -1 : 1);

function known<T>(all: Map<string, T>, key: string, make: (index: number) => T): T {
  let one = all.get(key);
  if (one === undefined) all.set(key, one = make(all.size));
  return one;
}

const modelsOf = ({ gpus }: Node): string =>
  [...new Set(gpus.filter((gpu) => gpu.healthy).map((gpu) => gpu.model))].sort().join();

const kindKey = (node: Node, labels: readonly string[]): string =>
  [
    step(node.cpuMilli),
    step(node.memoryMiB),
    ...labels.map((key) => node.labels[key] ?? ""),
    ...node.gpus.map(({ model, vramMiB, healthy }) => `${model} ${vramMiB} ${healthy}`),
  ].join("|");

const step = (amount: number): number => Math.round(Math.log2(Math.max(1, amount)) * STEPS_PER_DOUBLING);

const emptyStock = (index: number): Stock => ({
  index,
  spots: [],
  changes: [],
  gpuMilli: 0,
  gpuMilliFree: 0,
});

const spotOf = (node: Node, kind: Kind, costRank: number): Spot => ({
  node,
  kind,
  order: kind.stock.spots.length,
  costRank,
  now: freeOf(node),
  soon: freeOf(node),
  waste: NaN,
  changedAt: -1,
  view: node,
});

function add(stock: Stock, spot: Spot): void {
  stock.spots.push(spot);
  stock.gpuMilli += spot.kind.healthy.length * WHOLE;
  stock.gpuMilliFree += spot.kind.healthy.reduce((sum, g) => sum + spot.now.gpus[g]!, 0);
}
