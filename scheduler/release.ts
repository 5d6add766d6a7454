/** Nodes to give back, and those that will never come. Pure. A node with a container, or that is about to get one, stays. */
import { formatDuration } from "../sdk/duration.ts";
import { choices, fit } from "./fit.ts";
import type { Fn, Node, Pool, Provision, Release, Snapshot } from "./model.ts";

/** A node that was lost for this long is given up, and its pool may bring another: a network that is cut is often mended sooner. */
export const LOST_MS = 60_000;

/** What a pool has, and what becomes of it. */
export interface Holding {
  readonly pool: Pool;
  readonly provisions: readonly Provision[];
  /** All nodes of the pool by id, also those that joined by themselves. */
  readonly nodes: ReadonlyMap<string, Node>;
}

export interface Leaving {
  readonly release: readonly Release[];
  readonly drainNodes: readonly string[];
}

export interface ReleaseWorld {
  /** Nodes that have containers, or are about to get some. */
  readonly inUse: ReadonlySet<string>;
  /** Functions that want more containers than they have. */
  readonly wanting: readonly Fn[];
  readonly now: number;
}

/** What a pool has by name, live provisions only. */
export function holdingsOf({ pools, provisions, nodes }: Snapshot): Holding[] {
  const asked = Map.groupBy(provisions, (one) => one.pool);
  const joined = Map.groupBy(nodes, (node) => node.pool);
  return pools.map((pool) => ({
    pool,
    provisions: asked.get(pool.name) ?? [],
    nodes: new Map((joined.get(pool.name) ?? []).map((node) => [node.id, node])),
  }));
}

/** The node that a provision has brought, as far as it is known. */
const nodeOf = ({ node }: Provision, nodes: Holding["nodes"]): Node | undefined =>
  node === null ? undefined : nodes.get(node);

/** What a pool gives back now. */
export function leavingOf(holding: Holding, world: ReleaseWorld): Leaving {
  return holding.pool.state === "draining"
    ? drained(holding, world)
    : union(failed(holding, world), idled(holding, world));
}

const union = (a: Leaving, b: Leaving): Leaving => ({
  release: [...a.release, ...b.release],
  drainNodes: [...a.drainNodes, ...b.drainNodes],
});

/** All of a pool that drains: each node as soon as it is empty. */
function drained({ provisions, nodes }: Holding, world: ReleaseWorld): Leaving {
  const reason = "its pool drains";
  return {
    drainNodes: [...nodes.values()].filter(({ state }) => state === "up").map(({ id }) => id),
    release: provisions.flatMap((one): Release[] => {
      if (one.state === "requested" || one.state === "starting") {
        return [{ provision: one.id, event: "cancel", reason }];
      }
      const busy = one.node !== null && world.inUse.has(one.node);
      return one.state !== "joined" || busy ? [] : [{ provision: one.id, event: "release", reason }];
    }),
  };
}

/** Provisions that did not join in time, and those whose node is gone. */
function failed({ pool, provisions, nodes }: Holding, { now }: ReleaseWorld): Leaving {
  const release = provisions.flatMap((one): Release[] => {
    if (isOverdue(one, now)) {
      const reason = `it did not join within ${formatDuration(pool.provisionTimeoutMs)}`;
      return [{ provision: one.id, event: "fail", reason }];
    }
    return isGone(one, nodeOf(one, nodes), now)
      ? [{ provision: one.id, event: "fail", reason: "its node was lost" }]
      : [];
  });
  return { release, drainNodes: [] };
}

export const isComing = ({ state }: Provision): boolean => state === "requested" || state === "starting";

const isOverdue = (one: Provision, now: number): boolean => isComing(one) && now >= one.deadlineAt;

const isGone = ({ state }: Provision, node: Node | undefined, now: number): boolean =>
  state === "joined" && (node === undefined || (node.state === "lost" && now >= node.leaseUntil + LOST_MS));

/** Nodes that have been empty for the pool's idle timeout, the longest first, down to `min`; what is beyond `max`, at once. */
function idled(holding: Holding, world: ReleaseWorld): Leaving {
  const { pool, provisions, nodes } = holding;
  const staying = provisions.filter((one) => stays(one, nodes)).length;
  const [drained, up] = partition(emptyOnes(holding, world), ({ state }) => state === "draining");
  const chosen = [
    ...drained.filter((node) => world.now >= idleUntil(pool, node)),
    ...up.filter((node, i) => i < staying - pool.max || world.now >= idleUntil(pool, node))
      .slice(0, Math.max(0, staying - pool.min)),
  ];
  return {
    drainNodes: chosen.filter(({ state }) => state === "up").map(({ id }) => id),
    release: chosen.map(({ provision }) => ({
      provision: provision!,
      event: "release",
      reason: "its node was idle",
    })),
  };
}

/** Whether it counts for `min`: its node does not drain. */
export const stays = (one: Provision, nodes: Holding["nodes"]): boolean =>
  one.state !== "releasing" && nodeOf(one, nodes)?.state !== "draining";

const partition = <T>(all: readonly T[], is: (one: T) => boolean): [T[], T[]] => [
  all.filter(is),
  all.filter((one) => !is(one)),
];

/** Nodes that could go, the longest empty first. A cordoned one is in somebody's hands; one that waiting work fits on is not idle. */
export function emptyOnes({ provisions, nodes }: Holding, { inUse, wanting }: ReleaseWorld): Node[] {
  return provisions
    .flatMap((one) => one.state === "joined" ? nodeOf(one, nodes) ?? [] : [])
    .filter((node) => !inUse.has(node.id) && mayGo(node, wanting))
    .sort((a, b) => a.emptiedAt - b.emptiedAt || (a.id < b.id ? -1 : 1));
}

const mayGo = (node: Node, wanting: readonly Fn[]): boolean =>
  node.state === "draining" || (node.state === "up" && !node.cordoned && !mayServe(node, wanting));

export const idleUntil = (pool: Pool, node: Node): number => node.emptiedAt + pool.idleTimeoutMs;

const mayServe = (node: Node, wanting: readonly Fn[]): boolean =>
  wanting.some(({ need }) => choices(need).some((choice) => fit(need, choice, node) !== null));
