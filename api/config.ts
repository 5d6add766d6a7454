/** The environment of an api process: each variable, its default and why. Read once, by main.ts. */
import { z } from "zod";
import { s3PlaceOf, S3Settings } from "./blobs/s3_settings.ts";
import { isDuration, parseDuration } from "../sdk/duration.ts";
import type { PlatformOptions } from "./main.ts";
import { isImageReference, parseReference } from "../sdk/image_reference.ts";
import { IMAGE_DEFAULTS, type ImageSettings } from "./images.ts";
import { isMasterKey, KEY_RULE } from "./secrets/keyring.ts";

const PORT_MAX = 65_535;

/** Too long to be guessed. */
const Secret = (prefix: string) => z.string().startsWith(prefix).min(40);

export const RETENTION = "30d";
const Retention = z.string().refine((text) => text === "0" || isDuration(text), {
  error: 'must be a duration such as "30d", or 0',
});

/** As it is written there, in milliseconds. */
export const retentionMs = (text: string): number => text === "0" ? 0 : parseDuration(text);
/** Where images are pushed: they have their digest for a tag. */
export const Repository = z.string().refine(
  (text) =>
    isImageReference(`${text}:x`) &&
    (text.startsWith("docker.io/") || parseReference(`${text}:x`).registry !== "docker.io"),
  "must be HOST[:PORT]/REPOSITORY without a tag, such as registry.example/berth/images",
);

/** An image with `{version}` in its name, or without. */
const BaseImage = z.string().refine(
  (text) => isImageReference(text.replaceAll("{version}", "1")),
  "must be [HOST[:PORT]/]NAME[:TAG], in which {version} may stand",
);

export const Config = z.object({
  /** No default: an api of its own only makes sense beside a shared database. `berth up` brings both along. */
  DATABASE_URL: z.url({
    protocol: /^postgres(ql)?$/,
    error: "must be the URL of a PostgreSQL database, postgres://…",
  }),
  /** Loopback: whoever opens the platform to a network should mean it. */
  BERTH_HOST: z.string().min(1).default("127.0.0.1"),
  /** Any fixed one, so that clients find it again. */
  BERTH_PORT: z.coerce.number().int().min(0).max(PORT_MAX).default(7878),
  /** Folder of blobs, beside what `berth up` keeps; not used where they lie on S3. */
  BERTH_BLOBS: z.string().min(1).default(".berth/blobs"),
  /** Folder of the nodes of pools on this machine, beside what `berth up` keeps. */
  BERTH_NODES: z.string().min(1).default(".berth/nodes"),
  /** Where users reach the api through a proxy; without it, what their requests say. */
  BERTH_PUBLIC_URL: z.url({ protocol: /^https?$/, error: "must be a URL, https://…" }).optional(),
  /**
   * How long calls that have ended are kept, with their inputs, results, logs and checkpoints, and what servers print; `0`: for ever. A month,
   * since nobody looks further back, and a disk does not grow by itself.
   */
  BERTH_RETENTION: Retention.default(RETENTION),
  /** How the first key of a shared database comes about. */
  BERTH_ADMIN_KEY: Secret("berth_").optional(),
  /** How the first runners join. */
  BERTH_JOIN_TOKEN: Secret("join_").optional(),
  /** Where images are pushed that the platform builds, `HOST[:PORT]/REPOSITORY`; without one they stay on the only node. */
  BERTH_REGISTRY: Repository.optional(),
  /** Where `Image.deno()` and `Image.python("3.11")` begin, such as a mirror's; `{version}` stands for the version. */
  BERTH_BASE_DENO: BaseImage.default(IMAGE_DEFAULTS.bases.deno),
  BERTH_BASE_PYTHON: BaseImage.default(IMAGE_DEFAULTS.bases.python),
  ...S3Settings.shape,
  /** Seals secrets. No default: a key beside the database that it protects would protect nothing. */
  BERTH_SECRETS_KEY: z.string().refine(isMasterKey, KEY_RULE).optional(),
  /** Open what they sealed before: keys from before the last change, a comma between each. */
  BERTH_SECRETS_KEYS_OLD: z.string().transform((text) => text.split(",").filter((key) => key.trim() !== ""))
    .refine((keys) => keys.every(isMasterKey), `${KEY_RULE}, each`).optional(),
  /** The same in a file of mode 0600, one key a line, the newest first; those of the variables come before. */
  BERTH_SECRETS_KEY_FILE: z.string().min(1).optional(),
});
export type Config = z.infer<typeof Config>;

/** @throws TypeError that names the variable to blame */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const config = Config.safeParse(env);
  if (config.success) return config.data;
  const [{ path, message }] = config.error.issues as [z.core.$ZodIssue];
  throw new TypeError(`Cannot start the api: ${path.join(".")} ${message}`);
}

/** How images are made. */
export const imagesOf = (
  { BERTH_REGISTRY: registry, BERTH_BASE_DENO: deno, BERTH_BASE_PYTHON: python }: Pick<
    Config,
    "BERTH_REGISTRY" | "BERTH_BASE_DENO" | "BERTH_BASE_PYTHON"
  >,
): ImageSettings => ({ registry, bases: { deno, python } });

/** @throws TypeError when S3 is named by halves */
export const optionsOf = (config: Config): PlatformOptions => ({
  databaseUrl: config.DATABASE_URL,
  hostname: config.BERTH_HOST,
  port: config.BERTH_PORT,
  blobsDir: config.BERTH_BLOBS,
  s3: s3PlaceOf(config),
  retentionMs: retentionMs(config.BERTH_RETENTION),
  images: imagesOf(config),
  ...(config.BERTH_ADMIN_KEY === undefined ? {} : { adminKey: config.BERTH_ADMIN_KEY }),
  ...(config.BERTH_JOIN_TOKEN === undefined ? {} : { joinToken: config.BERTH_JOIN_TOKEN }),
  ...(config.BERTH_PUBLIC_URL === undefined
    ? {}
    : { publicUrl: config.BERTH_PUBLIC_URL.replace(/\/+$/, "") }),
});

/** Keys of secrets among the variables, the newest first. */
export const secretKeysOf = (
  { BERTH_SECRETS_KEY: key, BERTH_SECRETS_KEYS_OLD: old = [] }: Pick<
    Config,
    "BERTH_SECRETS_KEY" | "BERTH_SECRETS_KEYS_OLD"
  >,
): string[] => [...key === undefined ? [] : [key], ...old];

const PRIVATE = [
  "BERTH_ADMIN_KEY",
  "BERTH_JOIN_TOKEN",
  "BERTH_SECRETS_KEY",
  "BERTH_SECRETS_KEYS_OLD",
  "S3_SECRET_ACCESS_KEY",
];

/** As it may be printed. */
export function printable(all: Config): Record<string, unknown> {
  const config = Object.fromEntries(Object.entries(all).filter(([name]) => !PRIVATE.includes(name)));
  const url = new URL(all.DATABASE_URL);
  if (url.password !== "") url.password = "…";
  return { ...config, DATABASE_URL: url.href };
}
