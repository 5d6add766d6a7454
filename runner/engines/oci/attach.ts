/** Attaching to what runs in a container: its streams as they come. A connection of its own, since `fetch` cannot upgrade one. */
import { close, writeAll } from "../../../sdk/connection.ts";
import { Demux } from "./demux.ts";
import { MarkFilter } from "./marks.ts";
import { EngineAway, EngineRefused } from "./http.ts";

export interface Attached {
  /** Where it was attached; what is written is lost otherwise. */
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  /** Nothing more comes: what it was attached to has ended, or the engine went away. */
  readonly ended: Promise<void>;
  /** All that has come was taken, or will never be. */
  readonly drained: boolean;
  close(): void;
}

export interface Attaching {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** It has a terminal: one stream, without frames. */
  readonly tty?: boolean;
  readonly marked?: Marked;
}

/** What may have been printed before anybody reads it. */
const EARLY_BYTES = 256 * 1024;
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
export async function attach(
  socket: string,
  path: string,
  { body, tty, marked }: Attaching = {},
): Promise<Attached> {
  const connection = await Deno.connect({ transport: "unix", path: socket }).catch((cause) => {
    throw new EngineAway("Cannot reach the container engine", { cause });
  });
  try {
    await writeAll(connection, requestOf(path, body));
    const rest = await readHead(connection);
    return stream(connection, rest, tty === true ? plain : demuxed(), marked);
  } catch (error) {
    connection.close();
    throw error;
  }
}

function requestOf(path: string, body: unknown): Uint8Array {
  const bytes = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
  const head = [
    `POST ${path} HTTP/1.1`,
    "Host: engine",
    "Upgrade: tcp",
    "Connection: Upgrade",
    ...(body === undefined ? [] : ["Content-Type: application/json"]),
    `Content-Length: ${bytes.length}`,
  ];
  return new Uint8Array([...new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`), ...bytes]);
}

/** Reads the head of the answer, and gives the first bytes after it. */
async function readHead(connection: Deno.Conn): Promise<Uint8Array<ArrayBuffer>> {
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

type Bytes = Uint8Array<ArrayBuffer>;
/** What bytes of the connection belong to which stream. */
type Parts = (bytes: Bytes) => Iterable<readonly ["stdout" | "stderr", Bytes]>;

const plain: Parts = (bytes) => bytes.length === 0 ? [] : [["stdout", bytes.slice()]];

function demuxed(): Parts {
  const demux = new Demux();
  return (bytes) => demux.push(bytes);
}

function stream(connection: Deno.Conn, first: Bytes, parts: Parts, marked: Marked | undefined): Attached {
  const [stdout, stderr] = [pipe(), pipe()];
  const sinks = {
    stdout: sinkOf(stdout.sink, "stdout", marked),
    stderr: sinkOf(stderr.sink, "stderr", marked),
  };
  let drained = false;
  const ended = pump(connection, first, async (bytes) => {
    drained = false;
    for (const [name, piece] of parts(bytes)) await sinks[name].write(piece);
    drained = true;
  }).finally(() => {
    drained = true;
    marked?.over();
    for (const sink of Object.values(sinks)) sink.close().catch(() => {});
  });
  return {
    stdin: new WritableStream({
      write: (bytes) => writeAll(connection, bytes),
      close: () => connection.closeWrite(),
    }),
    stdout: stdout.readable,
    stderr: stderr.readable,
    ended,
    get drained() {
      return drained;
    },
    close: () => close(connection),
  };
}

type Sink = Pick<WritableStreamDefaultWriter<Bytes>, "write" | "close">;

function sinkOf(writer: Sink, name: "stdout" | "stderr", marked: Marked | undefined): Sink {
  if (marked === undefined) return writer;
  const filter = new MarkFilter(marked.mark, () => marked.seen(name));
  return {
    async write(bytes: Bytes): Promise<void> {
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
  const early = new ByteLengthQueuingStrategy({ highWaterMark: EARLY_BYTES });
  const { readable, writable } = new TransformStream<Bytes, Bytes>({}, undefined, early);
  return { readable, sink: writable.getWriter() };
}

async function pump(
  connection: Deno.Conn,
  first: Bytes,
  tell: (bytes: Bytes) => Promise<void>,
): Promise<void> {
  const buffer = new Uint8Array(READ_BYTES);
  try {
    for (let bytes: Bytes | null = first; bytes !== null;) {
      await tell(bytes);
      const n = await connection.read(buffer);
      bytes = n === null ? null : buffer.subarray(0, n);
    }
  } catch {
    // The engine closed it, or nobody reads on: what was told is all there is.
  } finally {
    close(connection);
  }
}
