/** Running a command inside a container, from here. */
import { ExecChannel } from "../exec_channel.ts";
import type { ExecCommand, ExecStream, TerminalSize } from "../protocol/exec.ts";
import { routes } from "../protocol/routes.ts";
import { send } from "../transport.ts";
import type { Job } from "./cli.ts";
import { CliError, EXIT } from "./failure.ts";

/** Who speaks with the command. */
export interface Party {
  /** What it reads; null for nothing. */
  readonly stdin: ReadableStream<Uint8Array> | null;
  /** Takes what it prints. */
  print(stream: ExecStream, bytes: Uint8Array<ArrayBuffer>): void | Promise<void>;
  /** Tells of new sizes of the terminal, until what it returns is called. */
  onResize?(heard: (size: TerminalSize) => void): () => void;
}

export interface ExecExit {
  readonly code: number;
  readonly signal: string | null;
}

/** Runs a command inside a container to its end. */
export async function runInside(
  job: Job,
  container: string,
  command: ExecCommand,
  party: Party,
): Promise<ExecExit> {
  const { exitedAt, keptUntil } = await send(job.wire(), routes.getContainer, { id: container });
  const failing = `Cannot run a command in "${container}"`;
  if (exitedAt !== null && keptUntil === null) throw new CliError(EXIT.platform, `${failing}: it has ended`);
  const lost = `Cannot go on in "${container}": the connection was lost, or the container has ended`;
  return await runAt(
    job,
    { path: `/v1/containers/${encodeURIComponent(container)}/exec`, failing, lost },
    command,
    party,
  );
}

/** Where the platform takes a command, and what is said when it does not, or no longer. */
export interface ExecPlace {
  readonly path: string;
  readonly failing: string;
  readonly lost: string;
}

/** Runs a command to its end, wherever the platform takes one. */
export async function runAt(
  job: Job,
  place: ExecPlace,
  command: ExecCommand,
  party: Party,
): Promise<ExecExit> {
  const channel = await connect(job, place);
  channel.say({ t: "open", ...command });
  const ended = Promise.withResolvers<ExecExit>();
  channel.listen({
    bytes: async (stream, bytes) => {
      try {
        await party.print(stream, bytes);
      } catch (error) {
        ended.reject(error);
      }
    },
    said: (said) => {
      if (said.t === "exit") ended.resolve({ code: said.code, signal: said.signal });
      if (said.t === "error") ended.reject(new CliError(EXIT.platform, said.message));
    },
  });
  channel.finished.then(() => ended.reject(new CliError(EXIT.platform, place.lost)));
  const stopListening = party.onResize?.((size) => channel.say({ t: "resize", ...size }));
  feed(channel, party.stdin).catch((error) => ended.reject(error));
  try {
    return await ended.promise;
  } finally {
    stopListening?.();
    channel.close();
  }
}

async function connect(job: Job, { path, failing }: ExecPlace): Promise<ExecChannel> {
  const { url, key } = job.shell.profile();
  const socket = job.shell.connect(url.replace(/\/+$/, "").replace(/^http/, "ws") + path, {
    authorization: `Bearer ${key}`,
  });
  const channel = new ExecChannel(socket);
  if (await channel.opened) return channel;
  throw new CliError(EXIT.platform, `${failing}: the platform did not let us in`, {
    hint:
      "A key of scope deploy or admin is needed; and what is between here and Berth must pass WebSockets.",
  });
}

async function feed(channel: ExecChannel, stdin: ReadableStream<Uint8Array> | null): Promise<void> {
  try {
    if (stdin !== null) await channel.sendAll("stdin", stdin);
  } finally {
    channel.say({ t: "eof" });
  }
}

/** Runs a command without input and collects what it prints, up to a limit. */
export async function collectInside(
  job: Job,
  container: string,
  command: readonly string[],
): Promise<ExecExit & { stdout: string; stderr: string }> {
  const parts = { stdin: [], stdout: [], stderr: [] } as Record<ExecStream, Uint8Array<ArrayBuffer>[]>;
  let bytesLeft = COLLECTED_BYTES_MAX;
  const exit = await runInside(job, container, { command: [...command] }, {
    stdin: null,
    print: (stream, bytes) => {
      if ((bytesLeft -= bytes.length) < 0) {
        throw new CliError(EXIT.platform, `Cannot collect more than ${COLLECTED_BYTES_MAX} bytes of output`);
      }
      parts[stream].push(bytes);
    },
  });
  const text = (stream: ExecStream) =>
    new TextDecoder().decode(new Uint8Array(parts[stream].flatMap((part) => [...part])));
  return { ...exit, stdout: text("stdout"), stderr: text("stderr") };
}

/** With `--json` what a command prints is one JSON text. */
const COLLECTED_BYTES_MAX = 8 * 1024 * 1024;
