/**
 * The nouns of the scheduler, as plain values. Pure: types, and nothing that decides.
 *
 * - **function**: what is placed and scaled (a function, or a class with its methods); here always of its current deployment.
 * - **demand**: what a function is asked for now: calls that wait, calls leased, requests of its endpoints.
 * - **container**: a copy of a function on a node, with `concurrency` slots. `desired` is ours, `observed` the runner's.
 * - **live**: a container that has neither exited nor been lost; it holds its share of the node.
 * - **node**: a machine with what is free of its CPU, memory and, per GPU, of 1000 *milli*.
 * - **session**: one run of a node's runner; containers of an earlier session are gone.
 * - **gang**: containers of one function on distinct nodes that run each call together, as ranks from 0.
 * - **pool**: nodes of one kind, and who can bring more of them. **Provision**: a node that was asked for, until it is gone.
 * - **workspace**: a tenant, with its weight and its quotas.
 * - **lease**: calls given to a container and not yet reported.
 * - **part**: what one rank of a gang has of a lease.
 * - **tick of a schedule**: an instant that its cron names. **Fire**: the call that a tick makes.
 * - **snapshot**: all of that at one instant. **Plan**: what to change, with nothing left to choose.
 *
 * Instants are milliseconds since 1970; amounts carry their unit.
 */
import type { GpuChoice } from "../sdk/gpu.ts";
import type { Desired, Failure, GpuShare, Json, Observed, VolumeStorage } from "../sdk/protocol.ts";
import type { Activity, Day, Note } from "./arrivals.ts";
import type { Scaling } from "./scaling.ts";
import type { Demand, QueueLevel, Scale, StartFailures } from "./load.ts";
import type { NodeState, PoolState, ProvisionState } from "./states.ts";

export type { Demand, QueueLevel, Scale, StartFailures };

/** What one container of a function takes from a node. */
export interface Need {
  /** Acceptable GPUs, most wanted first; empty for none. */
  readonly gpu: readonly GpuChoice[];
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  /** That the node must have. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of the node's own ports the one that it listens on, and nothing else on the node may; null: none in particular. */
  readonly port: number | null;
  /** That the node must reach. */
  readonly volumes: readonly NeedVolume[];
}

/** A volume that a function mounts. */
export interface NeedVolume {
  readonly name: string;
  /** Null: there is none of this name any more. */
  readonly id: string | null;
  readonly storage: VolumeStorage;
  /** The node, or the id of the shared path, that has it; null: whichever is the first to use it. */
  readonly home: string | null;
  /** Name of that node. */
  readonly node: string | null;
}

/** A tenant, as far as it has work or containers. */
export interface Workspace {
  readonly id: string;
  /** Its share, relative to others. */
  readonly weight: number;
  /** Guaranteed; null without a quota. */
  readonly gpuQuotaMilli: number | null;
  readonly cpuQuotaMilli: number | null;
  /** With what it borrows of others; null for no limit. */
  readonly gpuLimitMilli: number | null;
  readonly cpuLimitMilli: number | null;
  /** GPU-seconds used of late, decayed to `usedAt`. */
  readonly used: number;
  readonly usedAt: number | null;
  /** When in the day its functions have work; null when that is not known. */
  readonly day: Day | null;
}

export interface Fn {
  readonly id: number;
  readonly workspace: string;
  readonly app: string;
  readonly name: string;
  readonly deployment: string;
  /** Of the deployment's bundle, or the name of its image: what a node had better have. */
  readonly digest: string;
  /** The app is deleted, or its newest deployment no longer has this function. */
  readonly removed: boolean;
  readonly need: Need;
  readonly scale: Scale;
  /** Containers that run each call together; 1 for no gang. */
  readonly nodes: number;
  readonly preemptible: boolean;
  readonly preemptNoticeMs: number;
  readonly timeoutMs: number;
  readonly startTimeoutMs: number;
  readonly demand: Demand;
  readonly startFailures: StartFailures | null;
  /** When the last container of it ended, as far as that is remembered. */
  readonly lastExitAt: number | null;
  /** How long its last containers took from their start to ready; null when none has become ready. */
  readonly startMs: number | null;
  /** What is noted of when it has work, where its windows are predicted; null when nothing is. */
  readonly activity: Activity | null;
  /** What was wanted last, as far as it was recorded. */
  readonly wantedBefore: number;
  /** The newest change among the secrets that it names; null when it names none that there is. */
  readonly secretsRevision: number | null;
  /** What an earlier tick said about why its calls wait, and about how long. */
  readonly waiting: string | null;
  readonly outlook: Outlook | null;
}

