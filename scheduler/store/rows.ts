/** Rows of the snapshot, as JSON has them, and the model values that they become: once, here. */
import { parseDuration } from "../../sdk/duration.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import type { FunctionSpec } from "../../sdk/protocol.ts";
import type { Container, Demand, Fn, Node, Schedule, Snapshot } from "../model.ts";

/** A timestamp in JSON. */
type Instant = string;

export interface FunctionRow {
  id: number;
  app: string;
  name: string;
  deployment: string;
  digest: string;
  removed: boolean;
  spec: Pick<FunctionSpec, "gpu" | "cpu" | "memory" | "timeout" | "startTimeout" | "concurrency" | "scale">;
  queued: { calls: number; since: Instant; priority: number } | null;
  leased: { calls: number; since: Instant; stuck: number } | null;
  traffic: { in_flight: number; waiting: number; oldest_at: Instant | null; active_at: Instant } | null;
  callMs: number | null;
  failures: { count: number; last_at: Instant; message: string } | null;
  lastExitAt: Instant | null;
  waiting: string | null;
}

export interface ContainerRow extends Omit<Container, "createdAt" | "busyAt" | "leasedAt" | "drainingAt"> {
  createdAt: Instant;
  busyAt: Instant;
  leasedAt: Instant | null;
  drainingAt: Instant | null;
}

export interface NodeRow extends Omit<Node, "leaseUntil"> {
  leaseUntil: Instant;
}

export interface ScheduleRow extends Omit<Schedule, "nextAt"> {
  nextAt: Instant;
}

export interface SnapshotRow {
  functions: FunctionRow[];
  containers: ContainerRow[];
  nodes: NodeRow[];
  schedules: ScheduleRow[];
  nextScheduleAt: Date | null;
  nextDueAt: Date | null;
  nextExpiryAt: Date | null;
  lastLease: number;
}

export function toSnapshot(row: SnapshotRow, hearingSince: number): Snapshot {
  return {
    functions: row.functions.map(toFn),
    containers: row.containers.map(toContainer),
    nodes: row.nodes.map((node) => ({ ...node, leaseUntil: Date.parse(node.leaseUntil) })),
    schedules: row.schedules.map((schedule) => ({ ...schedule, nextAt: Date.parse(schedule.nextAt) })),
    nextScheduleAt: row.nextScheduleAt?.getTime() ?? null,
    nextDueAt: row.nextDueAt?.getTime() ?? null,
    nextExpiryAt: row.nextExpiryAt?.getTime() ?? null,
    lastLease: row.lastLease,
    hearingSince,
  };
}

function toFn(
  { id, app, name, deployment, digest, removed, waiting, lastExitAt, spec, failures, ...demand }: FunctionRow,
): Fn {
  const { gpu, cpu, memory, concurrency, scale: { min, max, buffer, scaledownWindow } } = spec;
  return {
    id,
    app,
    name,
    deployment,
    digest,
    removed,
    waiting,
    lastExitAt: at(lastExitAt),
    need: { gpu: parseGpu(gpu), cpuMilli: Math.ceil(cpu * 1000), memoryMiB: memory },
    scale: { min, max, buffer, concurrency, scaledownWindowMs: parseDuration(scaledownWindow) },
    timeoutMs: parseDuration(spec.timeout),
    startTimeoutMs: parseDuration(spec.startTimeout),
    demand: toDemand(demand),
    startFailures: failures &&
      { count: failures.count, lastAt: Date.parse(failures.last_at), message: failures.message },
  };
}

function toDemand(
  { queued, leased, traffic, callMs }: Pick<FunctionRow, "queued" | "leased" | "traffic" | "callMs">,
): Demand {
  return {
    queued: queued?.calls ?? 0,
    queuedSince: at(queued?.since),
    priority: queued?.priority ?? 0,
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
});

const at = (instant: Instant | null | undefined): number | null => instant ? Date.parse(instant) : null;
