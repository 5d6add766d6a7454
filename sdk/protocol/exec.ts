/**
 * A command run inside a container on somebody's behalf: `GET /v1/containers/{id}/exec` as a WebSocket, with a key of scope `deploy`.
 *
 * Both sides send bytes as binary messages, the first byte of which names their stream, and texts, each a {@link ExecSaid}. The
 * first message is the client's `open`; the last is the container's `exit` or an `error`. Whoever takes bytes says so (`taken`),
 * and no more than `LIMITS.execWindowBytes` of a direction are under way, so that a slow reader holds up the command and nobody's
 * memory fills. When the client goes, the command is killed; when the container ends, so does the command.
 *
 * The client closes the connection, when it has had the last message: who closes a WebSocket may lose what is still on its way to
 * the other end.
 */
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { VolumeFolder } from "./volumes.ts";

/** The first byte of a binary message. */
export const EXEC_STREAMS = { stdin: 0, stdout: 1, stderr: 2 } as const;
export type ExecStream = keyof typeof EXEC_STREAMS;

export const TerminalSize = z.object({
  columns: z.number().int().min(1).max(1_000),
  rows: z.number().int().min(1).max(1_000),
});
export type TerminalSize = z.infer<typeof TerminalSize>;

/** What to run: program and arguments, with a terminal or with three pipes. */
export const ExecCommand = z.object({
  command: z.array(z.string().max(LIMITS.execArgumentLength)).min(1).max(LIMITS.execArguments)
    .refine(([program]) => program !== "", "must begin with a program"),
  tty: TerminalSize.extend({ term: z.string().regex(/^[\w.+-]{1,64}$/, "must be a name such as xterm") })
    .optional(),
});
export type ExecCommand = z.infer<typeof ExecCommand>;

export const ExecSaid = z.discriminatedUnion("t", [
  /** Client, first: run this. */
  ExecCommand.extend({ t: z.literal("open") }),
  /** Client: the terminal has another size now. */
  TerminalSize.extend({ t: z.literal("resize") }),
  /** Client: nothing more comes on stdin. */
  z.object({ t: z.literal("eof") }),
  /** Either: so many bytes of what you sent were used. */
  z.object({ t: z.literal("taken"), bytes: z.number().int().min(1).max(LIMITS.execWindowBytes) }),
  /** Container, last: how the command ended. */
  z.object({ t: z.literal("exit"), code: z.number().int(), signal: z.string().max(16).nullable() }),
  /** Container or platform, last: why there is nothing to run or to wait for. */
  z.object({ t: z.literal("error"), message: z.string().max(LIMITS.failureMessageLength) }),
]);
export type ExecSaid = z.infer<typeof ExecSaid>;

/** A command that waits for a runner to connect: inside a container, or about the files of a volume. */
export const WantedExec = ExecCommand.extend({
  id: z.string(),
  container: z.string().optional(),
  volume: VolumeFolder.optional(),
});
export type WantedExec = z.infer<typeof WantedExec>;
