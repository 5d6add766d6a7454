/** Rows of the snapshot, as JSON has them, and the model values that they become: once, here. */
import { parseDuration } from "../../sdk/duration.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { LABEL_OCI } from "../../sdk/labels.ts";
import type { FunctionSpec } from "../../sdk/protocol.ts";
import type { Activity, History } from "../arrivals.ts";
import type {
  Container,
  Demand,
  Fn,
  Gang,
  NeedVolume,
  Node,
  NodeGpu,
  Outlook,
  Pool,
  Provision,
  Scale,
  Schedule,
  Snapshot,
  Workspace,
} from "../model.ts";

/** A timestamp in JSON. */
type Instant = string;

export interface FunctionRow {
  id: number;
  workspace: string;
  app: string;
  name: string;
  deployment: string;
  digest: string;
  removed: boolean;
  spec:
    & Pick<FunctionSpec, "gpu" | "cpu" | "memory" | "timeout" | "startTimeout" | "concurrency">
    & { scale: Omit<FunctionSpec["scale"], "targetWait"> & { targetWait?: string } }
    & NewerSpec;
  queued: { calls: number; since: Instant; priority: number; levels: LevelRow[] } | null;
  keyed: number | null;
  leased: { calls: number; since: Instant; stuck: number } | null;
  traffic: { in_flight: number; waiting: number; oldest_at: Instant | null; active_at: Instant } | null;
  callMs: number | null;
  failures: { count: number; last_at: Instant; message: string } | null;
  lastExitAt: Instant | null;
  startMs: number | null;
  activity: ActivityRow | null;
  wantedBefore: number | null;
  secretsRevision: number | null;
  volumes: NeedVolume[] | null;
  said: SaidRow | null;
}

/** A row of `arrival`. */
type ActivityRow =
  & { history: History | null }
  & Record<"idleAt" | "loadAt" | "keepUntil", Instant | null>;

/** A row of `waiting`. */
interface SaidRow {
  reason: string;
  since: Instant;
  slots: number | null;
  call_ms: number | null;
  starts_ms: number | null;
}

/** Fields that deployments of earlier versions don't have. */
type NewerSpec = {
  [K in "disk" | "labels" | "nodes" | "preemptible" | "preemptNotice" | "image" | "server"]:
    | FunctionSpec[K]
    | null;
};

interface LevelRow {
  priority: number;
  queued: number;
  since: Instant;
}

type ContainerInstant =
  | "createdAt"
  | "busyAt"
  | "leasedAt"
  | "drainingAt"
  | "preemptedAt"
  | "preemptAt";
export interface ContainerRow extends Omit<Container, ContainerInstant> {
  createdAt: Instant;
  busyAt: Instant;
  leasedAt: Instant | null;
  drainingAt: Instant | null;
  preemptedAt: Instant | null;
  preemptAt: Instant | null;
}

export interface GangRow extends Omit<Gang, "createdAt" | "brokenAt"> {
  createdAt: Instant;
  brokenAt: Instant | null;
}

/** Rows, column by column; null instead of a column without any. */
type Columns<Row> = { readonly [K in keyof Row]: readonly Row[K][] | null };

export interface NodeRow extends Omit<Node, "leaseUntil" | "emptiedAt" | "gpus" | "ports"> {
  gpus: Columns<NodeGpu> | null;
  leaseUntil: Instant;
  emptiedAt: Instant;
}

export interface WorkspaceRow extends Omit<Workspace, "usedAt"> {
  usedAt: Instant | null;
}

export interface PoolRow extends Omit<Pool, "failures"> {
  failures: { count: number; last_at: Instant; message: string } | null;
}

export interface ProvisionRow extends Omit<Provision, "requestedAt" | "deadlineAt"> {
  requestedAt: Instant;
  deadlineAt: Instant;
}

export interface ScheduleRow extends Omit<Schedule, "nextAt"> {
  nextAt: Instant;
}

export interface SnapshotRow {
  functions: FunctionRow[];
  containers: ContainerRow[];
  gangs: GangRow[];
  nodes: Columns<NodeRow>;
  workspaces: WorkspaceRow[];
  pools: PoolRow[];
  provisions: ProvisionRow[];
  schedules: ScheduleRow[];
  nextScheduleAt: Date | null;
  nextDueAt: Date | null;
  nextExpiryAt: Date | null;
  nextLoadAt: Date | null;
  lastLease: number;
}

export function toSnapshot(row: SnapshotRow, hearingSince: number): Snapshot {
  const ports = portsByNode(row.containers);
  return {
    functions: row.functions.map(toFn),
    containers: row.containers.map(toContainer),
    gangs: row.gangs.map(toGang),
    nodes: rowsOf(row.nodes).map((node) => toNode(node, ports.get(node.id))),
    workspaces: row.workspaces.map((one) => ({ ...one, usedAt: at(one.usedAt) })),
    pools: row.pools.map((pool) => ({ ...pool, failures: toFailures(pool.failures) })),
    provisions: row.provisions.map(toProvision),
    schedules: row.schedules.map((schedule) => ({ ...schedule, nextAt: Date.parse(schedule.nextAt) })),
    nextScheduleAt: row.nextScheduleAt?.getTime() ?? null,
    nextDueAt: row.nextDueAt?.getTime() ?? null,
    nextExpiryAt: row.nextExpiryAt?.getTime() ?? null,
    nextLoadAt: row.nextLoadAt?.getTime() ?? null,
    lastLease: row.lastLease,
    hearingSince,
  };
}

