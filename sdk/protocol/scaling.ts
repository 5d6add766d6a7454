/** What the autoscaler decided about a function, from what, and whether it would decide so again. */
import { z } from "zod";
import { Name, Page, pageOf, Timestamp } from "./primitives.ts";
import { route } from "./route.ts";

export const Decision = z.object({
  /** Containers wanted. */
  wanted: z.number().int(),
  reason: z.string(),
});

/** A decision that differed from the one before. */
export const Scaling = Decision.extend({
  seq: z.number().int(),
  at: Timestamp,
  /** All that the decision came from. `kind` is `scale` (for a load) or `keep` (at the end of work). */
  inputs: z.looseObject({ kind: z.enum(["scale", "keep"]) }),
  /** What the same inputs lead to now; only when asked for. */
  replayed: Decision.optional(),
});
export type Scaling = z.infer<typeof Scaling>;
export const ScalingPage = pageOf(Scaling);

export const scalingRoutes = {
  listScalings: route(
    "GET",
    "/v1/apps/:app/functions/:function/scaling",
    "read",
    "What the autoscaler decided about a function of late, newest first; with `replay` what it decides from the same inputs now",
    Page.extend({ app: Name, function: Name, replay: z.stringbool().optional() }),
    ScalingPage,
  ),
} as const;
