/**
 * The guest protocol: newline-delimited JSON over a stream socket. A frame with `bytes: n` is followed by n raw bytes (its
 * body). See README.md in this folder for how a guest for another language is written. Pure: parsing and checking only.
 *
 * Everything a guest sends is hostile input: user code can reach the socket. Frames are bounded, checked, and
 * accepted only for calls that this guest was given.
 */
import { z } from "zod";
import { Json, LIMITS, type Master, Name, ValueId } from "../sdk/protocol.ts";

const CallRef = z.number().int().min(0);

// ── host → guest ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** There is nothing to load yet, and time for what a start would have to wait for otherwise. */
export interface WaitFrame {
  readonly t: "wait";
}
export const WAIT = new TextEncoder().encode('{"t":"wait"}\n');

/** What to load, once per guest. */
export interface LoadFrame {
  readonly t: "load";
  /** File to import (`ts`), or folder of the bundle (`python`). */
  readonly path: string;
  /** `ts`: name of the export. `python`: `file.py:function`. */
  readonly entry: string;
  readonly kind: "function" | "class";
  readonly app: string;
  readonly function: string;
  readonly container: string;
  readonly concurrency: number;
  /** Methods by call name → property of the class (null for plain functions). */
  readonly methods: Readonly<
    Record<string, { member: string | null; kind: "call" | "endpoint"; stream: boolean }>
  >;
  readonly endpoints: Readonly<Record<string, string>>; // endpoint name → method name
  /** Its place among the containers that run each call together. */
  readonly gang?: { readonly rank: number; readonly size: number };
  /** Values of the function's secrets by key, and where those are that came as files. */
  readonly secrets?: Readonly<Record<string, { readonly value: string; readonly file?: string }>>;
  /** Where the function's volumes are, by where it mounts them. */
  readonly volumes?: Readonly<Record<string, string>>;
  /**
   * The host may come back after it has gone, as another process: the guest listens on `resume.sock` in its slot, goes on for so long
   * after its channel has closed, and says `hello` with `resumes` when somebody connects there.
   */
  readonly resumeMs?: number;
}
/** One call. `c` is the host's number for it within this guest. Calls start in the order given, at most `concurrency` at once. */
export interface CallFrame {
  readonly t: "call";
  readonly c: number;
  readonly id: string;
  readonly method: string;
  readonly attempt: number;
  readonly input: Json;
  /** Of a gang: where rank 0 listens for the others. */
  readonly master?: Master;
}
/** End this call: abort its signal; the process is killed after the grace time. */
export interface CancelFrame {
  readonly t: "cancel";
  readonly c: number;
  readonly reason: "cancelled" | "timeout";
}
/** The container gives way to more important work: what runs should save what it has and end. It is killed after `deadlineMs`. */
export interface PreemptFrame {
  readonly t: "preempt";
  /** Time left, from now. */
  readonly deadlineMs: number;
}
/** Give back the calls that were sent but not started: answer `recalled` with their numbers, and never start them. */
export interface RecallFrame {
  readonly t: "recall";
}
/** End what runs, run `@exit`, leave. */
export interface DrainFrame {
  readonly t: "drain";
}
/**
 * Answer to a guest's `checkpoint-save`, `checkpoint-load` and `value-load` (body: the bytes, absent for none), `value-save` (with
 * the value's id), `artifact-save`, or start of one to `fetch`. A second one, not ok, ends an answer to `fetch` that broke off
 * between its chunks.
 */
export interface ReplyFrame {
  readonly t: "reply";
  readonly n: number;
  readonly ok: boolean;
  readonly status?: number;
  readonly message?: string;
  readonly bytes?: number;
  readonly id?: string;
}
/** A piece of the body of a `fetch` reply (body: the bytes); `end` with the last. */
export interface ChunkFrame {
  readonly t: "chunk";
  readonly n: number;
  readonly end: boolean;
  readonly bytes?: number;
}
export type HostFrame =
  | WaitFrame
  | LoadFrame
  | CallFrame
  | CancelFrame
  | PreemptFrame
  | RecallFrame
  | DrainFrame
  | ReplyFrame
  | ChunkFrame;

// ── guest → host ────────────────────────────────────────────────────────────────────────────────────────────────────────