/** From what is told how much longer a call waits, as it was said last. */
export interface Outlook extends Omit<Wait, "functionId" | "reason" | "startsMs"> {
  /** When the slots are there. */
  readonly startsAt: number | null;
  readonly saidAt: number;
}

/** A live container. */
export interface Container {
  readonly id: string;
  readonly functionId: number;
  readonly deployment: string;
  readonly digest: string;
  readonly node: string;
  readonly session: string;
  readonly desired: Desired;
  readonly observed: Extract<Observed, "pending" | "starting" | "ready">;
  readonly gpus: readonly GpuShare[];
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  readonly port: number | null;
  /** Its gang, or null; and its place there. */
  readonly gang: string | null;
  readonly rank: number;
  /** The highest priority of its calls; null when it has none. */
  readonly priority: number | null;
  /** The last time that one of its calls had given way before, if any. */
  readonly preemptedAt: number | null;
  /** When it is killed, having been told to give way. */
  readonly preemptAt: number | null;
  /** Calls it has and has not reported. */
  readonly leased: number;
  readonly createdAt: number;
  /** Last noted as having work; lags behind by up to {@link busyStaleMs}. */
  readonly busyAt: number;
  /** The last lease it got since the tick before, if any: so calls shorter than a tick are seen. */
  readonly leasedAt: number | null;
  readonly drainingAt: number | null;
  /** The newest change among the secrets that it was given; null when it has asked for none. */
  readonly secretsRevision: number | null;
}

/** A gang that has live containers. */
export interface Gang extends NewGang {
  readonly createdAt: number;
  /** When the last of its containers ended that did, as far as that is remembered. */
  readonly brokenAt: number | null;
}

export interface NodeGpu {
  readonly index: number;
  readonly model: string;
  readonly vramMiB: number;
  readonly milliFree: number;
  readonly healthy: boolean;
}

export interface Node {
  readonly id: string;
  readonly session: string;
  readonly pool: string;
  readonly state: NodeState;
  /** Nothing new is placed on it. */
  readonly cordoned: boolean;
  /** What it cannot take now, since its container engine does not answer: functions with an image, or all. */
  readonly engineAway: "images" | "all" | null;
  /** The provision that brought it, if any. */
  readonly provision: string | null;
  /** Since when it has had no container; only of use while that is so. */
  readonly emptiedAt: number;
  /** Not heard of by then, it is lost. */
  readonly leaseUntil: number;
  readonly cpuMilli: number;
  readonly cpuMilliFree: number;
  readonly memoryMiB: number;
  readonly memoryMiBFree: number;
  readonly diskMiB: number;
  readonly diskMiBFree: number;
  /** Those that containers have for themselves. */
  readonly ports: readonly number[];
  readonly labels: Readonly<Record<string, string>>;
  /** In any currency, the same for all. */
  readonly costPerHour: number;
  /** Digests of the bundles, and names of the images, that it has. */
  readonly cached: readonly string[];
  readonly gpus: readonly NodeGpu[];
}

/** What one node of a pool has, before there is one. */
export interface NodeShape {
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly gpus: readonly { readonly model: string; readonly vramMiB: number }[];
}

export interface Pool {
  readonly name: string;
  readonly state: PoolState;
  readonly provider: string;
  /** Nodes that its provider is asked for, at least and at most. */
  readonly min: number;
  readonly max: number;
  /** Null: unknown, so that it is never asked for one. */
  readonly shape: NodeShape | null;
  readonly costPerHour: number;
  readonly idleTimeoutMs: number;
  readonly provisionTimeoutMs: number;
  /** Provisions in a row that came to nothing, since the last that joined. */
  readonly failures: { readonly count: number; readonly lastAt: number; readonly message: string } | null;
}

/** A node that was asked for and has neither come to an end nor failed. */
export interface Provision {
  readonly id: string;
  readonly pool: string;
  readonly state: ProvisionState;
  readonly node: string | null;
  readonly requestedAt: number;
  readonly deadlineAt: number;
}

/** A schedule whose next tick has come. */
export interface Schedule {
  readonly id: string;
  readonly functionId: number;
  readonly workspace: string;
  readonly method: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly input: Json;
  readonly nextAt: number;
}

