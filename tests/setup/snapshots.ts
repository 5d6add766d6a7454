/** Small snapshots for tests of the scheduler's decisions: everything has a default, a test says what matters. Pure. */
import type {
  Container,
  Demand,
  Fn,
  Need,
  Node,
  NodeGpu,
  NodeShape,
  Pool,
  Provision,
  Scale,
  Snapshot,
  Workspace,
} from "../../scheduler/model.ts";

export const NOW = Date.UTC(2026, 0, 1, 12);

export const demand = (some: Partial<Demand> = {}): Demand => ({
  queued: 0,
  levels: (some.queued ?? 0) > 0
    ? [{ priority: some.priority ?? 50, queued: some.queued!, since: some.queuedSince ?? NOW }]
    : [],
  keyed: 0,
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
  targetWaitMs: 1_000,
  concurrency: 1,
  targetConcurrency: some.concurrency ?? 1,
  ...some,
});

export const need = (some: Partial<Need> = {}): Need => ({
  gpu: [],
  cpuMilli: 100,
  memoryMiB: 512,
  diskMiB: 0,
  labels: {},
  port: null,
  volumes: [],
  ...some,
});

type FnParts = Partial<Omit<Fn, "demand" | "scale" | "need">> & {
  readonly demand?: Partial<Demand>;
  readonly scale?: Partial<Scale>;
  readonly need?: Partial<Need>;
};

export const fn = (some: FnParts = {}): Fn => ({
  id: 1,
  workspace: "default",
  app: "demo",
  name: "work",
  deployment: "dep_2",
  digest: "d2",
  removed: false,
  nodes: 1,
  preemptible: false,
  preemptNoticeMs: 30_000,
  timeoutMs: 300_000,
  startTimeoutMs: 60_000,
  startFailures: null,
  lastExitAt: null,
  startMs: null,
  activity: null,
  wantedBefore: 0,
  secretsRevision: null,
  waiting: null,
  outlook: null,
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
  diskMiB: 0,
  port: null,
  gang: null,
  rank: 0,
  priority: (some.leased ?? 0) > 0 ? 50 : null,
  preemptedAt: null,
  preemptAt: null,
  leased: 0,
  createdAt: NOW - 10_000,
  busyAt: NOW,
  leasedAt: null,
  secretsRevision: null,
  drainingAt: some.desired === "drain" ? NOW : null,
  ...some,
});

export const workspace = (some: Partial<Workspace> = {}): Workspace => ({
  id: "default",
  weight: 100,
  gpuQuotaMilli: null,
  cpuQuotaMilli: null,
  gpuLimitMilli: null,
  cpuLimitMilli: null,
  used: 0,
  usedAt: null,
  day: null,
  ...some,
});

/** GPUs of one model, by what is free of each. */
export const gpus = (model: string, ...free: number[]): NodeGpu[] =>
  free.map((milliFree, index) => ({ index, model, vramMiB: 81_920, milliFree, healthy: true }));

export const node = (some: Partial<Node> = {}): Node => ({
  id: "node_1",
  session: "s1",
  pool: "default",
  state: "up",
  cordoned: false,
  engineAway: null,
  provision: null,
  emptiedAt: NOW - 60_000,
  leaseUntil: NOW + 30_000,
  cpuMilli: 8_000,
  cpuMilliFree: 8_000,
  memoryMiB: 16_384,
  memoryMiBFree: 16_384,
  diskMiB: 100_000,
  diskMiBFree: 100_000,
  ports: [],
  labels: {},
  costPerHour: 0,
  cached: [],
  gpus: [],
  ...some,
});

/** Eight cores and 16 GiB, as the node above; and these GPUs. */
export const shape = (model = "H100", count = 0, some: Partial<NodeShape> = {}): NodeShape => ({
  cpuMilli: 8_000,
  memoryMiB: 16_384,
  diskMiB: 100_000,
  labels: {},
  gpus: Array.from({ length: count }, () => ({ model, vramMiB: 81_920 })),
  ...some,
});

export const pool = (some: Partial<Pool> = {}): Pool => ({
  name: "grows",
  state: "active",
  provider: "local",
  min: 0,
  max: 4,
  shape: shape(),
  costPerHour: 1,
  idleTimeoutMs: 300_000,
  provisionTimeoutMs: 300_000,
  failures: null,
  ...some,
});

export const provision = (some: Partial<Provision> = {}): Provision => ({
  id: "prov_1",
  pool: "grows",
  state: "requested",
  node: null,
  requestedAt: NOW,
  deadlineAt: NOW + 300_000,
  ...some,
});

export const snapshot = (some: Partial<Snapshot> = {}): Snapshot => ({
  workspaces: [workspace()],
  pools: [],
  provisions: [],
  functions: [],
  containers: [],
  gangs: [],
  nodes: [node()],
  schedules: [],
  nextScheduleAt: null,
  nextDueAt: null,
  nextExpiryAt: null,
  nextLoadAt: null,
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
