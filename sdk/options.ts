/** What a user may ask of the platform for a function or class, and the checks that are cheap enough to make at once. Pure. */
import type { FunctionSpec } from "./protocol/apps.ts";
import type { FailureKind } from "./protocol/calls.ts";
import type { Permissions } from "./protocol/primitives.ts";
import type { z } from "zod";
import { type Duration, parseDuration } from "./duration.ts";
import { type GpuRequest, parseGpu } from "./gpu.ts";
import { type Image, imageSpec } from "./image.ts";
import { type Memory, parseMemory } from "./memory.ts";
import type { Secret } from "./secret.ts";
import { mountsOf, type Volume } from "./volume.ts";

/** When and how often a failed attempt is repeated. */
export interface RetryOptions {
  /**
   * Attempts after the first one.
   * @default 0
   */
  readonly max?: number;
  /**
   * Wait before the second attempt.
   * @default "1s"
   */
  readonly backoff?: Duration;
  /**
   * Each further wait is this many times the one before.
   * @default 2
   */
  readonly factor?: number;
  /** @default "60s" */
  readonly maxBackoff?: Duration;
  /**
   * Failure kinds that are repeated. Lost nodes always are.
   * @default ["user_error", "timeout", "out_of_memory", "start_failed"]
   */
  readonly on?: FailureKind[];
}

/** How many containers a function may have, and when they come and go. */
export interface ScaleOptions {
  /** @default 0 */
  readonly min?: number;
  /** @default 10 */
  readonly max?: number;
  /**
   * Ready containers kept beyond what the load needs.
   * @default 0
   */
  readonly buffer?: number;
  /**
   * A queue of short calls should be empty in about this time: longer, and fewer containers do the same work.
   * @default "1s"
   */
  readonly targetWait?: Duration;
  /** Calls or requests of a container before another is wanted. By default `concurrency`: containers are filled first. */
  readonly targetConcurrency?: number;
  /**
   * How long an idle container stays. `"auto"`: as the times of earlier work tell; for work that comes at known times it may leave
   * at once and be back before them.
   * @default "auto"
   */
  readonly scaledownWindow?: Duration | "auto";
}

/** What each container of a function or class gets, and how its calls are treated. */
export interface ContainerOptions {
  /** Name in URLs and commands. By default that of the export. */
  readonly name?: string;
  /** `"any"`, `"H100"`, `"H100:4"`, `"L4:0.5"`, `{ vram: ">=24GiB" }`, or several of them, most wanted first. By default none. */
  readonly gpu?: GpuRequest | readonly GpuRequest[];
  /**
   * CPU cores.
   * @default 0.125
   */
  readonly cpu?: number;
  /**
   * MiB, or a text such as `"2GiB"`.
   * @default 512
   */
  readonly memory?: Memory;
  /**
   * Scratch space: MiB, or a text such as `"20GiB"`. In containers of an image it is `/tmp`, on the node's disk; without, `/tmp` is half
   * of the memory. For plain processes it is a folder that `TMPDIR` names, measured together with the working folder.
   * @default 0
   */
  readonly disk?: Memory;
  /** Labels that the node must have, such as `{ zone: "eu-1" }`. By default none. */
  readonly labels?: Readonly<Record<string, string>>;
  /**
   * Nodes that run each call together: a gang. Every rank runs the handler; the call's result is that of rank 0. In containers of an
   * image, ranks have the network of their machines, so that they reach each other: `egress` must be `"open"`.
   * @default 1
   */
  readonly nodes?: number;
  /**
   * Whether more important work may take its place. Its calls get notice (`ctx.signal`, `ctx.onPreempt`) and go on from their last
   * checkpoint, elsewhere or later.
   * @default false
   */
  readonly preemptible?: boolean;
  /**
   * Time from the notice of a preemption to the kill.
   * @default "30s"
   */
  readonly preemptNotice?: Duration;
  /**
   * Calls with the same `concurrencyKey` that run at a time.
   * @default 1
   */
  readonly concurrencyPerKey?: number;
  /**
   * Longest run of one attempt.
   * @default "5m"
   */
  readonly timeout?: Duration;
  /**
   * Time a container has from its start to ready.
   * @default "60s"
   */
  readonly startTimeout?: Duration;
  /** Attempts after the first one, or the whole policy. By default none. */
  readonly retries?: number | RetryOptions;
  /**
   * Calls or requests that one container runs at a time.
   * @default 1
   */
  readonly concurrency?: number;
  readonly scale?: ScaleOptions;
  /** What the code may touch, in Deno's words. By default nothing. */
  readonly permissions?: Permissions;
  /** Environment variables. */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * The container image to run in: one of a registry, `"ghcr.io/team/train:3"`, or a chain that is built, `Image.python().pipInstall(…)`.
   * It must hold what runs the code: `deno`, or `python3`. By default none.
   */
  readonly image?: string | Image;
  /**
   * Whom the code may talk to over the network: anybody, nobody, or a list of `"HOST:PORT"`. A container never reaches its own node,
   * except for ports that its administrator opens.
   * @default "open"
   */
  readonly egress?: "open" | "deny" | readonly string[];
  /**
   * How long what is left of a container that failed can be looked into (`berth shell`, `exec`, `cp`), such as `"1h"`: its files; its
   * GPUs and memory are given back at once. In containers of an image `/tmp` is then on disk. By default not at all.
   */
  readonly keepOnFailure?: Duration;
  /** Secrets that it is given: `[Secret.fromName("hf")]`. By default none. */
  readonly secrets?: readonly Secret[];
  /** Volumes by where they are mounted: `{ "/data": Volume.fromName("digits") }`. By default none. */
  readonly volumes?: Readonly<Record<string, Volume>>;
}

