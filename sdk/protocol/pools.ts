/** Pools: nodes of one kind, who brings more of them, and within which limits. */
import { z } from "zod";
import { DurationText, Json, Labels, Name, pageOf, Timestamp } from "./primitives.ts";

/** Who brings the nodes of a pool: `local` starts runners on the machine of the platform; `static` nodes join by themselves. */
export const PoolProvider = z.enum(["local", "static"]);
export type PoolProvider = z.infer<typeof PoolProvider>;

const Model = z.string().regex(/^(?!any$)[A-Za-z][A-Za-z0-9-]{0,63}$/i, 'must be a model, such as "H100"');

/** What one node of a pool has. */
export const PoolShape = z.strictObject({
  cpu: z.number().min(0.1).max(4_096),
  /** MiB. */
  memory: z.number().int().min(64).max(64 * 1024 * 1024),
  /** MiB of scratch space. */
  disk: z.number().int().min(0).max(2 ** 31 - 1).default(0),
  gpus: z.array(
    z.strictObject({
      model: Model,
      vramMiB: z.number().int().min(1).max(4 * 1024 * 1024),
    }),
  ).max(64).default([]),
  labels: Labels.default({}),
});
export type PoolShape = z.infer<typeof PoolShape>;

const Nodes = z.number().int().min(0).max(10_000);

const settings = {
  /** Nodes that the provider is asked for, at least and at most. Nodes that join by themselves are not counted. */
  min: Nodes,
  max: Nodes,
  /** Null: unknown. Such a pool never grows. */
  shape: PoolShape.nullable(),
  /** Of one node, in any currency, the same for all pools. */
  costPerHour: z.number().min(0).max(1e6),
  /** For how long a node that the provider brought stays without containers. */
  idleTimeout: DurationText,
  /** From the asking for a node until it must have joined. */
  provisionTimeout: DurationText,
  /** The provider's own. */
  config: z.record(z.string().max(64), Json),
};

export const CreatePool = z.object({
  name: Name,
  provider: PoolProvider,
  min: settings.min.default(0),
  max: settings.max.default(0),
  shape: settings.shape.default(null),
  costPerHour: settings.costPerHour.default(0),
  idleTimeout: settings.idleTimeout.default("5m"),
  provisionTimeout: settings.provisionTimeout.default("5m"),
  config: settings.config.default({}),
});
export type CreatePool = z.infer<typeof CreatePool>;

/** Settings that are absent stay as they are. */
export const UpdatePool = z.object({ pool: Name, ...z.object(settings).partial().shape });
export type UpdatePool = z.infer<typeof UpdatePool>;

export type PoolSettings = Omit<CreatePool, "name">;

/** Settings of its provider's own of a `local` pool. */
const LocalConfig = z.strictObject({
  /** GPUs of the machine, by index or UUID, that are dealt out to its nodes. Without any, GPUs of the shape are simulated. */
  devices: z.array(z.string().regex(/^[\w-]{1,64}$/, "must be an index or a UUID")).min(1).max(1_024)
    .optional(),
  /** Guests that each of its runners keeps started ahead. */
  poolSize: z.number().int().min(0).max(64).optional(),
});
export type LocalConfig = z.infer<typeof LocalConfig>;

const CONFIGS = { local: LocalConfig, static: z.strictObject({}) } satisfies Record<PoolProvider, z.ZodType>;

/** Settings that don't make sense together: what is wrong, and with which of them; null when they do. */
export function poolProblem(
  { provider, min, max, shape, config }: PoolSettings,
): { field: string; problem: string } | null {
  if (max < min) return { field: "max", problem: `is ${max}, but min is ${min}` };
  if (provider === "static" && max > 0) {
    return { field: "max", problem: "must be 0 for a static pool: its nodes join by themselves" };
  }
  if (max > 0 && shape === null) {
    return {
      field: "shape",
      problem: "is missing: a pool can only grow when it is known what its nodes have",
    };
  }
  const parsed = CONFIGS[provider].safeParse(config);
  if (!parsed.success) {
    const [{ path, message }] = parsed.error.issues as [z.core.$ZodIssue];
    return { field: ["config", ...path].join("."), problem: message };
  }
  return devicesProblem(parsed.data as LocalConfig, shape);
}

function devicesProblem(
  { devices }: LocalConfig,
  shape: PoolShape | null,
): { field: string; problem: string } | null {
  const wanted = shape?.gpus.length ?? 0;
  return devices === undefined || (wanted > 0 && devices.length >= wanted) ? null : {
    field: "config.devices",
    problem: `has ${devices.length}, but a node of the pool has ${wanted} GPUs`,
  };
}

export const Pool = z.object({
  name: Name,
  provider: PoolProvider,
  state: z.enum(["active", "draining"]),
  /** Nodes that are up or drain. */
  nodes: z.number().int(),
  /** Nodes that were asked for and have not joined. */
  starting: z.number().int(),
  gpus: z.number().int(),
  gpusFree: z.number(),
  ...settings,
  /** The last attempt to bring a node, when it came to nothing and none has joined since. */
  failure: z.object({ message: z.string(), at: Timestamp }).nullable(),
  /** Who starts and stops its nodes now; null when nobody does. */
  keeper: z.string().nullable(),
  createdAt: Timestamp,
});
export type Pool = z.infer<typeof Pool>;
export const PoolPage = pageOf(Pool);

/** A node that was asked for, from the request to its end. */
export const Provision = z.object({
  id: z.string(),
  pool: Name,
  state: z.enum(["requested", "starting", "joined", "releasing", "released", "failed"]),
  node: z.string().nullable(),
  /** The provider's name for it. */
  external: z.string().nullable(),
  reason: z.string(),
  /** Why it failed. */
  error: z.string().nullable(),
  requestedAt: Timestamp,
  /** Not joined by then, it has failed. */
  deadlineAt: Timestamp,
  endedAt: Timestamp.nullable(),
});
export type Provision = z.infer<typeof Provision>;
export const ProvisionPage = pageOf(Provision);

export const CreateJoinToken = z.object({
  pool: Name,
  /** How long it can be used to join. Nodes that have joined stay. */
  expiresIn: DurationText.default("1h"),
});
/** With its text, which is shown once and kept nowhere. */
export const JoinToken = z.object({ token: z.string(), pool: Name, expiresAt: Timestamp });
export type JoinToken = z.infer<typeof JoinToken>;
