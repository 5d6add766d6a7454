/** Apps, deployments and the function specs in them. */
import { z } from "zod";
import { isDestination } from "../destination.ts";
import { parseDuration } from "../duration.ts";
import { gpuProblem } from "../gpu.ts";
import { isImageReference } from "../image_reference.ts";
import { LIMITS } from "./limits.ts";
import { FailureKind } from "./calls.ts";
import { Digest, DurationText, Json, Labels, Name, pageOf, Permissions, Timestamp } from "./primitives.ts";
import { SecretRef } from "./secrets.ts";
import { ServerSpec } from "./server.ts";
import { Mounts } from "./volumes.ts";

/** One acceptable way to satisfy a GPU request, as a text such as `H100:4` or spelled out. */
export const GpuRequest = z.union([
  z.string().max(80),
  z.strictObject({
    model: z.string().max(80).optional(),
    /** Least memory of each GPU, such as `>=24GiB`. */
    vram: z.string().max(20).optional(),
    count: z.number().optional(),
    /** Part of one GPU. */
    share: z.number().optional(),
  }),
]).superRefine((request, ctx) => {
  const problem = gpuProblem(request);
  if (problem !== null) ctx.addIssue({ code: "custom", message: problem });
});

/** How many containers a function may have, and when they come and go. */
export const Scale = z.strictObject({
  min: z.number().int().min(0).max(1_000).default(0),
  max: z.number().int().min(1).max(1_000).default(10),
  /** Ready containers kept beyond what the load needs. */
  buffer: z.number().int().min(0).max(100).default(0),
  /** A queue of short calls should be empty in about this time. */
  targetWait: DurationText.default("1s"),
  /** Calls or requests of a container before another is wanted; absent: `concurrency`. */
  targetConcurrency: z.number().int().min(1).max(1_000).optional(),
  /** How long an idle container stays; `auto`: as the times of earlier work tell. */
  scaledownWindow: z.union([z.literal("auto"), DurationText], {
    error: 'must be "auto", or a duration such as "90s" or "1h30m" of at most 365d',
  }).default("auto"),
}).refine(({ min, max }) => min <= max, { message: "must be at most `max`", path: ["min"] });
export type Scale = z.infer<typeof Scale>;

export const Retries = z.strictObject({
  max: z.number().int().min(0).max(100).default(0),
  backoff: DurationText.default("1s"),
  factor: z.number().min(1).max(10).default(2),
  maxBackoff: DurationText.default("60s"),
  on: z.array(FailureKind).default(["user_error", "timeout", "out_of_memory", "start_failed"]),
});
export type Retries = z.infer<typeof Retries>;

/** An image in a registry. */
export const ImageRef = z.strictObject({
  ref: z.string().max(512).refine(isImageReference, "must be [HOST[:PORT]/]NAME[:TAG] or NAME@sha256:DIGEST"),
  /** Secret that holds the registry's credentials, where the node has none. */
  secret: Name.optional(),
});
export type ImageRef = z.infer<typeof ImageRef>;

export const Egress = z.union([
  z.enum(["open", "deny"]),
  z.array(z.string().max(260).refine(isDestination, 'must be HOST:PORT, such as "models.example:443"')).min(1)
    .max(
      100,
    ),
], { error: 'must be "open", "deny", or a list of HOST:PORT' });
export type Egress = z.infer<typeof Egress>;

/** One thing of a function (or class) that can be called. */
export const MethodSpec = z.object({
  /** `train`, or `Digits.classify` for the method of a class: the name in call URLs. */
  name: z.string(),
  /** Property of the class; absent for plain functions. */
  member: z.string().optional(),
  /** `call`: durable calls. `endpoint`: HTTP requests. */
  kind: z.enum(["call", "endpoint"]),
  /** A generator: each yield is an event. */
  stream: z.boolean().default(false),
  /** JSON Schema of the input, when the user's schema can tell. */
  inputSchema: z.record(z.string(), Json).optional(),
  /** Only of endpoints: name in `/e/{app}/{endpoint}`, and who may use it. */
  endpoint: z.object({ name: Name, auth: z.enum(["key", "public"]).default("key") }).optional(),
});
export type MethodSpec = z.infer<typeof MethodSpec>;

/** When to call what: five or six cron fields in an IANA time zone. */
export const ScheduleSpec = z.object({
  method: z.string(),
  cron: z.string().max(200),
  timeZone: z.string().max(64).default("UTC"),
  input: Json.default(null),
});
export type ScheduleSpec = z.infer<typeof ScheduleSpec>;

