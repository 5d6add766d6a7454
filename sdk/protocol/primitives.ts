/** The small schemas that everything else is made of. */
import { z } from "zod";
import { isDuration, parseDuration } from "../duration.ts";
import { LIMITS } from "./limits.ts";

/** Names of apps, functions, endpoints and pools. */
export const Name = z.string().regex(
  /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/,
  "must start with a letter and hold only letters, digits, - and _, at most 63 characters",
);
/** A callable: `train`, or `Digits.classify` for the method of a class. */
export const CallableName = z.string().regex(
  /^[A-Za-z_][A-Za-z0-9_-]{0,62}(\.[A-Za-z_$][A-Za-z0-9_$]{0,62})?$/,
  "must be FUNCTION or CLASS.METHOD",
);
/** At most a year: no date made from one is beyond what a date can be. */
export const DurationText = z.string().refine(isDuration, {
  message: 'must be a duration such as "90s" or "1h30m"',
  abort: true,
}).refine((text) => parseDuration(text) <= parseDuration("365d"), "must be at most 365d");
export const Digest = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in 64 lower-case hex digits");
/** An instant, ISO 8601 in UTC. */
export const Timestamp = z.iso.datetime();
/**
 * Any JSON value. It is typed but not walked: every door reads with `JSON.parse`, which lets nothing else in, and zod's own
 * walk costs 4 µs for a small value, where there may be 5,000 inputs in a request.
 */
export type Json = z.core.util.JSONType;
export const Json = z.unknown() as unknown as z.ZodType<Json>;

export const Tags = z.record(z.string().min(1).max(LIMITS.tagLength), z.string().max(LIMITS.tagLength))
  .refine((tags) => Object.keys(tags).length <= LIMITS.tags, `must have at most ${LIMITS.tags} tags`);
export type Tags = z.infer<typeof Tags>;

/** What a node is marked with, and what a function asks of nodes: `{"zone": "eu-1"}`. */
export const Labels = z.record(z.string().min(1).max(63), z.string().max(63))
  .refine(
    (labels) => Object.keys(labels).length <= LIMITS.labels,
    `must have at most ${LIMITS.labels} labels`,
  );
export type Labels = z.infer<typeof Labels>;

/** Query parameters of every list. */
export const Page = z.object({
  limit: z.coerce.number().int().min(1).max(LIMITS.pageItems).default(50),
  /** Opaque; the `nextCursor` of the page before. */
  cursor: z.string().max(256).optional(),
});
export type Page = z.infer<typeof Page>;

/** Answer of every list. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), nextCursor: z.string().optional() });
}
export interface PageOf<T> {
  items: T[];
  nextCursor?: string | undefined;
}

/** What a running function may touch, in Deno's words. `true` means everything of that kind, a list names it. */
export const Permissions = z.strictObject({
  net: z.union([z.boolean(), z.array(z.string())]).optional(),
  read: z.union([z.boolean(), z.array(z.string())]).optional(),
  write: z.union([z.boolean(), z.array(z.string())]).optional(),
  env: z.union([z.boolean(), z.array(z.string())]).optional(),
  run: z.union([z.boolean(), z.array(z.string())]).optional(),
  ffi: z.union([z.boolean(), z.array(z.string())]).optional(),
  sys: z.union([z.boolean(), z.array(z.string())]).optional(),
});
export type Permissions = z.infer<typeof Permissions>;
