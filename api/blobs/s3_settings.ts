/** The environment's words for where the bucket is: all of them, or none. Pure. */
import { z } from "zod";
import { checkKey } from "./blobs.ts";

/** Where the bucket is, and who we are there. */
export interface S3Place {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Before every key: empty, or with a slash at its end. */
  readonly prefix: string;
  /** The bucket stands in the path of URLs, not in the name of the host. */
  readonly forcePathStyle: boolean;
}

export const S3Settings = z.object({
  /** Where runners reach it, too: they move bytes to and from it. */
  S3_ENDPOINT: z.url({ protocol: /^https?$/, error: "must be a URL, https://…" }).optional(),
  S3_BUCKET: z.string().min(3).optional(),
  /** Whatever the server is set to; MinIO, Ceph and their like take `us-east-1`. */
  S3_REGION: z.string().min(1).optional(),
  S3_ACCESS_KEY_ID: z.string().min(1).optional(),
  S3_SECRET_ACCESS_KEY: z.string().min(1).optional(),
  /** Before every key, for a bucket that others use as well. */
  S3_PREFIX: z.string().default("").transform((text) => text === "" || text.endsWith("/") ? text : `${text}/`)
    .refine((prefix) => prefix === "" || isKey(prefix.slice(0, -1)), "must be names between slashes"),
  /** On: every server knows it, while names of hosts need a DNS entry for each bucket. */
  S3_FORCE_PATH_STYLE: z.stringbool().default(true),
});
export type S3Settings = z.infer<typeof S3Settings>;

const NEEDED = [
  "S3_ENDPOINT",
  "S3_BUCKET",
  "S3_REGION",
  "S3_ACCESS_KEY_ID",
  "S3_SECRET_ACCESS_KEY",
] as const;

/**
 * The bucket that the environment names, if it names one.
 *
 * @throws TypeError that says what is missing
 */
export function s3PlaceOf(settings: Partial<S3Settings>): S3Place | undefined {
  const missing = NEEDED.filter((name) => settings[name] === undefined);
  if (missing.length === NEEDED.length) return undefined;
  if (missing.length > 0) {
    const set = NEEDED.filter((name) => settings[name] !== undefined);
    throw new TypeError(
      `Cannot use S3: ${set.join(", ")} ${set.length === 1 ? "is" : "are"} set, ${missing.join(", ")} ` +
        `${missing.length === 1 ? "is" : "are"} not; set all of them, or none`,
    );
  }
  return {
    endpoint: settings.S3_ENDPOINT!.replace(/\/+$/, ""),
    bucket: settings.S3_BUCKET!,
    region: settings.S3_REGION!,
    accessKeyId: settings.S3_ACCESS_KEY_ID!,
    secretAccessKey: settings.S3_SECRET_ACCESS_KEY!,
    prefix: settings.S3_PREFIX ?? "",
    forcePathStyle: settings.S3_FORCE_PATH_STYLE ?? true,
  };
}

function isKey(text: string): boolean {
  try {
    checkKey(text);
    return true;
  } catch {
    return false;
  }
}