function toFn(
  { id, workspace, app, name, deployment, digest, removed, said, ...row }: FunctionRow,
): Fn {
  const { lastExitAt, startMs, activity, wantedBefore, secretsRevision, spec, failures } = row;
  const { gpu, cpu, memory } = spec;
  return {
    id,
    workspace,
    app,
    name,
    deployment,
    digest,
    removed,
    waiting: said?.reason ?? null,
    outlook: said && toOutlook(said),
    lastExitAt: at(lastExitAt),
    startMs,
    activity: activity && toActivity(activity),
    wantedBefore: wantedBefore ?? 0,
    secretsRevision,
    need: {
      gpu: parseGpu(gpu),
      cpuMilli: Math.ceil(cpu * 1000),
      memoryMiB: memory,
      diskMiB: spec.disk ?? 0,
      labels: { ...spec.labels, ...(spec.image ? { [LABEL_OCI]: "yes" } : {}) },
      port: spec.image ? null : spec.server?.port ?? null, // a container with an image has ports of its own
      volumes: row.volumes ?? [],
    },
    nodes: spec.nodes ?? 1,
    preemptible: spec.preemptible ?? false,
    preemptNoticeMs: parseDuration(spec.preemptNotice ?? "30s"),
    scale: toScale(spec),
    timeoutMs: parseDuration(spec.timeout),
    startTimeoutMs: parseDuration(spec.startTimeout),
    demand: toDemand(row),
    startFailures: toFailures(failures),
  };
}

function toScale({ concurrency, scale }: FunctionRow["spec"]): Scale {
  const { min, max, buffer, scaledownWindow, targetWait = "1s", targetConcurrency = concurrency } = scale;
  return {
    min,
    max,
    buffer,
    concurrency,
    targetConcurrency: Math.min(concurrency, targetConcurrency),
    targetWaitMs: Math.max(1, parseDuration(targetWait)),
    scaledownWindowMs: scaledownWindow === "auto" ? null : parseDuration(scaledownWindow),
  };
}

const toActivity = ({ history, idleAt, loadAt, keepUntil }: ActivityRow): Activity => ({
  history,
  idleAt: at(idleAt),
  loadAt: at(loadAt),
  keepUntil: at(keepUntil),
});

function toOutlook({ since, slots, call_ms, starts_ms }: SaidRow): Outlook {
  const saidAt = Date.parse(since);
  return { slots, callMs: call_ms, startsAt: starts_ms === null ? null : saidAt + starts_ms, saidAt };
}

function toDemand(
  { queued, keyed, leased, traffic, callMs }: Pick<
    FunctionRow,
    "queued" | "keyed" | "leased" | "traffic" | "callMs"
  >,
): Demand {
  return {
    queued: (queued?.calls ?? 0) - (keyed ?? 0),
    queuedSince: at(queued?.since),
    priority: queued?.priority ?? 0,
    levels: (queued?.levels ?? []).map((level) => ({ ...level, since: Date.parse(level.since) })),
    keyed: keyed ?? 0,
    leased: leased?.calls ?? 0,
    leasedSince: at(leased?.since),
    stuck: leased?.stuck ?? 0,
    callMs,
    requests: traffic?.in_flight ?? 0,
    requestsHeld: traffic?.waiting ?? 0,
    heldSince: traffic !== null && traffic.waiting > 0 ? at(traffic.oldest_at ?? traffic.active_at) : null,
    requestedAt: at(traffic?.active_at),
  };
}

const toContainer = (row: ContainerRow): Container => ({
  ...row,
  createdAt: Date.parse(row.createdAt),
  busyAt: Date.parse(row.busyAt),
  leasedAt: at(row.leasedAt),
  drainingAt: at(row.drainingAt),
  preemptedAt: at(row.preemptedAt),
  preemptAt: at(row.preemptAt),
});

const toGang = (row: GangRow): Gang => ({
  ...row,
  createdAt: Date.parse(row.createdAt),
  brokenAt: at(row.brokenAt),
});

/** Few containers have one. */
function portsByNode(containers: readonly ContainerRow[]): ReadonlyMap<string, readonly number[]> {
  const ports = new Map<string, number[]>();
  for (const { node, port } of containers) {
    if (port !== null) ports.set(node, [...ports.get(node) ?? [], port]);
  }
  return ports;
}

const toNode = (row: NodeRow, ports: readonly number[] = []): Node => ({
  ...row,
  ports,
  gpus: row.gpus === null ? [] : rowsOf(row.gpus),
  leaseUntil: Date.parse(row.leaseUntil),
  emptiedAt: Date.parse(row.emptiedAt),
});

function rowsOf<Row>(columns: Columns<Row>): Row[] {
  const entries = Object.entries(columns) as [keyof Row, Row[keyof Row][] | null][];
  return (entries[0]![1] ?? []).map((_, i) => {
    const row = {} as Row;
    for (const [name, column] of entries) row[name] = column![i]!;
    return row;
  });
}

const toProvision = (row: ProvisionRow): Provision => ({
  ...row,
  requestedAt: Date.parse(row.requestedAt),
  deadlineAt: Date.parse(row.deadlineAt),
});

const toFailures = (row: { count: number; last_at: Instant; message: string } | null) =>
  row && { count: row.count, lastAt: Date.parse(row.last_at), message: row.message };

const at = (instant: Instant | null | undefined): number | null => instant ? Date.parse(instant) : null;
