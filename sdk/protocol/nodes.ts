/** What runs where, seen from outside: containers, nodes, schedules. */
import { z } from "zod";
import { DurationText, Json, Labels, Name, pageOf, Timestamp } from "./primitives.ts";

/** What the scheduler wants of a container. Only the scheduler writes it. */
export const Desired = z.enum(["run", "drain", "stop"]);
export type Desired = z.infer<typeof Desired>;
/** What the runner saw of it. `pending`: not seen yet. `lost`: its node went away; only the scheduler says so. */
export const Observed = z.enum(["pending", "starting", "ready", "exited", "lost"]);
export type Observed = z.infer<typeof Observed>;

export const GpuShare = z.object({
  index: z.number().int().min(0),
  milli: z.number().int().min(1).max(1000),
});
export type GpuShare = z.infer<typeof GpuShare>;

export const Gpu = z.object({
  index: z.number().int().min(0).max(1023),
  model: z.string().max(64),
  vramMiB: z.number().int().min(0),
  uuid: z.string().max(80).optional(),
  /** Declared with `--simulate-gpus`: counted like a GPU, but there is none. */
  simulated: z.boolean().default(false),
});
export type Gpu = z.infer<typeof Gpu>;

export const Container = z.object({
  id: z.string(),
  app: Name,
  /** The function or class it runs. */
  function: Name,
  deployment: z.string(),
  node: z.string(),
  desired: Desired,
  observed: Observed,
  gpus: z.array(GpuShare),
  cpu: z.number(),
  memory: z.number().int(),
  /** MiB of scratch space. */
  disk: z.number().int(),
  /** Its gang and its place in it, when its function runs on several nodes. */
  gang: z.object({ id: z.string(), rank: z.number().int() }).optional(),
  createdAt: Timestamp,
  readyAt: Timestamp.nullable(),
  exitedAt: Timestamp.nullable(),
  /** Until when what is left of it can be looked into, if it failed and its function wants that. */
  keptUntil: Timestamp.nullable(),
  /** Why the scheduler wants what it wants. */
  reason: z.string(),
  /** How it ended. */
  exit: z.object({ kind: z.string(), message: z.string() }).optional(),
});
export type Container = z.infer<typeof Container>;

export const Node = z.object({
  id: z.string(),
  name: z.string(),
  pool: Name,
  state: z.enum(["up", "draining", "lost", "left"]),
  /** Nothing new is placed on it. */
  cordoned: z.boolean(),
  /** Why its container engine takes nothing now; null when it does, or there is none. */
  engineAway: z.string().nullable().default(null),
  labels: Labels,
  gpus: z.array(Gpu.extend({
    freeMilli: z.number().int(),
    healthy: z.boolean(),
    /** What is wrong with it, or why it was taken out by hand. */
    ailment: z.string().optional(),
  })),
  cpu: z.number(),
  cpuFree: z.number(),
  memory: z.number().int(),
  memoryFree: z.number().int(),
  disk: z.number().int(),
  diskFree: z.number().int(),
  containers: z.number().int(),
  /** The provision that brought it, when its pool's provider did. */
  provision: z.string().nullable(),
  joinedAt: Timestamp,
  seenAt: Timestamp,
});
export type Node = z.infer<typeof Node>;

export const Schedule = z.object({
  id: z.string(),
  app: Name,
  function: z.string(),
  cron: z.string(),
  timeZone: z.string(),
  input: Json,
  paused: z.boolean(),
  nextAt: Timestamp.nullable(),
  lastAt: Timestamp.nullable(),
  /** The call of the last fire. */
  lastCall: z.string().nullable(),
});
export type Schedule = z.infer<typeof Schedule>;

export const Health = z.object({
  ok: z.boolean(),
  version: z.string(),
  database: z.boolean(),
  uptime: DurationText,
});

/** A line of a container that takes no calls: of a server, or an endpoint. */
export const ContainerLog = z.object({
  /** Increases within a container; the cursor of the next page. */
  seq: z.number().int(),
  at: Timestamp,
  stream: z.enum(["stdout", "stderr", "log", "system"]),
  text: z.string(),
});
export type ContainerLog = z.infer<typeof ContainerLog>;

export const ContainerPage = pageOf(Container);
export const ContainerLogPage = pageOf(ContainerLog);
export const NodePage = pageOf(Node);
export const SchedulePage = pageOf(Schedule);
