/** Attaching to a container: its stdout and stderr as they come. A connection of its own, since `fetch` cannot upgrade one. */
import { Demux } from "./demux.ts";
import { MarkFilter } from "./marks.ts";
import { EngineAway, EngineRefused } from "./http.ts";

export interface Attached {
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  close(): void;
}

const READ_BYTES = 64 * 1024;
const HEAD_BYTES_MAX = 16 * 1024;

/** Marks to take out, and who wants to know that one has come. */
export interface Marked {
  readonly mark: Uint8Array<ArrayBuffer>;
  seen(stream: "stdout" | "stderr"): void;
  /** None comes any more. */
  over(): void;
}

/** @param path of the API, with its version and query */
export async function attach(socket: string, path: string, marked: Marked): Promise<Attached> {
  const connection = await Deno.connect({ transport: "unix", path: socket }).catch((cause) => {
    throw new EngineAway("Cannot reach the container engine", { cause });
  });
  try {
    const request =
      `POST ${path} HTTP/1.1\r\nHost: engine\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n`;
    await writeAll(connection, new TextEncoder().encode(request));
    const rest = await readHead(connection);
    return stream(connection, rest, marked);
  } catch (error) {
    connection.close();
    throw error;
  }
}

async function writeAll(connection: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
}

/** Reads the head of the answer, and gives the first bytes after it. */
async function readHead(connection: Deno.Conn): Promise<Uint8Array> {
  const buffer = new Uint8Array(HEAD_BYTES_MAX);
  for (let length = 0; length < buffer.length;) {
    const n = await connection.read(buffer.subarray(length));
    if (n === null) throw new EngineAway("The container engine went away while it attached");
    length += n;
    const text = new TextDecoder("latin1").decode(buffer.subarray(0, length));
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
    if (status !== 101 && status !== 200) {
      throw new EngineRefused(status, `Cannot attach: ${text.slice(end + 4).trim()}`);
    }
    return buffer.slice(end + 4, length);
  }
  throw new EngineRefused(500, "The container engine answered with a head without end");
}

function stream(connection: Deno.Conn, first: Uint8Array, marked: Marked): Attached {
  const [stdout, stderr] = [pipe(), pipe()];
  const sinks = {
    stdout: sinkOf(stdout.sink, "stdout", marked),
    stderr: sinkOf(stderr.sink, "stderr", marked),
  };
  pump(connection, first, (name, bytes) => sinks[name].write(bytes)).finally(() => {
    marked.over();
    for (const sink of Object.values(sinks)) sink.close().catch(() => {});
  });
  return { stdout: stdout.readable, stderr: stderr.readable, close: () => closeQuietly(connection) };
}

function sinkOf(
  writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>,
  name: "stdout" | "stderr",
  marked: Marked,
) {
  const filter = new MarkFilter(marked.mark, () => marked.seen(name));
  return {
    async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
      for (const piece of filter.push(bytes)) await writer.write(piece);
    },
    async close(): Promise<void> {
      const rest = filter.rest();
      if (rest.length > 0) await writer.write(rest);
      await writer.close();
    },
  };
}

function pipe() {
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  return { readable, sink: writable.getWriter() };
}

async function pump(
  connection: Deno.Conn,
  first: Uint8Array,
  tell: (stream: "stdout" | "stderr", bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const demux = new Demux();
  const buffer = new Uint8Array(READ_BYTES);
  try {
    for (let bytes: Uint8Array | null = first; bytes !== null;) {
      for (const [stream, piece] of demux.push(bytes)) await tell(stream, piece);
      const n = await connection.read(buffer);
      bytes = n === null ? null : buffer.subarray(0, n);
    }
  } catch {
    // The engine closed it, or nobody reads on: what was told is all there is.
  } finally {
    closeQuietly(connection);
  }
}

function closeQuietly(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // Closed before.
  }
}
