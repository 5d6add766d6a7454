/** Calls: one input to one function, with a durable record. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { CallableName, DurationText, Json, Name, pageOf, Tags, Timestamp } from "./primitives.ts";

export * from "./ids.ts";

/** `call_<batch>_<index>`, both in base 36, the batch padded so that ids sort by time. */
export const CallId = z.string().regex(
  /^call_[0-9a-z]{10}_[0-9a-z]{1,6}$/,
  "must be a call id such as call_000000001z_0",
);
export const BatchId = z.string().regex(
  /^batch_[0-9a-z]{10}$/,
  "must be a batch id such as batch_000000001z",
);

export const CallState = z.enum(["queued", "running", "succeeded", "failed", "cancelled", "expired"]);
export type CallState = z.infer<typeof CallState>;

/** Whose failure it was. Retry policy is by kind. */
export const FailureKind = z.enum([
  /** The user's code threw, returned something that JSON cannot hold, or ended its own process. */
  "user_error",
  /** Ran longer than the function's `timeout`. */
  "timeout",
  /** Used more memory than the function's `memory`. */
  "out_of_memory",
  /** The container could not be started: the module threw on import, `@enter` failed, a file was missing. */
  "start_failed",
  /** The node or its runner went away while the call ran. */
  "node_lost",
  /** Gave way to more important work. */
  "preempted",
  /** Somebody cancelled it. */
  "cancelled",
]);
export type FailureKind = z.infer<typeof FailureKind>;

export const Failure = z.object({
  kind: FailureKind,
  message: z.string().max(LIMITS.failureMessageLength),
  stack: z.string().max(LIMITS.failureStackLength).optional(),
  /** False when another attempt cannot help (the user's error said so, or the input is at fault). */
  retryable: z.boolean(),
});
export type Failure = z.infer<typeof Failure>;

export const Usage = z.object({ gpuSeconds: z.number(), cpuSeconds: z.number(), wallSeconds: z.number() });
export type Usage = z.infer<typeof Usage>;

export const Call = z.object({
  id: CallId,
  app: Name,
  function: CallableName,
  /** The deployment that ran it, or that would run it now. */
  deployment: z.string(),
  state: CallState,
  /** Attempts claimed so far; 0 while the first one waits. */
  attempt: z.number().int(),
  createdAt: Timestamp,
  startedAt: Timestamp.nullable(),
  endedAt: Timestamp.nullable(),
  priority: z.number().int(),
  tags: Tags,
  result: Json.optional(),
  failure: Failure.optional(),
  concurrencyKey: z.string().optional(),
  /** Why it waits, how many calls of its function go first, and when it should start, where the past allows to tell. */
  waiting: z.object({ reason: z.string(), position: z.number().int(), eta: Timestamp.nullable() }).optional(),
  usage: Usage,
});
export type Call = z.infer<typeof Call>;

export const Attempt = z.object({
  attempt: z.number().int(),
  state: z.enum(["running", "succeeded", "failed", "cancelled"]),
  container: z.string(),
  node: z.string(),
  startedAt: Timestamp.nullable(),
  endedAt: Timestamp.nullable(),
  failure: Failure.optional(),
});
export type Attempt = z.infer<typeof Attempt>;

/** Priority of a call: 0 (whenever) to 100 (first). */
export const Priority = z.number().int().min(0).max(100).default(50);

export const CreateCalls = z.object({
  app: Name,
  function: CallableName,
  input: Json.optional(),
  inputs: z.array(Json).min(1).max(LIMITS.inputsPerRequest).optional(),
  priority: Priority,
  /** Time from creation after which a call that has not started expires. */
  ttl: DurationText.optional(),
  /** Time to wait before the call may start. */
  delay: DurationText.optional(),
  tags: Tags.default({}),
  /** Of the calls with this key, `concurrencyPerKey` of the function run at a time. */
  concurrencyKey: z.string().min(1).max(LIMITS.concurrencyKeyLength).optional(),
}).refine((body) => (body.input === undefined) !== (body.inputs === undefined), {
  message: "give exactly one of `input` and `inputs`",
  path: ["input"],
});
export type CreateCalls = z.infer<typeof CreateCalls>;

export const CreatedCalls = z.object({
  batch: BatchId,
  calls: z.array(z.object({ id: CallId, state: CallState })),
});
export type CreatedCalls = z.infer<typeof CreatedCalls>;

/**
 * One finished call in a stream of results (`GET /v1/batches/{batch}/results`, newline-delimited JSON): its place in the batch, its state, and
 * its result or failure. A line without anything else is a keep-alive: `[]`.
 */
export type ResultLine = readonly [
  index: number,
  state: CallState,
  result: Json | null,
  failure: Failure | null,
];

export const LogItem = z.object({
  /** Increases within a call; the cursor of the next page. */
  seq: z.number().int(),
  at: Timestamp,
  stream: z.enum(["stdout", "stderr", "log", "system"]),
  text: z.string(),
  attempt: z.number().int(),
});
export type LogItem = z.infer<typeof LogItem>;

/**
 * What happened to a call. Beside `seq` and `at`, every kind has fields of its own:
 * `queued`, `started {attempt, container, node, rank?}`, `report {step?, …numbers}`, `progress {done, total}`, `yield {value}`,
 * `checkpoint {id, size}`, `artifact {name, version, digest, size}`, `retry {attempt, failure, at}`, `succeeded`, `failed {failure}`, `cancelled`, `expired`.
 */
export const EventItem = z.looseObject({
  seq: z.number().int(),
  at: Timestamp,
  kind: z.enum([
    "queued",
    "started",
    "report",
    "progress",
    "yield",
    "checkpoint",
    "artifact",
    "retry",
    "succeeded",
    "failed",
    "cancelled",
    "expired",
  ]),
  attempt: z.number().int(),
});
export type EventItem = z.infer<typeof EventItem>;

export const CallPage = pageOf(Call);
export const LogPage = pageOf(LogItem);
export const EventPage = pageOf(EventItem);
export const AttemptPage = pageOf(Attempt);
