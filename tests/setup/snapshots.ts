/** Small snapshots for tests of the scheduler's decisions: everything has a default, a test says what matters. Pure. */
import type { Container, Demand, Fn, Need, Node, NodeGpu, Scale, Snapshot } from "../../scheduler/model.ts";

export const NOW = Date.UTC(2026, 0, 1, 12);

export const demand = (some: Partial<Demand> = {}): Demand => ({
  queued: 0,
  queuedSince: (some.queued ?? 0) > 0 ? NOW : null,
  priority: 50,
  leased: 0,
  leasedSince: (some.leased ?? 0) > 0 ? NOW : null,
  stuck: 0,
  callMs: null,
  requests: 0,
  requestsHeld: 0,
  heldSince: (some.requestsHeld ?? 0) > 0 ? NOW : null,
  requestedAt: null,
  ...some,
});

export const scale = (some: Partial<Scale> = {}): Scale => ({
  min: 0,
  max: 10,
  buffer: 0,
  scaledownWindowMs: 60_000,
  concurrency: 1,
  ...some,
});

export const need = (some: Partial<Need> = {}): Need => ({ gpu: [], cpuMilli: 100, memoryMiB: 512, ...some });

type FnParts = Partial<Omit<Fn, "demand" | "scale" | "need">> & {
  readonly demand?: Partial<Demand>;
  readonly scale?: Partial<Scale>;
  readonly need?: Partial<Need>;
};

export const fn = (some: FnParts = {}): Fn => ({
  id: 1,
  app: "demo",
  name: "work",
  deployment: "dep_2",
  digest: "d2",
  removed: false,
  timeoutMs: 300_000,
  startTimeoutMs: 60_000,
  startFailures: null,
  lastExitAt: null,
  waiting: null,
  ...some,
  demand: demand(some.demand),
  scale: scale(some.scale),
  need: need(some.need),
});

export const container = (some: Partial<Container> = {}): Container => ({
  id: "ctr_1",
  functionId: 1,
  deployment: "dep_2",
  digest: "d2",
  node: "node_1",
  session: "s1",
  desired: "run",
  observed: "ready",
  gpus: [],
  cpuMilli: 100,
  memoryMiB: 512,
  leased: 0,
  createdAt: NOW - 10_000,
  busyAt: NOW,
  leasedAt: null,
  drainingAt: some.desired === "drain" ? NOW : null,
  ...some,
});

/** GPUs of one model, by what is free of each. */
export const gpus = (model: string, ...free: number[]): NodeGpu[] =>
  free.map((milliFree, index) => ({ index, model, milliFree }));

export const node = (some: Partial<Node> = {}): Node => ({
  id: "node_1",
  session: "s1",
  state: "up",
  leaseUntil: NOW + 30_000,
  cpuMilli: 8_000,
  cpuMilliFree: 8_000,
  memoryMiB: 16_384,
  memoryMiBFree: 16_384,
  gpus: [],
  ...some,
});

export const snapshot = (some: Partial<Snapshot> = {}): Snapshot => ({
  functions: [],
  containers: [],
  nodes: [node()],
  schedules: [],
  nextScheduleAt: null,
  nextDueAt: null,
  nextExpiryAt: null,
  lastLease: 0,
  hearingSince: NOW - 60_000,
  ...some,
});

/** Repeatable chance: a small linear congruential generator. */
export function dice(
  seed: number,
): { next: () => number; upTo: (n: number) => number; pick: <T>(from: readonly T[]) => T } {
  let state = seed >>> 0;
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  const upTo = (n: number) => Math.floor(next() * (n + 1));
  return { next, upTo, pick: (from) => from[upTo(from.length - 1)]! };
}
