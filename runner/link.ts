/**
 * The connection to one guest: frames in, decoded and told to a sink; frames out, joined so that many calls cost one write.
 */
import type { Channel } from "./engine.ts";
import { FrameDecoder, type FrameSink } from "./framing.ts";

/** Told what arrives, and when one read has been told. */
export interface LinkSink extends FrameSink {
  endOfTurn(): void;
  /** When the reader must wait before it reads on; null to read on at once. */
  hold(): Promise<void> | null;
}

/** A frame, or the raw bytes that follow one. */
type Piece = string | Uint8Array | { readonly file: string };

const READ_BYTES = 64 * 1024;
/** Of what a guest does not read, kept for it before it is not read any more. Far more than calls ahead and answers under way. */
const BACKLOG_MAX = 64 * 1024 * 1024;

export class Link {
  readonly #channel: Channel;
  readonly #encoder = new TextEncoder();
  #queue: Piece[] = [];
  #writing = false;
  #closed = false;
  #backlog = 0;
  #drained: (() => void)[] = [];

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Characters and bytes not yet taken by the socket. */
  get backlog(): number {
    return this.#backlog;
  }

  /** Queues one frame (with its newline). All that is queued in one turn goes in one write. */
  send(frame: string): void {
    this.#put(frame, frame.length);
  }

  /** Queues a frame and its body, which nothing comes between. */
  sendWithBody(frame: string, body: Uint8Array): void {
    this.send(frame);
    this.#put(body, body.length);
  }

  /** Queues a frame and the content of a file as its body. */
  sendWithFile(frame: string, file: string): void {
    this.send(frame);
    this.#put({ file }, 0);
  }

  /** Resolves when all that is queued was written, or the link is closed. */
  flushed(): Promise<void> {
    return this.#writing && !this.#closed
      ? new Promise((resolve) => this.#drained.push(resolve))
      : Promise.resolve();
  }

  /** Reads until the guest's end closes. */
  async read(sink: LinkSink): Promise<void> {
    const decoder = new FrameDecoder({
      frame: (value, characters) => sink.frame(value, characters),
      body: (piece, last) => sink.body(piece, last),
      violation: (reason) => sink.violation(reason),
    });
    const buffer = new Uint8Array(READ_BYTES);
    while (!this.#closed) {
      const n = await this.#channel.read(buffer).catch(() => null);
      if (n === null) return;
      decoder.push(buffer.subarray(0, n));
      sink.endOfTurn();
      const held = sink.hold();
      if (held !== null) await held;
      if (this.#backlog > BACKLOG_MAX) await this.flushed();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue = [];
    this.#wakeDrained();
    try {
      this.#channel.close();
    } catch {
      // Closed by its own failure.
    }
  }

  #put(piece: Piece, size: number): void {
    if (this.#closed) return;
    this.#queue.push(piece);
    this.#backlog += size;
    if (this.#writing) return;
    this.#writing = true;
    queueMicrotask(() => this.#write());
  }

  async #write(): Promise<void> {
    try {
      while (this.#queue.length > 0 && !this.#closed) {
        const pieces = this.#queue;
        const size = this.#backlog;
        this.#queue = [];
        await this.#writePieces(pieces);
        this.#backlog -= size;
      }
    } catch {
      // The guest closed its end; the reader tells.
      this.#queue = [];
    }
    this.#writing = false;
    this.#wakeDrained();
  }

  async #writePieces(pieces: readonly Piece[]): Promise<void> {
    let text = "";
    for (const piece of pieces) {
      if (typeof piece === "string") {
        text += piece;
        continue;
      }
      await this.#writeAll(this.#encoder.encode(text));
      text = "";
      if (piece instanceof Uint8Array) await this.#writeAll(piece);
      else for await (const part of (await Deno.open(piece.file)).readable) await this.#writeAll(part);
    }
    if (text !== "") await this.#writeAll(this.#encoder.encode(text));
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#channel.write(bytes.subarray(at));
  }

  #wakeDrained(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}
