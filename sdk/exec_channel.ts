/** One end of a command inside a container: bytes and words over a WebSocket, no faster than the other end uses them. */
import { EXEC_STREAMS, ExecSaid, type ExecStream } from "./protocol/exec.ts";
import { LIMITS } from "./protocol/limits.ts";

/** As much of a `WebSocket` as is used. */
export type Socket = Pick<
  WebSocket,
  "binaryType" | "readyState" | "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror"
>;

/** Takes what comes, one after the other: the next waits until the one before is used. */
export interface ExecSink {
  bytes(stream: ExecStream, bytes: Uint8Array<ArrayBuffer>): void | Promise<void>;
  said(said: ExecSaid): void | Promise<void>;
}

const NAMES = Object.keys(EXEC_STREAMS) as ExecStream[];
const CHUNK_BYTES = 64 * 1024;
const OPEN = 1;
/** The window, and words beside it. */
const UNUSED_MAX = 2 * LIMITS.execWindowBytes;

export class ExecChannel {
  readonly #socket: Socket;
  readonly #opened = Promise.withResolvers<boolean>();
  readonly #gone = Promise.withResolvers<void>();
  readonly #listening = Promise.withResolvers<ExecSink>();
  /** What came, in its order. */
  #turn: Promise<void> = Promise.resolve();
  /** Of what came: bytes and characters. */
  #unused = 0;
  #underWay = 0;
  #room = Promise.withResolvers<void>();

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#take(data);
    socket.onopen = () => this.#opened.resolve(true);
    socket.onclose = () => this.#end();
    socket.onerror = () => {}; // a close follows
  }

  /** Whether it could be opened, once that is known. */
  get opened(): Promise<boolean> {
    return this.#opened.promise;
  }

  /** Resolves when the connection is over. What came before may still be in use. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** Resolves when it is over and all that came was used. */
  get finished(): Promise<void> {
    return this.#gone.promise.then(() => this.#turn);
  }

  /** Listens from now on; what came before is told first. */
  listen(sink: ExecSink): void {
    this.#listening.resolve(sink);
  }

  say(said: ExecSaid): void {
    if (this.#socket.readyState === OPEN) this.#socket.send(JSON.stringify(said));
  }

  /** Resolves when they are on their way; waits while the other end is behind. False when the connection is over. */
  async send(stream: ExecStream, bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = bytes.subarray(at, at + CHUNK_BYTES);
      while (this.#underWay + chunk.length > LIMITS.execWindowBytes && this.#socket.readyState === OPEN) {
        await this.#room.promise;
      }
      if (this.#socket.readyState !== OPEN) return false;
      this.#underWay += chunk.length;
      const message = new Uint8Array(chunk.length + 1);
      message[0] = EXEC_STREAMS[stream];
      message.set(chunk, 1);
      this.#socket.send(message);
    }
    return true;
  }

  /** All of a stream; resolves when it has ended, or the connection has. */
  async sendAll(stream: ExecStream, source: ReadableStream<Uint8Array>): Promise<void> {
    for await (const bytes of source) if (!await this.send(stream, bytes)) return;
  }

  close(): void {
    this.#socket.close();
  }

  #take(data: unknown): void {
    const use = typeof data === "string" ? this.#words(data) : this.#bytes(data as ArrayBuffer);
    const size = typeof data === "string" ? data.length : (data as ArrayBuffer).byteLength - 1;
    // It speaks something else, or more than it may.
    if (use === null || (this.#unused += size) > UNUSED_MAX) return this.close();
    this.#turn = this.#turn.then(use).catch(() => this.close()).then(() => void (this.#unused -= size));
  }

  #words(text: string): (() => void | Promise<void>) | null {
    const said = parseSaid(text);
    if (said === null) return null;
    if (said.t !== "taken") return async () => await (await this.#listening.promise).said(said);
    this.#taken(said.bytes); // at once: what is in turn may wait for it
    return () => {};
  }

  #bytes(data: ArrayBuffer): (() => Promise<void>) | null {
    const stream = NAMES[new Uint8Array(data)[0] ?? -1];
    if (stream === undefined || data.byteLength > CHUNK_BYTES + 1) return null;
    return async () => {
      const bytes = new Uint8Array(data, 1);
      await (await this.#listening.promise).bytes(stream, bytes);
      if (bytes.length > 0) this.say({ t: "taken", bytes: bytes.length });
    };
  }

  #taken(bytes: number): void {
    this.#underWay = Math.max(0, this.#underWay - bytes);
    this.#wake();
  }

  #end(): void {
    this.#opened.resolve(false);
    this.#listening.resolve({ bytes: () => {}, said: () => {} }); // nobody will
    this.#gone.resolve();
    this.#wake();
  }

  #wake(): void {
    this.#room.resolve();
    this.#room = Promise.withResolvers();
  }
}

/** What a text says; null when it is none of ours. */
export function parseSaid(text: string): ExecSaid | null {
  try {
    return ExecSaid.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