export interface Snapshot {
  /** Those of the functions. */
  readonly workspaces: readonly Workspace[];
  readonly pools: readonly Pool[];
  readonly provisions: readonly Provision[];
  /** Those with demand, with live containers, or with `min` above zero. */
  readonly functions: readonly Fn[];
  readonly containers: readonly Container[];
  /** Those of the containers. */
  readonly gangs: readonly Gang[];
  /** Those up or draining, those that still have live containers, and lost ones of provisions that are not over. */
  readonly nodes: readonly Node[];
  /** Schedules that are due. */
  readonly schedules: readonly Schedule[];
  /** When the next schedule, delayed range and expiry comes (or came). */
  readonly nextScheduleAt: number | null;
  readonly nextDueAt: number | null;
  readonly nextExpiryAt: number | null;
  /** When the next function that is at zero is to be loaded. */
  readonly nextLoadAt: number | null;
  /** The newest lease. */
  readonly lastLease: number;
  /** Since when ticks have followed one another without a gap. Before, nobody listened, and the silence of nodes meant nothing. */
  readonly hearingSince: number;
}

/** A container to start. */
export interface Start {
  readonly id: string;
  readonly functionId: number;
  readonly deployment: string;
  readonly node: string;
  readonly session: string;
  readonly gpus: readonly GpuShare[];
  readonly cpuMilli: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  readonly port: number | null;
  /** Ids of its volumes, if it has some. */
  readonly volumes?: readonly string[];
  readonly gang: string | null;
  readonly rank: number;
  readonly reason: string;
}

/** A gang to form; its containers are among the starts. */
export interface NewGang {
  readonly id: string;
  readonly functionId: number;
  readonly size: number;
  readonly port: number;
}

/** A container that shall end: `drain` lets it finish what it has. */
export interface Ending {
  readonly container: string;
  readonly desired: Exclude<Desired, "run">;
  readonly reason: string;
  /** Set when it gives way to more important work: its calls get notice, and it is killed then. */
  readonly preemptAt?: number;
}

/** A node to ask a pool's provider for. */
export interface Ask {
  readonly id: string;
  readonly pool: string;
  readonly deadlineAt: number;
  readonly reason: string;
}

/** A provision that is to end: its node is empty, or it never joined. */
export interface Release {
  readonly provision: string;
  /** What became of it: it is no longer needed, or it did not come. */
  readonly event: "release" | "cancel" | "fail";
  readonly reason: string;
}

/** Why the calls of a function wait, and from what to tell how much longer. */
export interface Wait {
  readonly functionId: number;
  /** Null: nothing waits. */
  readonly reason: string | null;
  /** Slots that work on the queue now, or will; null when that is not known. */
  readonly slots: number | null;
  readonly callMs: number | null;
  /** Until those slots are there. */
  readonly startsMs: number | null;
}

/** Calls of a function that waited since before `until` and can't be started. */
export interface Refusal {
  readonly functionId: number;
  readonly until: number;
  readonly failure: Failure;
}

/** A tick that becomes a call, if it is not null; and the schedule's next one. */
export interface Fire {
  readonly schedule: Schedule;
  readonly tickAt: number | null;
  readonly nextAt: number | null;
}

export interface Plan {
  /** Nodes not heard of for too long. */
  readonly lostNodes: readonly string[];
  /** Containers of those, and of sessions that are over. */
  readonly lostContainers: readonly string[];
  readonly gangs: readonly NewGang[];
  readonly start: readonly Start[];
  readonly end: readonly Ending[];
  /** Nodes to ask for, and provisions to end. */
  readonly ask: readonly Ask[];
  readonly release: readonly Release[];
  /** Nodes to drain: they are to be released, or their pool is. */
  readonly drainNodes: readonly string[];
  /** What workspaces have used of late, decayed to now; only where it changed much. */
  readonly usage: readonly { readonly workspace: string; readonly used: number }[];
  /** Containers whose `busyAt` is to be set. */
  readonly busy: readonly string[];
  readonly notes: readonly Note[];
  /** The days of workspaces whose functions began to have work. */
  readonly days: readonly { readonly workspace: string; readonly day: Day }[];
  /** Decisions that differ from the last of their function. */
  readonly scalings: readonly Scaling[];
  readonly refuse: readonly Refusal[];
  readonly fire: readonly Fire[];
  /** Some delayed ranges are due; some waiting ones have expired. */
  readonly due: boolean;
  readonly expired: boolean;
  /** Reasons that are no longer what the last tick said; null: nothing waits. */
  readonly waiting: readonly Wait[];
  /** The next instant at which this plan would change by itself. */
  readonly nextWakeAt: number | null;
}

/** A call that runs for this long is not like the short ones that ended before it. */
export const STUCK_MS = 2_000;

/** How old `busyAt` of a busy container may get: a fraction of its window, so that a write per container and tick is not needed. */
export const busyStaleMs = (scaledownWindowMs: number | null): number =>
  Math.min(5_000, (scaledownWindowMs ?? Infinity) / 8);
