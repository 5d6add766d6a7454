/** The invariants of the world, each by name, over values as tests and the simulation read them from the store. Pure. */
import type { Desired, GpuShare } from "../sdk/protocol.ts";
import { callViolations } from "./check_calls.ts";
import { partViolations } from "./check_parts.ts";
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
  readonly functions: readonly WorldFunction[];
  readonly containers: readonly WorldContainer[];
  readonly batches: readonly { readonly id: number; readonly size: number }[];
  readonly ready: readonly (Range & { readonly attempt: number })[];
  readonly leases: readonly WorldLease[];
  /** What ranks of gangs have of leases. */
  readonly parts: readonly WorldPart[];
  /** `lease`: of the attempt that ended the call; null when it never ran. */
  readonly results: readonly {
    readonly batch: number;
    readonly index: number;
    readonly lease: number | null;
  }[];
  /** Calls that a lease no longer has though they have not ended: their attempt failed, or they were given `back`. */
  readonly over: readonly { readonly lease: number; readonly index: number; readonly back: boolean }[];
}

export interface WorldNode extends
  Pick<
    Node,
    "id" | "cpuMilli" | "cpuMilliFree" | "memoryMiB" | "memoryMiBFree" | "diskMiB" | "diskMiBFree"
  > {
  readonly state: NodeState;
  readonly gpus: readonly { readonly index: number; readonly milliFree: number }[];
}

export interface WorldFunction {
  readonly id: number;
  readonly deployment: string;
  /** `scale.max`: containers, or gangs of them. */
  readonly max: number;
}

export interface WorldContainer {
  readonly id: string;
  readonly functionId: number;
  readonly deployment: string;
  readonly node: string;
  readonly desired: Desired;
  /** Its gang; its own id when it is alone. */
  readonly crew: string;
  readonly gpus: readonly GpuShare[];
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  /** Neither exited nor lost. */
  readonly live: boolean;
}

export interface WorldLease extends Range {
  readonly id: number;
  readonly container: string;
  readonly attempt: number;
  readonly remaining: number;
}

export interface WorldPart {
  readonly lease: number;
  readonly rank: number;
  readonly container: string;
  readonly open: boolean;
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
    ...world.functions.flatMap((fn) => scaleViolations(fn, world)),
    ...strays(world),
    ...callViolations(world),
    ...partViolations(world),
  ];
}

function nodeViolations(node: WorldNode, { containers }: World): Violation[] {
  const here = containers.filter((one) => one.live && one.node === node.id);
  return [
    ...node.gpus.flatMap((gpu) => gpuViolations(node.id, gpu, here)),
    ...accounted("cpu", node.id, {
      free: node.cpuMilliFree,
      given: sum(here.map((one) => one.cpuMilli)),
      all: node.cpuMilli,
    }),
    ...accounted("memory", node.id, {
      free: node.memoryMiBFree,
      given: sum(here.map((one) => one.memoryMiB)),
      all: node.memoryMiB,
    }),
    ...accounted("disk", node.id, {
      free: node.diskMiBFree,
      given: sum(here.map((one) => one.diskMiB)),
      all: node.diskMiB,
    }),
    ...broken(
      "a lost node has no live container",
      here.length === 0 || node.state === "up" || node.state === "draining",
      () => `${node.id} is ${node.state} and has ${here.map((one) => one.id)}`,
    ),
  ];
}

const accounted = (
  what: string,
  node: string,
  { free, given, all }: { free: number; given: number; all: number },
): Violation[] =>
  broken(
    `${what} is accounted for`,
    free + given === all,
    () => `${node}: ${free} free and ${given} given of ${all}`,
  );

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

/** Only of the current deployment: what an older one has drains. */
function scaleViolations({ id, deployment, max }: WorldFunction, { containers }: World): Violation[] {
  const staff = containers.filter((one) =>
    one.live && one.desired === "run" && one.functionId === id && one.deployment === deployment
  );
  const crews = new Set(staff.map(({ crew }) => crew)).size;
  return broken("scale.max holds", crews <= max, () => `function ${id} has ${crews} of ${max}`);
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

/** A violation unless `holds`. */
export const broken = (name: string, holds: boolean, detail: () => string): Violation[] =>
  holds ? [] : [{ name, detail: detail() }];

export const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
