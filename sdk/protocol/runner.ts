/**
 * The two verbs between a runner and the api. `sync` is about containers, level-triggered: *here is all I observe; give me
 * all you want*. `exchange` is about calls: *here is what finished; give me what fits*. Both are long polls.
 *
 * Exactness under lost messages: a claim is a *lease* (one range of a batch, numbered); reports name their lease and are
 * accepted once per call, so they may be repeated; an exchange whose reply was lost is named in `missed` of the next, and
 * the leases of that reply are sent again; `sync` names the leases held, so that one which fell between is given back.
 */
import { z } from "zod";
import { FunctionSpec } from "./apps.ts";
import { BeginArtifact, PublishArtifact } from "./artifacts.ts";
import { Failure } from "./calls.ts";
import { WantedExec } from "./exec.ts";
import { WantedBuild } from "./images.ts";
import { LIMITS } from "./limits.ts";
import { Desired, Gpu, GpuShare } from "./nodes.ts";
import { Digest, Json, Labels, Name } from "./primitives.ts";
import { MountedVolume, VolumeFolder, VolumeSize } from "./volumes.ts";

const Ms = z.number().int().min(0);
const Index = z.number().int().min(0);

export const JoinNode = z.object({
  /** The join token (or, when the runner was here before, its own credential). */
  token: z.string().min(1).max(256),
  name: z.string().min(1).max(128),
  /** The pool that it takes the token to be of; another one is refused. */
  pool: Name.optional(),
  /** Names this run of the runner. */
  session: z.string().min(1).max(64),
  /** The run before it, some of whose containers still run. Those of other runs are gone for good. */
  resumes: z.string().min(1).max(64).optional(),
  /** Identity of the machine: an api with the same one may use unix sockets. */
  host: z.string().max(128),
  cpu: z.number().min(0),
  /** MiB. */
  memory: z.number().int().min(0),
  gpus: z.array(Gpu).max(1024),
  /** MiB of scratch space to give away. */
  disk: z.number().int().min(0).default(0),
  labels: Labels.default({}),
  /** Name or address at which other nodes reach this one. */
  address: z.string().max(253).optional(),
  /** The port there by which other machines reach its containers, and the word that opens it. */
  relay: z.object({ port: z.number().int().min(1).max(65_535), key: z.string().min(32).max(128) }).optional(),
});
export type JoinNode = z.infer<typeof JoinNode>;
/** Why a container ended. */
export const Exit = z.object({
  kind: z.enum([
    "stopped",
    "user_error",
    "timeout",
    "out_of_memory",
    "start_failed",
    "node_lost",
    "cancelled",
  ]),
  message: z.string().max(LIMITS.failureMessageLength),
});
export type Exit = z.infer<typeof Exit>;

export const ObservedContainer = z.object({
  id: z.string(),
  observed: z.enum(["starting", "ready", "exited"]),
  /** Where its endpoint listens: a unix socket path on the node, or a port of its own. */
  address: z.string().max(108).optional(),
  exit: Exit.optional(),
});
export type ObservedContainer = z.infer<typeof ObservedContainer>;

/** What is left of a container that failed, and for how long. */
export const KeptContainer = z.object({ id: z.string(), leftMs: Ms });
export type KeptContainer = z.infer<typeof KeptContainer>;

export const SyncRequest = z.object({
  node: z.string(),
  session: z.string(),
  /** Every container the runner knows of, exited ones until a reply no longer names them. */
  containers: z.array(ObservedContainer).max(4_096),
  /** All that is kept of containers that failed. */
  kept: z.array(KeptContainer).max(4_096).default([]),
  /** Leases with calls not yet reported. */
  leases: z.array(z.number().int()).max(65_536),
  /** GPUs that fail, and how. Those not named are well. */
  ailingGpus: z.array(z.object({ index: Index, ailment: z.string().max(512) })).max(1_024).default([]),
  /** Its container engine, where it has one: why nothing can start in it now, and whether that holds for all functions. */
  engine: z.object({ away: z.string().max(512).nullable(), only: z.boolean() }).optional(),
  /** Images that it has of those that it was ever asked for; absent where it has no engine. */
  images: z.array(z.string().max(512)).max(LIMITS.imagesPerNode).optional(),
  /** Volumes that were measured since the last answer. */
  volumeSizes: z.array(VolumeSize).max(4_096).default([]),
  /** Volumes to remove that are gone, until a reply no longer names them. */
  removedVolumes: z.array(z.string()).max(4_096).default([]),
  /** The runner ends now: nothing more is to be placed on the node. */
  leaving: z.boolean().default(false),
  /** `revision` of the last reply; the api answers when the wanted containers differ from it, or after a while. */
  revision: z.number().int(),
});
export type SyncRequest = z.infer<typeof SyncRequest>;

/** The place of a container among those that run each call together, on a node each. */
export const Gang = z.object({ id: z.string(), rank: Index, size: z.number().int().min(2) });
export type Gang = z.infer<typeof Gang>;

/** Where rank 0 of a gang listens for the others: said with each call, since it may have moved since the last. */
export interface Master {
  readonly address: string;
  readonly port: number;
}

