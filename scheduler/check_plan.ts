/** The invariants that a plan must keep, each by name. Pure. A plan that would break one is not committed. Linear in what there is. */
import { broken, type Violation } from "./check.ts";
import type { Container, Ending, Fn, Node, Plan, Snapshot, Start } from "./model.ts";
import { PREEMPT_WINDOW_MS } from "./preempt.ts";
import { desiredMachine, next, provisionMachine } from "./states.ts";

/** What a plan is checked against, found by its id. */
interface Known {
  readonly snapshot: Snapshot;
  readonly plan: Plan;
  readonly now: number;
  readonly nodes: ReadonlyMap<string, Node>;
  readonly fns: ReadonlyMap<number, Fn>;
  readonly containers: ReadonlyMap<string, Container>;
  /** Live containers that have not been told to leave, by this plan or before. */
  readonly staying: readonly Container[];
}

/** Invariants that a plan would break. */
export function planViolations(snapshot: Snapshot, plan: Plan, now: number): Violation[] {
  const gone = new Set([...plan.end.map((ending) => ending.container), ...plan.lostContainers]);
  const known: Known = {
    snapshot,
    plan,
    now,
    nodes: new Map(snapshot.nodes.map((node) => [node.id, node])),
    fns: new Map(snapshot.functions.map((fn) => [fn.id, fn])),
    containers: new Map(snapshot.containers.map((container) => [container.id, container])),
    staying: snapshot.containers.filter((one) => one.desired === "run" && !gone.has(one.id)),
  };
  return [
    ...overGiven(known),
    ...misplaced(known),
    ...overScaled(known),
    ...overLimit(known),
    ...tornGangs(known),
    ...badEndings(known),
    ...badPools(known),
  ];
}

/** Nothing is given that is not free. */
function overGiven({ nodes, plan }: Known): Violation[] {
  return [...Map.groupBy(plan.start, (one) => one.node)].flatMap(([id, here]) => {
    const node = nodes.get(id);
    if (node === undefined) return [];
    const given = new Map<number, number>();
    for (const { index, milli } of here.flatMap((one) => one.gpus)) {
      given.set(index, (given.get(index) ?? 0) + milli);
    }
    const gpus = new Map(node.gpus.map((gpu) => [gpu.index, gpu]));
    const detail = () => id;
    return [
      ...broken("a gpu exists", [...given.keys()].every((index) => gpus.has(index)), detail),
      ...broken(
        "no gpu is given twice",
        [...given].every(([index, milli]) => milli <= (gpus.get(index)?.milliFree ?? Infinity)),
        detail,
      ),
      ...broken(
        "no failing gpu is given",
        [...given.keys()].every((index) => gpus.get(index)?.healthy !== false),
        detail,
      ),
      ...broken("cpu is not over-given", sumOf(here, "cpuMilli") <= node.cpuMilliFree, detail),
      ...broken("memory is not over-given", sumOf(here, "memoryMiB") <= node.memoryMiBFree, detail),
      ...broken("disk is not over-given", sumOf(here, "diskMiB") <= node.diskMiBFree, detail),
      ...broken("no port is given twice", areFree(here, node), detail),
    ];
  });
}

function areFree(starts: readonly Start[], { ports }: Node): boolean {
  const given = starts.flatMap(({ port }) => port ?? []);
  return new Set(given).size === given.length && given.every((port) => !ports.includes(port));
}

const sumOf = (starts: readonly Start[], what: "cpuMilli" | "memoryMiB" | "diskMiB"): number =>
  starts.reduce((sum, one) => sum + one[what], 0);

/** Containers are new, and start where a runner is that takes new ones. */
function misplaced({ plan, nodes, containers }: Known): Violation[] {
  const lost = new Set(plan.lostNodes), drained = new Set(plan.drainNodes), ids = new Set<string>();
  return plan.start.flatMap(({ id, node: at, session }) => {
    const node = nodes.get(at);
    const isNew = !containers.has(id) && !ids.has(id);
    ids.add(id);
    const isUp = node?.session === session && node.state === "up" && !lost.has(at);
    return [
      ...broken("a container starts where a runner is", isUp, () => `${id} on ${at}`),
      ...broken(
        "nothing starts on a node that is cordoned or drains",
        node?.cordoned !== true && !drained.has(at),
        () => `${id} on ${at}`,
      ),
      ...broken("an id is new", isNew, () => id),
    ];
  });
}

/** A gang counts once. */
function overScaled({ plan, fns, staying }: Known): Violation[] {
  const units = new Map<number, Set<string>>();
  const count = (functionId: number, unit: string) =>
    units.set(functionId, (units.get(functionId) ?? new Set()).add(unit));
  for (const { functionId, id, gang } of plan.start) count(functionId, gang ?? id);
  const growing = [...units.keys()];
  for (const { functionId, deployment, id, gang } of staying) {
    if (fns.get(functionId)?.deployment === deployment) count(functionId, gang ?? id);
  }
  return growing.flatMap((id) => {
    const max = fns.get(id)?.scale.max ?? 0, n = units.get(id)!.size;
    return broken("scale.max holds", n <= max, () => `function ${id} would have ${n} of ${max}`);
  });
}