const text = (max: number) => z.string().max(max);

const CALL_ID = /^call_[0-9a-z]{1,13}_[0-9a-z]{1,5}$/;
/** What runs in a guest whose host has come back. */
export const Resumes = z.object({
  /** Above the number of any call that it was given. */
  next: CallRef,
  running: z.array(z.object({ c: CallRef, id: z.string().regex(CALL_ID), attempt: z.number().int() })).max(
    10_000,
  ),
});
export type Resumes = z.infer<typeof Resumes>;

export const GuestFrame = z.discriminatedUnion("t", [
  /** First frame after connecting; with `resumes` when it was ready before, and the host has come back. */
  z.object({
    t: z.literal("hello"),
    protocol: z.literal(1),
    pid: z.number().int(),
    resumes: Resumes.optional(),
  }),
  /** `load` is done, `@enter` has run, the endpoint socket listens. */
  z.object({ t: z.literal("ready") }),
  /** `load` failed; after `ready`, it cannot go on. Its container is replaced. */
  z.object({
    t: z.literal("broken"),
    message: text(LIMITS.failureMessageLength),
    stack: text(LIMITS.failureStackLength).optional(),
  }),
  /** A call returned. `v` absent means undefined, delivered as null. */
  z.object({ t: z.literal("result"), c: CallRef, v: Json.optional() }),
  /** A call threw. */
  z.object({
    t: z.literal("error"),
    c: CallRef,
    message: text(LIMITS.failureMessageLength),
    stack: text(LIMITS.failureStackLength).optional(),
    retryable: z.boolean().default(true),
  }),
  /**
   * A line of `ctx.log`, or one that the user's code printed. Printing as frames keeps its order with results; what goes to the
   * process's own stdout and stderr can only be attributed by time. Without `c` it was said outside a call.
   */
  z.object({
    t: z.literal("log"),
    c: CallRef.optional(),
    stream: z.enum(["stdout", "stderr", "log"]).default("log"),
    text: z.string(),
  }),
  /** `ctx.report`, `ctx.progress` or one yield of a generator. */
  z.object({
    t: z.literal("event"),
    c: CallRef,
    kind: z.enum(["report", "progress", "yield"]),
    data: z.record(z.string(), Json),
  }),
  z.object({ t: z.literal("recalled"), calls: z.array(CallRef).max(10_000) }),
  /** Body: the bytes of the checkpoint. */
  z.object({
    t: z.literal("checkpoint-save"),
    n: z.number().int(),
    c: CallRef,
    name: Name.optional(),
    bytes: z.number().int().min(0).max(LIMITS.checkpointBytes),
  }),
  /** Without `c` it is the container that asks (in `@enter`, in an endpoint), and then a name is needed. */
  z.object({
    t: z.literal("checkpoint-load"),
    n: z.number().int(),
    c: CallRef.optional(),
    name: Name.optional(),
  }),
  /** Body: a value that is too large for a frame, as JSON text. */
  z.object({
    t: z.literal("value-save"),
    n: z.number().int(),
    bytes: z.number().int().min(1).max(LIMITS.valueBytes),
  }),
  z.object({ t: z.literal("value-load"), n: z.number().int(), id: ValueId }),
  /** A piece of an artifact, from byte `at` on (body: the bytes). An empty one ends it; the answer's body is JSON: what was published. */
  z.object({
    t: z.literal("artifact-save"),
    n: z.number().int(),
    c: CallRef,
    name: Name,
    at: z.number().int().min(0).max(LIMITS.artifactBytes),
    bytes: z.number().int().min(0).max(LIMITS.artifactPieceBytes),
  }),
  /** A request to the platform's own API, made by the SDK inside the function. Path starts with /v1/. */
  z.object({
    t: z.literal("fetch"),
    n: z.number().int(),
    method: z.enum(["GET", "POST", "DELETE"]),
    path: z.string().startsWith("/v1/").max(2_048),
    headers: z.record(z.string(), z.string().max(1_024)).default({}),
    bytes: z.number().int().min(0).max(LIMITS.bodyBytes).optional(),
  }),
  z.object({ t: z.literal("fetch-abort"), n: z.number().int() }),
]);
export type GuestFrame = z.infer<typeof GuestFrame>;