/** A container as the scheduler wants it: all that is needed to start it. */
export const Assignment = z.object({
  id: z.string(),
  desired: Desired,
  app: Name,
  deployment: z.string(),
  bundle: Digest,
  external: z.array(z.string()),
  spec: FunctionSpec,
  gpus: z.array(GpuShare),
  /** Its function's volumes, where they lie. */
  volumes: z.array(MountedVolume).default([]),
  /** Its place in its gang, if it belongs to one. */
  gang: Gang.optional(),
  /** It gives way to more important work: its calls get notice, and it is killed at this time (milliseconds since 1970). */
  preemptAt: Ms.optional(),
});
export type Assignment = z.infer<typeof Assignment>;

/** Calls that the run before was given, as in {@link Claim}, and has not reported. */
export const OpenLease = z.object({
  lease: z.number().int(),
  container: z.string(),
  batch: z.number().int(),
  attempt: z.number().int(),
  method: z.string(),
  master: z.object({ address: z.string(), port: z.number().int() }).optional(),
  /** Places of its calls in the batch. */
  indexes: z.array(Index).min(1),
  /** Since it was given. */
  ageMs: Ms,
});
export type OpenLease = z.infer<typeof OpenLease>;
/** What the node had in the run before, and may go on with: its containers that were ready, and their calls. */
export const Resumed = z.object({
  containers: z.array(Assignment.extend({
    /** Number of its next line, where it has lines of its own. */
    nextLine: Ms,
  })),
  leases: z.array(OpenLease),
});
export type Resumed = z.infer<typeof Resumed>;

export const JoinedNode = z.object({
  id: z.string(),
  credential: z.string(),
  pool: Name.optional(),
  /** Absent where the run before is over: its containers are given up. */
  resumed: Resumed.optional(),
});
export type JoinedNode = z.infer<typeof JoinedNode>;

export const SyncReply = z.object({
  revision: z.number().int(),
  containers: z.array(Assignment),
  /** Commands to run inside containers. Named until they are over; the runner connects once for each. */
  execs: z.array(WantedExec).default([]),
  /** Containers of which nothing more is to be kept. Named until that is so. */
  discards: z.array(z.string()).default([]),
  /** Images to build or remove. */
  builds: z.array(WantedBuild).default([]),
  /** Images to pull before a container needs them. */
  prefetch: z.array(z.string()).default([]),
  /** Volumes whose bytes are to be removed. */
  removeVolumes: z.array(VolumeFolder).default([]),
  /** The node is no longer wanted: its runner ends for good. */
  leave: z.boolean().optional(),
});
export type SyncReply = z.infer<typeof SyncReply>;

/**
 * How one call ended, as a tuple, since there are thousands a second. `outcome`: 0 succeeded (value is the result),
 * 1 failed (value is a Failure), 2 cancelled, 3 never started (given back, the attempt does not count).
 */
export const Report = z.tuple([
  Index,
  z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]),
  z.union([Json, Failure]),
  Ms, // startedAt
  Ms, // endedAt
  z.number().int().min(0), // CPU time, microseconds
]);
export type Report = z.infer<typeof Report>;

/** A log line or event of one call: `[lease, index, n, at, stream | kind, text | data]`; `n` counts per lease and call, for repeats. */
export const LogRecord = z.tuple([
  z.number().int(),
  Index,
  Ms,
  Ms,
  z.enum(["stdout", "stderr", "log", "system"]),
  z.string(),
]);
export type LogRecord = z.infer<typeof LogRecord>;
/** A line of a container that takes no calls: `[container, n, at, stream, text]`; `n` counts its lines. */
export const ContainerLogRecord = z.tuple([z.string(), Ms, Ms, LogRecord.def.items[4], z.string()]);
export type ContainerLogRecord = z.infer<typeof ContainerLogRecord>;
export const EventRecord = z.tuple([
  z.number().int(),
  Index,
  Ms,
  Ms,
  z.enum(["started", "report", "progress", "yield"]),
  z.record(z.string(), Json),
]);
export type EventRecord = z.infer<typeof EventRecord>;

export const ExchangeRequest = z.object({
  node: z.string(),
  session: z.string(),
  /** Counts this session's exchanges. */
  seq: z.number().int().min(1),
  /** Earlier exchanges whose reply never arrived. */
  missed: z.array(z.number().int()).max(1_024).default([]),
  /** How many more calls each ready container may be given. */
  free: z.array(z.object({ container: z.string(), calls: z.number().int().min(1).max(10_000) })).max(4_096),
  reports: z.array(z.object({ lease: z.number().int(), done: z.array(Report).max(10_000) })).max(10_000),
  logs: z.array(LogRecord).max(50_000).default([]),
  events: z.array(EventRecord).max(50_000).default([]),
  containerLogs: z.array(ContainerLogRecord).max(50_000).default([]),
  /** Longest time to park when there is nothing to give. */
  waitMs: z.number().int().min(0).max(30_000).default(10_000),
});
export type ExchangeRequest = z.infer<typeof ExchangeRequest>;

/**
 * Calls given to a container: those of one batch with indexes from `lo`, all of one attempt. Every rank of a gang is given the
 * call, each under a number of its own in place of the lease's.
 */
