/**
 * The nouns of the scheduler, as plain values. Pure: types, and nothing that decides.
 *
 * - **function**: what is placed and scaled (a function, or a class with its methods); here always of its current deployment.
 * - **demand**: what a function is asked for now: calls that wait, calls leased, requests of its endpoints.
 * - **container**: a copy of a function on a node, with `concurrency` slots. `desired` is ours, `observed` the runner's.
 * - **live**: a container that has neither exited nor been lost; it holds its share of the node.
 * - **node**: a machine with what is free of its CPU, memory and, per GPU, of 1000 *milli*.
 * - **session**: one run of a node's runner; containers of an earlier session are gone.
 * - **lease**: calls given to a container and not yet reported.
 * - **tick of a schedule**: an instant that its cron names. **Fire**: the call that a tick makes.
 * - **snapshot**: all of that at one instant. **Plan**: what to change, with nothing left to choose.
 *
 * Instants are milliseconds since 1970; amounts carry their unit.
 */
import type { GpuChoice } from "../sdk/gpu.ts";
import type { Desired, Failure, GpuShare, Json, Observed } from "../sdk/protocol.ts";
import type { NodeState } from "./states.ts";

/** What one container of a function takes from a node. */
export interface Need {
  /** Acceptable GPUs, most wanted first; empty for none. */
  readonly gpu: readonly GpuChoice[];
  readonly cpuMilli: number;
  readonly memoryMiB: number;
}

/** How many containers a function may have, and for how long idle ones stay. */
export interface Scale {
  readonly min: number;
  readonly max: number;
  /** Containers beyond what the load needs, while there is load. */
  readonly buffer: number;
  readonly scaledownWindowMs: number;
  /** Calls or requests of one container at a time. */
  readonly concurrency: number;
}

export interface Demand {
  /** Calls that could start now. */
  readonly queued: number;
  /** Since when the oldest of them waits. */
  readonly queuedSince: number | null;
  /** The highest among them. */
  readonly priority: number;
  /** Calls given to containers and not reported. */
  readonly leased: number;
  readonly leasedSince: number | null;
  /** Calls of leases older than {@link STUCK_MS}. */
  readonly stuck: number;
  /** Mean wall time of the calls that ended last; null when none has. */
  readonly callMs: number | null;
  /** Requests that containers are serving, and that gateways hold. */
  readonly requests: number;
  readonly requestsHeld: number;
  readonly heldSince: number | null;
  /** The last time there was a request. */
  readonly requestedAt: number | null;
}

/** Starts that came to nothing, since the last container of this deployment that became ready. */
export interface StartFailures {
  /** How often in a row; containers started by one tick count once. */
  readonly count: number;
  readonly lastAt: number;
  /** What the last of them said. */
  readonly message: string;
}

export interface Fn {
  readonly id: number;
  readonly app: string;
  readonly name: string;
  readonly deployment: string;
  /** Of the deployment's bundle. */
  readonly digest: string;
  /** The app is deleted, or its newest deployment no longer has this function. */
  readonly removed: boolean;
  readonly need: Need;
  readonly scale: Scale;
  readonly timeoutMs: number;
  readonly startTimeoutMs: number;
  readonly demand: Demand;
  readonly startFailures: StartFailures | null;
  /** When the last container of it ended, as far as that is remembered. */
  readonly lastExitAt: number | null;
  /** What the last tick said about why its calls wait. */
  readonly waiting: string | null;
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
  /** Calls it has and has not reported. */
  readonly leased: number;
  readonly createdAt: number;
  /** Last noted as having work; lags behind by up to {@link busyStaleMs}. */
  readonly busyAt: number;
  /** The last lease it got since the tick before, if any: so calls shorter than a tick are seen. */
  readonly leasedAt: number | null;
  readonly drainingAt: number | null;
}

export interface NodeGpu {
  readonly index: number;
  readonly model: string;
  readonly milliFree: number;
}

export interface Node {
  readonly id: string;
  readonly session: string;
  readonly state: NodeState;
  /** Not heard of by then, it is lost. */
  readonly leaseUntil: number;
  readonly cpuMilli: number;
  readonly cpuMilliFree: number;
  readonly memoryMiB: number;
  readonly memoryMiBFree: number;
  readonly gpus: readonly NodeGpu[];
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
  /** Those with demand, with live containers, or with `min` above zero. */
  readonly functions: readonly Fn[];
  readonly containers: readonly Container[];
  /** Those up or draining, and those that still have live containers. */
  readonly nodes: readonly Node[];
  /** Schedules that are due. */
  readonly schedules: readonly Schedule[];
  /** When the next schedule, delayed range and expiry comes (or came). */
  readonly nextScheduleAt: number | null;
  readonly nextDueAt: number | null;
  readonly nextExpiryAt: number | null;
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
  readonly reason: string;
}

/** A container that shall end: `drain` lets it finish what it has. */
export interface Ending {
  readonly container: string;
  readonly desired: Exclude<Desired, "run">;
  readonly reason: string;
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
  readonly start: readonly Start[];
  readonly end: readonly Ending[];
  /** Containers whose `busyAt` is to be set. */
  readonly busy: readonly string[];
  readonly refuse: readonly Refusal[];
  readonly fire: readonly Fire[];
  /** Some delayed ranges are due; some waiting ones have expired. */
  readonly due: boolean;
  readonly expired: boolean;
  /** Reasons that are no longer what the last tick said; null: nothing waits. */
  readonly waiting: readonly { readonly functionId: number; readonly reason: string | null }[];
  /** The next instant at which this plan would change by itself. */
  readonly nextWakeAt: number | null;
}

/** A call that runs for this long is not like the short ones that ended before it. */
export const STUCK_MS = 2_000;

/** How old `busyAt` of a busy container may get: a fraction of its window, so that a write per container and tick is not needed. */
export const busyStaleMs = (scaledownWindowMs: number): number => Math.min(5_000, scaledownWindowMs / 8);