/** Containers that leave count until they have left. */
function overLimit({ snapshot, plan, fns }: Known): Violation[] {
  const workspaceOf = (one: { readonly functionId: number }) => fns.get(one.functionId)?.workspace ?? "";
  const growing = Map.groupBy(plan.start, workspaceOf);
  if (growing.size === 0) return [];
  const live = Map.groupBy(snapshot.containers, workspaceOf);
  return snapshot.workspaces.flatMap(({ id, gpuLimitMilli, cpuLimitMilli }) => {
    const starts = growing.get(id) ?? [], all = [...starts, ...live.get(id) ?? []];
    const within = (limit: number | null, of: typeof gpuMilli) =>
      limit === null || starts.every((one) => of(one) === 0) ||
      all.reduce((sum, one) => sum + of(one), 0) <= limit;
    return broken(
      "a workspace keeps within its limits",
      within(gpuLimitMilli, gpuMilli) && within(cpuLimitMilli, (one) => one.cpuMilli),
      () => id,
    );
  });
}

const gpuMilli = ({ gpus }: Pick<Start, "gpus" | "cpuMilli">): number =>
  gpus.reduce((sum, { milli }) => sum + milli, 0);

/** Gangs are whole, each rank once, on nodes of their own. */
function tornGangs({ snapshot, plan, fns }: Known): Violation[] {
  const ofGang = plan.start.filter((one) => one.gang !== null);
  const torn = plan.start.filter((one) => (fns.get(one.functionId)?.nodes ?? 1) > 1 && one.gang === null)
    .flatMap(({ id }) => broken("a container of a gang has its gang", false, () => id));
  if (ofGang.length + plan.gangs.length === 0) return torn;
  const sizes = new Map([...snapshot.gangs, ...plan.gangs].map(({ id, size }) => [id, size]));
  const formed = new Set(plan.gangs.map(({ id }) => id));
  const starting = Map.groupBy(ofGang, (one) => one.gang!);
  const live = Map.groupBy(snapshot.containers, (one) => one.gang);
  return [
    ...torn,
    ...[...new Set([...formed, ...starting.keys()])].flatMap((id) => {
      const starts = starting.get(id) ?? [], size = sizes.get(id) ?? 0;
      const all = [...starts, ...live.get(id) ?? []];
      const ranks = new Set(all.map(({ rank }) => rank));
      return [
        ...broken("a gang is formed whole", !formed.has(id) || starts.length === size, () => id),
        ...broken(
          "each rank of a gang is there once",
          ranks.size === all.length && [...ranks].every((rank) => rank >= 0 && rank < size),
          () => id,
        ),
        ...broken(
          "a gang's containers are on nodes of their own",
          new Set(all.map(({ node }) => node)).size === all.length,
          () => id,
        ),
      ];
    }),
  ];
}

/** Containers are let down once, in order, and cut short only if they may be. */
function badEndings({ plan, containers, fns, now }: Known): Violation[] {
  const ended = new Set<string>();
  return plan.end.flatMap((ending) => {
    const container = containers.get(ending.container);
    const first = !ended.has(ending.container);
    ended.add(ending.container);
    return [
      ...broken(
        "a container is let down once and in order",
        first && container !== undefined && next(desiredMachine, container.desired, ending.desired) !== null,
        () => `${ending.container} → ${ending.desired}`,
      ),
      ...broken(
        "only preemptible work is cut short, after its notice, and not twice in a while",
        ending.preemptAt === undefined ||
          mayCut(ending, container, fns.get(container?.functionId ?? -1), now),
        () => ending.container,
      ),
    ];
  });
}

function mayCut({ preemptAt }: Ending, container: Container | undefined, fn: Fn | undefined, now: number) {
  if (container === undefined || fn === undefined) return false;
  const spared = container.preemptedAt !== null && now - container.preemptedAt < PREEMPT_WINDOW_MS;
  return !spared && (fn.preemptible || container.observed !== "ready") &&
    preemptAt! >= now + fn.preemptNoticeMs;
}

/** Pools keep within what their providers may be asked for, and each provision ends once. */
function badPools({ snapshot: { pools, provisions }, plan }: Known): Violation[] {
  if (plan.ask.length + plan.release.length === 0) return [];
  const live = Map.groupBy(provisions, (one) => one.pool), asked = Map.groupBy(plan.ask, (one) => one.pool);
  const states = new Map(provisions.map(({ id, state }) => [id, state]));
  const released = new Set<string>();
  return [
    ...[...asked].flatMap(([name, asks]) => {
      const pool = pools.find((one) => one.name === name);
      const failed = plan.release.filter(({ event }) => event === "fail").map((one) => one.provision);
      const held = (live.get(name) ?? []).filter(({ id }) => !failed.includes(id)).length;
      return [
        ...broken("only active pools are asked for nodes", pool?.state === "active", () => name),
        ...broken("a pool's max holds", held + asks.length <= (pool?.max ?? 0), () => name),
      ];
    }),
    ...plan.release.flatMap(({ provision, event }) => {
      const state = states.get(provision), first = !released.has(provision);
      released.add(provision);
      return broken(
        "a provision ends once and in order",
        first && state !== undefined && next(provisionMachine, state, event) !== null,
        () => `${provision} → ${event}`,
      );
    }),
  ];
}