export interface Claim {
  readonly lease: number;
  readonly container: string;
  readonly batch: number;
  readonly lo: number;
  readonly attempt: number;
  /** Name of the method: `train`, `Digits.classify`. */
  readonly method: string;
  readonly inputs: readonly Json[];
  /** Only of a gang. */
  readonly master?: Master;
}
export interface ExchangeReply {
  readonly claims: readonly Claim[];
  /** Calls to end now: `[lease, index]`. Repeated until they are reported. */
  readonly cancels: readonly (readonly [lease: number, index: number])[];
}

/** Which checkpoint a running call saves: its own, or one that the functions of its app share under a name. */
export const SavedBy = z.object({
  lease: Index,
  index: Index.max(LIMITS.inputsPerRequest),
  name: Name.nullable().default(null),
});
/** Asks where to upload a checkpoint of so many bytes. */
export const BeginCheckpoint = SavedBy.extend({ size: z.number().int().min(0).max(LIMITS.checkpointBytes) });
export type BeginCheckpoint = z.input<typeof BeginCheckpoint>;
/** A `PUT` to `url`, with these headers and as many bytes as were said: a path leads to the api, any other URL past it. */
export const CheckpointUpload = z.object({
  upload: z.string().regex(/^[0-9a-f]{32}$/, "must be one that was begun"),
  url: z.string(),
  headers: z.record(z.string(), z.string()),
});
export type CheckpointUpload = z.infer<typeof CheckpointUpload>;
/** Makes what was uploaded the checkpoint to go on from. May be repeated. */
export const CommitCheckpoint = SavedBy.extend({ upload: CheckpointUpload.shape.upload });
export type CommitCheckpoint = z.input<typeof CommitCheckpoint>;

/** Announces the bytes of an artifact that a running call publishes. */
export const BeginCallArtifact = BeginArtifact.extend(SavedBy.omit({ name: true }).shape);
export type BeginCallArtifact = z.infer<typeof BeginCallArtifact>;
/** Makes them a version. May be repeated: the newest version is not made again. */
export const PublishCallArtifact = PublishArtifact.extend(SavedBy.shape).extend({ name: Name });
export type PublishCallArtifact = z.infer<typeof PublishCallArtifact>;

/**
 * Plain routes of the runner, beside the two verbs; all with the node's credential. Bytes don't cross the api where blobs lie
 * on S3: it answers with signed URLs.
 *
 * - `GET  /v1/nodes/{node}/bundles/{digest}` → 307 to the bundle's bytes
 * - `GET  /v1/nodes/{node}/containers/{container}/secrets` → {@link DeliveredSecrets}: what a live container of the node is given
 * - `POST /v1/nodes/{node}/checkpoints/uploads` {@link BeginCheckpoint} → {@link CheckpointUpload}
 * - `POST /v1/nodes/{node}/checkpoints` {@link CommitCheckpoint} → `{"id", "size"}`; both are refused (409) when the lease is over
 * - `GET  /v1/nodes/{node}/checkpoints?lease=&index=&name=` → 307 to the bytes of the last committed one, or 204; with
 *   `container=` instead of lease and index for a container that asks outside a call (`@enter`, an endpoint), where name is needed
 * - `POST /v1/nodes/{node}/artifacts/uploads` {@link BeginCallArtifact} → {@link ArtifactUpload}
 * - `POST /v1/nodes/{node}/artifacts` {@link PublishCallArtifact} → a published artifact; both are refused (409) when the lease is over
 * - `GET  /v1/nodes/{node}/containers/{container}/registry` → {@link RegistryCredential}: where its image lies
 * - `POST /v1/nodes/{node}/builds/{image}` {@link BuildReport} → `{}`; refused (409) when the build is not this node's, or over
 * - `GET  /v1/nodes/{node}/builds/{image}/credential` → {@link RegistryCredential}: of the base of an image that it builds
 * - `*    /v1/nodes/{node}/as/{container}/v1/…` → the public routes for calls, batches, apps, artifacts and values, acting for the
 *   workspace of that container with the `invoke` scope
 * - `GET  /v1/nodes/{node}/execs/{exec}` as a WebSocket → the client of a command; see exec.ts
 */
export const RUNNER_PATHS = {
  join: "/v1/nodes",
  sync: "/v1/nodes/:node/sync",
  exchange: "/v1/nodes/:node/exchange",
  bundle: "/v1/nodes/:node/bundles/:digest",
  secrets: "/v1/nodes/:node/containers/:container/secrets",
  checkpoints: "/v1/nodes/:node/checkpoints",
  artifacts: "/v1/nodes/:node/artifacts",
  artifactUploads: "/v1/nodes/:node/artifacts/uploads",
  uploads: "/v1/nodes/:node/checkpoints/uploads",
  exec: "/v1/nodes/:node/execs/:exec",
  registryCredential: "/v1/nodes/:node/containers/:container/registry",
  build: "/v1/nodes/:node/builds/:image",
  buildCredential: "/v1/nodes/:node/builds/:image/credential",
  actAs: "/v1/nodes/:node/as/:container",
} as const;
