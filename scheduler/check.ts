/** The invariants of the world, each by name, over values as tests and the simulation read them from the store. Pure. */
import type { GpuShare } from "../sdk/protocol.ts";
import type { Node } from "./model.ts";
import type { NodeState } from "./states.ts";

export interface Violation {
  readonly name: string;
  /** What broke it, for a person. */
  readonly detail: string;
}

/** Everything that the invariants speak of. */
export interface World {
  readonly nodes: readonly WorldNode[];
  readonly containers: readonly WorldContainer[];
  readonly batches: readonly { readonly id: number; readonly size: number }[];
  readonly ready: readonly Range[];
  readonly leases:
    readonly (Range & { readonly id: number; readonly container: string; readonly remaining: number })[];
  readonly results: readonly { readonly batch: number; readonly index: number }[];
  /** Calls that a lease no longer has though they have not ended: their attempt failed, or they were given back. */
  readonly over: readonly { readonly lease: number; readonly index: number }[];
}

export interface WorldNode extends Omit<Node, "session" | "leaseUntil" | "gpus"> {
  readonly state: NodeState;
  readonly gpus: readonly { readonly index: number; readonly milliFree: number }[];
}

export interface WorldContainer {
  readonly id: string;
  readonly node: string;
  readonly gpus: readonly GpuShare[];
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  /** Neither exited nor lost. */
  readonly live: boolean;
}

/** Calls [lo, hi) of a batch. */
export interface Range {
  readonly batch: number;
  readonly lo: number;
  readonly hi: number;
}

/** Invariants that the world breaks. */
export function violations(world: World): Violation[] {
  return [
    ...world.nodes.flatMap((node) => nodeViolations(node, world)),
    ...strays(world),
    ...callViolations(world),
  ];
}

function nodeViolations(node: WorldNode, { containers }: World): Violation[] {
  const here = containers.filter((one) => one.live && one.node === node.id);
  const used = { cpu: sum(here.map((one) => one.cpuMilli)), memory: sum(here.map((one) => one.memoryMiB)) };
  return [
    ...node.gpus.flatMap((gpu) => gpuViolations(node.id, gpu, here)),
    ...broken(
      "cpu is accounted for",
      node.cpuMilliFree + used.cpu === node.cpuMilli,
      () => `${node.id}: ${node.cpuMilliFree} milli free and ${used.cpu} given of ${node.cpuMilli}`,
    ),
    ...broken(
      "memory is accounted for",
      node.memoryMiBFree + used.memory === node.memoryMiB,
      () => `${node.id}: ${node.memoryMiBFree} MiB free and ${used.memory} given of ${node.memoryMiB}`,
    ),
    ...broken(
      "a lost node has no live container",
      here.length === 0 || node.state === "up" || node.state === "draining",
      () => `${node.id} is ${node.state} and has ${here.map((one) => one.id)}`,
    ),
  ];
}

function gpuViolations(
  node: string,
  { index, milliFree }: WorldNode["gpus"][number],
  here: readonly WorldContainer[],
): Violation[] {
  const given = sum(
    here.flatMap((one) => one.gpus).filter((share) => share.index === index).map((share) => share.milli),
  );
  return [
    ...broken(
      "no gpu is given twice",
      given <= 1000,
      () => `gpu ${index} of ${node} is given ${given} milli`,
    ),
    ...broken(
      "gpus are accounted for",
      milliFree + given === 1000,
      () => `gpu ${index} of ${node}: ${milliFree} milli free and ${given} given`,
    ),
  ];
}

/** What refers to something that is not there. */
function strays({ nodes, containers, leases, batches }: World): Violation[] {
  const nodeIds = new Set(nodes.map((node) => node.id)),
    containerIds = new Set(containers.map((one) => one.id));
  const sizes = new Map(batches.map(({ id, size }) => [id, size]));
  return [
    ...containers.flatMap(({ id, node }) =>
      broken("a container is on a known node", nodeIds.has(node), () => `${id} is on ${node}`)
    ),
    ...leases.flatMap(({ id, container, batch, hi }) => [
      ...broken(
        "a lease is of a known container",
        containerIds.has(container),
        () => `lease ${id} is of ${container}`,
      ),
      ...broken(
        "a lease lies in its batch",
        hi <= (sizes.get(batch) ?? 0),
        () => `lease ${id} ends at ${hi} of batch ${batch}`,
      ),
    ]),
  ];
}

/** Each call lies in one ready range, in one open lease, or has one result. */
function callViolations({ batches, ready, leases, results, over }: World): Violation[] {
  const [readyOf, leasesOf, resultsOf] = [byBatch(ready), byBatch(leases), byBatch(results)];
  const gone = new Set(over.map(({ lease, index }) => `${lease} ${index}`));
  return batches.flatMap(({ id, size }) => {
    const queued = count(size, readyOf.get(id) ?? []);
    const ended = count(size, (resultsOf.get(id) ?? []).map(one));
    const isElsewhere = (lease: number, i: number) => queued[i]! + ended[i]! > 0 || gone.has(`${lease} ${i}`);
    const open = openLeases(leasesOf.get(id) ?? [], isElsewhere);
    const running = count(size, open.flatMap(({ indexes }) => indexes.map((index) => one({ index }))));
    return [
      ...Array.from(
        { length: size },
        (_, i) => placesViolations(`call ${i} of batch ${id}`, queued[i]!, running[i]!, ended[i]!),
      ).flat(),
      ...open.flatMap(({ lease: { id, remaining }, indexes }) =>
        broken(
          "a lease counts what remains",
          remaining === indexes.length,
          () => `lease ${id}: remaining ${remaining}, unreported ${indexes.length}`,
        )
      ),
    ];
  });
}

const placesViolations = (call: string, queued: number, running: number, ended: number): Violation[] => [
  ...broken(
    "no call is in two places",
    queued + running + ended <= 1,
    () => `${call}: queued ${queued}, running ${running}, ended ${ended}`,
  ),
  ...broken("no call is lost", queued + running + ended >= 1, () => `${call} is nowhere`),
];

type Lease = World["leases"][number];

/** The open leases of a batch, each with the calls that it still has: not elsewhere, and not given to a later lease. */
function openLeases(leases: readonly Lease[], isElsewhere: (lease: number, index: number) => boolean) {
  const latest = new Map<number, number>();
  for (const { id, lo, hi } of leases) {
    for (let i = lo; i < hi; i++) latest.set(i, Math.max(id, latest.get(i) ?? 0));
  }
  return leases.filter((lease) => lease.remaining > 0).map((lease) => ({
    lease,
    indexes: indexesOf(lease).filter((i) => latest.get(i) === lease.id && !isElsewhere(lease.id, i)),
  }));
}

/** A violation unless `holds`. */
export const broken = (name: string, holds: boolean, detail: () => string): Violation[] =>
  holds ? [] : [{ name, detail: detail() }];

export const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

const one = ({ index }: { index: number }) => ({ lo: index, hi: index + 1 });

const indexesOf = ({ lo, hi }: { lo: number; hi: number }): number[] =>
  Array.from({ length: hi - lo }, (_, i) => lo + i);

const byBatch = <T extends { batch: number }>(all: readonly T[]): Map<number, T[]> =>
  Map.groupBy(all, (one) => one.batch);

/** How many of the ranges hold each index below `size`. */
function count(size: number, ranges: readonly { lo: number; hi: number }[]): number[] {
  const counts = new Array<number>(size).fill(0);
  for (const { lo, hi } of ranges) {
    for (let i = lo; i < Math.min(hi, size); i++) counts[i]!++;
  }
  return counts;
}
