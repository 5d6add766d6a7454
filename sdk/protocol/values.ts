/** Making values that are too large to travel with their call: how large it is, and where to put it. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";

export const ValueId = z.string().regex(
  /^[0-9a-f]{32}$/,
  "must be the id of a value, 32 lower-case hex digits",
);

export const CreateValue = z.object({ size: z.number().int().min(1).max(LIMITS.valueBytes) });
/** A `PUT` to `url`, with these headers, makes the value: a path leads to the api, any other URL past it. */
export const CreatedValue = z.object({
  id: ValueId,
  url: z.string(),
  headers: z.record(z.string(), z.string()),
});
export type CreatedValue = z.infer<typeof CreatedValue>;
