/** The guest's end of its control socket: frames in, frames out. */
import type { z } from "zod";
import type { GuestFrame } from "../frames.ts";
import { type Decoded, FrameDecoder } from "./decode.ts";

const READ_BYTES = 64 * 1024;

/**
 * Writes are joined: what is sent while a write is under way, or within one turn of the event loop, leaves as one. At tens
 * of thousands of calls a second this is the difference between one system call per hundred results and one per result.
 */
export class Channel {
  readonly #conn: Deno.Conn;
  readonly #encoder = new TextEncoder();
  #out: (string | Uint8Array)[] = [];
  #backlog = 0;
  #writing: Promise<void> | undefined;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  /** Sends a frame that is JSON text already. */
  sendText(line: string): void {
    this.#push(`${line}\n`);
  }

  /** Sends a frame, and its body if it has one. */
  send(frame: z.input<typeof GuestFrame>, body?: Uint8Array): void {
    this.sendText(JSON.stringify(frame));
    if (body !== undefined) this.#push(body);
  }

  /** Characters and bytes that wait to be written. */
  get backlog(): number {
    return this.#backlog;
  }

  /** Resolves once all that was sent has been written. */
  async drained(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  /** What arrives, as many frames at a time as there are, until the host closes. */
  async *frames(): AsyncGenerator<Decoded[]> {
    const decoder = new FrameDecoder();
    const bytes = new Uint8Array(READ_BYTES);
    for (let n = await this.#conn.read(bytes); n !== null; n = await this.#conn.read(bytes)) {
      yield decoder.push(bytes.subarray(0, n));
    }
  }

  close(): void {
    this.#conn.close();
  }

  #push(part: string | Uint8Array): void {
    this.#out.push(part);
    this.#backlog += part.length;
    this.#writing ??= Promise.resolve().then(() => this.#write());
  }

  async #write(): Promise<void> {
    try {
      while (this.#out.length > 0) {
        const parts = this.#out;
        this.#out = [];
        this.#backlog = 0;
        await this.#writeAll(parts);
      }
    } catch {
      this.#out = []; // The host has gone, as the reading end is about to find out
    } finally {
      this.#writing = undefined;
    }
  }

  async #writeAll(parts: readonly (string | Uint8Array)[]): Promise<void> {
    for (const bytes of this.#joined(parts)) {
      for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
    }
  }

  /** Runs of texts become one piece; bodies stay as they are, uncopied. */
  *#joined(parts: readonly (string | Uint8Array)[]): Generator<Uint8Array> {
    let text = "";
    for (const part of parts) {
      if (typeof part === "string") {
        text += part;
      } else {
        yield this.#encoder.encode(text);
        yield part;
        text = "";
      }
    }
    yield this.#encoder.encode(text);
  }
}