/** The part of a function spec that options decide; what is not given is absent. */
export type ContainerSpec = Partial<
  Pick<
    z.input<typeof FunctionSpec>,
    | "gpu"
    | "cpu"
    | "memory"
    | "disk"
    | "labels"
    | "nodes"
    | "preemptible"
    | "preemptNotice"
    | "concurrencyPerKey"
    | "timeout"
    | "startTimeout"
    | "retries"
    | "concurrency"
    | "scale"
    | "permissions"
    | "env"
    | "image"
    | "egress"
    | "secrets"
    | "keepOnFailure"
    | "volumes"
  >
>;

/** Options as the wire has them. Throws a TypeError where a text cannot be read; the rest is checked at deploy. */
export function containerSpec(options: ContainerOptions): ContainerSpec {
  const { gpu, memory, disk, labels, retries, env, scale } = options;
  const { timeout, startTimeout, preemptNotice, cpu, concurrency, concurrencyPerKey } = options;
  const { nodes, preemptible, permissions, image, egress, secrets, keepOnFailure, volumes } = options;
  if (gpu !== undefined) parseGpu(gpu);
  const { scaledownWindow, targetWait } = scale ?? {};
  const window = scaledownWindow === "auto" ? undefined : scaledownWindow;
  for (const duration of [timeout, startTimeout, preemptNotice, targetWait, window, keepOnFailure]) {
    if (duration !== undefined) parseDuration(duration);
  }
  return {
    ...(gpu === undefined ? {} : { gpu: [gpu].flat() }),
    ...(memory === undefined ? {} : { memory: parseMemory(memory) }),
    ...(retries === undefined ? {} : { retries: typeof retries === "number" ? { max: retries } : retries }),
    ...(disk === undefined ? {} : { disk: parseMemory(disk) }),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
    ...given({ cpu, timeout, startTimeout, preemptNotice, nodes, preemptible }),
    ...given({ concurrency, concurrencyPerKey, scale, permissions, keepOnFailure }),
    ...(env === undefined ? {} : { env: { ...env } }),
    ...given({ image: image === undefined ? undefined : imageSpec(image) }),
    ...(egress === undefined ? {} : { egress: typeof egress === "string" ? egress : [...egress] }),
    ...(secrets === undefined ? {} : { secrets: secrets.map(({ ref }) => ref) }),
    ...(volumes === undefined ? {} : { volumes: mountsOf(volumes) }),
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same without the fields that are undefined. */
export function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;
}
