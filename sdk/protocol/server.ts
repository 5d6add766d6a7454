/** A program of the user's own that listens and is served as an endpoint. */
import { z } from "zod";
import { parseDuration } from "../duration.ts";
import { DurationText } from "./primitives.ts";

/** Pauses and patience that are not counted in hours, and not so short that asking is all that happens. */
const Brisk = DurationText.refine(
  (text) => parseDuration(text) >= 50 && parseDuration(text) <= parseDuration("1h"),
  "must be between 50ms and 1h",
);

/** How a server is asked whether it is well. Any answer of 2xx says that it is. */
export const HealthSpec = z.strictObject({
  path: z.string().max(1_024).regex(/^\/[\x21-\x7e]*$/, "must be a path such as /health"),
  /** Pause between two checks of a server that is ready. */
  interval: Brisk.default("10s"),
  /** Longest wait for one answer. */
  timeout: Brisk.default("5s"),
  /** Failures in a row after which its container is replaced. */
  failures: z.number().int().min(1).max(100).default(3),
});
export type HealthSpec = z.infer<typeof HealthSpec>;

export const ServerSpec = z.strictObject({
  /**
   * Program and arguments. `$PORT` and `$BERTH_SOCKET` in an argument stand for where it is to listen; no shell reads it. Absent:
   * what its image runs by itself.
   */
  command: z.array(z.string().max(4_096)).min(1).max(256).optional(),
  /** Where it listens: of its container, or on 127.0.0.1; absent: on a free port, which it finds in `$PORT`. */
  port: z.number().int().min(1).max(65_535).optional(),
  /** It listens on the unix socket `$BERTH_SOCKET` instead of a port. */
  socket: z.boolean().default(false),
  /** Absent: it is well while it takes connections and has not ended. */
  health: HealthSpec.optional(),
  /** Time that its open requests have to end before it is told to (SIGTERM). New ones go elsewhere then. */
  drain: DurationText.default("30s"),
})
  .refine(({ command }) => command?.[0] !== "", {
    message: "must begin with a program",
    path: ["command", 0],
  })
  .refine(({ port, socket }) => port === undefined || !socket, {
    message: "must be absent where `socket` is set",
    path: ["port"],
  });
export type ServerSpec = z.infer<typeof ServerSpec>;
