/**
 * Gangs: containers that run each call together, as ranks on distinct nodes. Pure.
 *
 * To scaling and to order a gang is one container, a {@link Unit}: it is placed all or none, is ready when all its ranks are, is
 * busy when its leader is, and leaves as a whole. When a rank is lost the others stay and only that one is placed anew. While there
 * is no room for it they hold what they have, but for {@link REGANG_MS} at most: two halves must not wait for each other.
 */
import type { Container, Gang } from "./model.ts";

/** How long a gang waits for room for a rank that it lost, before it gives back the others. */
export const REGANG_MS = 60_000;

/** Rank 0 listens on one of these: above what services use, below what systems hand out by themselves. */
const PORTS = { first: 29_400, last: 32_767 };

/** What takes calls as one: a container, or all those of a gang. */
export interface Unit {
  /** The container, or the gang as if it were one: as far on as its last rank. */
  readonly whole: Container;
  /** Containers of it that stay. Empty when it leaves. */
  readonly staying: readonly Container[];
  readonly gang: Gang | null;
  /** Ranks that no live container has. One that leaves keeps its rank until it has left. */
  readonly missing: readonly number[];
  /** Nodes that have a rank of it. */
  readonly nodes: ReadonlySet<string>;
}

/**
 * @param containers of one function, all live ones
 * @param lost given up by this plan: the store may find that one is still there, so that nobody else has its rank before the next
 */
export function unitsOf(
  containers: readonly Container[],
  gangs: ReadonlyMap<string, Gang>,
  stays: (one: Container) => boolean,
  lost: readonly Container[] = [],
): Unit[] {
  const units: Unit[] = [], ranks = new Map<string, Container[]>();
  for (const one of containers) {
    const others = one.gang === null ? undefined : ranks.get(one.gang);
    if (one.gang === null) units.push(alone(one, stays(one)));
    else if (others !== undefined) others.push(one);
    else ranks.set(one.gang, [one]);
  }
  for (const [id, members] of ranks) {
    const ranksLost = lost.filter((one) => one.gang === id).map((one) => one.rank);
    units.push(together(members, gangs.get(id) ?? null, stays, ranksLost));
  }
  return units;
}

const NO_NODES: ReadonlySet<string> = new Set();

const alone = (one: Container, stays: boolean): Unit => ({
  whole: one,
  staying: stays ? [one] : [],
  gang: null,
  missing: [],
  nodes: NO_NODES,
});

function together(
  containers: readonly Container[],
  gang: Gang | null,
  stays: (one: Container) => boolean,
  ranksLost: readonly number[],
): Unit {
  const members = containers.toSorted((a, b) => a.rank - b.rank);
  const staying = members.filter(stays);
  const isWhole = staying.length === (gang?.size ?? members.length);
  const behind = members.find((one) => one.observed !== "ready")?.observed ?? "ready";
  const held = new Set([...members.map((one) => one.rank), ...ranksLost]);
  return {
    whole: {
      ...members[0]!,
      observed: isWhole ? behind : "pending",
      busyAt: Math.max(...members.map((one) => one.busyAt)),
    },
    staying,
    gang,
    missing: Array.from({ length: gang?.size ?? 0 }, (_, rank) => rank).filter((rank) => !held.has(rank)),
    nodes: new Set(members.map((one) => one.node)),
  };
}

/** Since when a gang has lacked a rank, if it does. */
export const brokenSince = ({ createdAt, brokenAt }: Gang): number => Math.max(createdAt, brokenAt ?? 0);

/** The calls of a gang are in its leader's lease; all its ranks are at work on them. */
export function withGangWork(containers: readonly Container[]): readonly Container[] {
  const leaders = new Map<string, Container>();
  for (const one of containers) {
    if (one.gang !== null && one.leased > 0) leaders.set(one.gang, one);
  }
  if (leaders.size === 0) return containers;
  return containers.map((one) => {
    const leader = one.gang === null ? undefined : leaders.get(one.gang);
    if (leader === undefined) return one;
    const { leased, priority, preemptedAt } = leader;
    return { ...one, leased, priority, preemptedAt };
  });
}

/** Ports that no live gang has, so that rank 0 may move to any node; when all are taken, they are given again. */
export function* freePorts(gangs: readonly Gang[]): Generator<number, never> {
  const taken = new Set(gangs.map((gang) => gang.port));
  for (;;) {
    for (let port = PORTS.first; port <= PORTS.last; port++) {
      if (!taken.has(port)) yield port;
    }
    taken.clear();
  }
}