/** A function or class as deployed: the unit that is placed, scaled and kept warm. */
export const FunctionSpec = z.object({
  name: Name,
  kind: z.enum(["function", "class"]),
  body: z.enum(["ts", "python", "server"]),
  /** `ts`, `server`: export of the module. `python`: `file.py:function` inside the bundle. */
  entry: z.string().max(256),
  methods: z.array(MethodSpec).min(1),
  schedules: z.array(ScheduleSpec).default([]),
  /** Acceptable GPUs, most wanted first; empty for none. */
  gpu: z.array(GpuRequest).max(8).default([]),
  /** CPU cores. */
  cpu: z.number().min(0.01).max(512).default(0.125),
  /** MiB. */
  memory: z.number().int().min(64).max(4 * 1024 * 1024).default(512),
  /** MiB of scratch space. */
  disk: z.number().int().min(0).max(64 * 1024 * 1024).default(0),
  /** Labels that the node must have. */
  labels: Labels.default({}),
  /** Nodes that run each call together, as ranks: a gang. Each has one container, placed all or none. */
  nodes: z.number().int().min(1).max(256).default(1),
  /** Whether more important work may take its place: its calls get notice, and go on elsewhere from their last checkpoint. */
  preemptible: z.boolean().default(false),
  /** Time from the notice of a preemption to the kill. */
  preemptNotice: DurationText.default("30s"),
  /** Calls with the same concurrency key that run at a time. */
  concurrencyPerKey: z.number().int().min(1).max(1_000).default(1),
  timeout: DurationText.default("5m"),
  /** Time a container has from its start to ready. */
  startTimeout: DurationText.default("60s"),
  retries: Retries.default(Retries.parse({})),
  /** Calls or requests one container runs at a time. */
  concurrency: z.number().int().min(1).max(1_000).default(1),
  scale: Scale.default(Scale.parse({})),
  permissions: Permissions.default({}),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be a variable name"), z.string()).default(
    {},
  ),
  /** Secrets that its containers are given; of two values with one key the later is taken. */
  secrets: z.array(SecretRef).max(LIMITS.secretsPerFunction).default([]),
  /** Volumes that its containers are given, by where they are mounted. */
  volumes: Mounts.default({}),
  /** `python`: pinned requirements, one a line, for a virtual environment keyed by their digest. */
  requirements: z.array(z.string().max(512)).max(1_000).default([]),
  /** The container image it runs in; absent: that of the node for its body, or none. */
  image: ImageRef.optional(),
  /** Whom it may talk to over the network: anybody, nobody, or these hosts. */
  egress: Egress.default("open"),
  /** `python`: modules that containers share, imported once in a process that they are forked from. */
  preload: z.array(
    z.string().max(128).regex(/^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/, "must be the name of a module"),
  )
    .max(64).default([]),
  /** How long what is left of a container that failed can be looked into; absent: not at all. */
  keepOnFailure: DurationText.refine(
    (text) => parseDuration(text) <= parseDuration("7d"),
    "must be at most 7d",
  )
    .optional(),
  /** `server`: what to run, and how to tell that it is well. */
  server: ServerSpec.optional(),
});
export type FunctionSpec = z.infer<typeof FunctionSpec>;

/** What `describe` found in a bundle. */
export const Manifest = z.object({
  sdkVersion: z.string(),
  functions: z.array(FunctionSpec).min(1).max(LIMITS.functionsPerApp),
  /** npm packages that are not in the bundle and must be installed beside it, as `npm:name@version`. */
  external: z.array(z.string().regex(/^npm:/)).default([]),
});
export type Manifest = z.infer<typeof Manifest>;

export const CreateDeployment = z.object({ app: Name, bundle: Digest, manifest: Manifest });
export type CreateDeployment = z.infer<typeof CreateDeployment>;

export const EndpointRef = z.object({ name: Name, url: z.string(), auth: z.enum(["key", "public"]) });

export const Deployment = z.object({
  app: Name,
  deployment: z.string(),
  version: z.number().int(),
  bundle: Digest,
  createdAt: Timestamp,
  functions: z.array(z.string()),
  endpoints: z.array(EndpointRef),
});
export type Deployment = z.infer<typeof Deployment>;

export const App = z.object({
  name: Name,
  deployment: z.string(),
  version: z.number().int(),
  createdAt: Timestamp,
  deployedAt: Timestamp,
  functions: z.array(FunctionSpec),
  endpoints: z.array(EndpointRef),
});
export type App = z.infer<typeof App>;
export const AppPage = pageOf(App);
