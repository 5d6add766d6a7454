/** The guest's end of its control socket: frames in, frames out. */
import type { z } from "zod";
import type { GuestFrame } from "../frames.ts";
import { type Decoded, FrameDecoder } from "./decode.ts";

const READ_BYTES = 64 * 1024;
/** Characters of lines and events that wait while the host is away; what comes then is dropped. */
const AWAY_MAX = 1024 * 1024;

/**
 * Writes are joined: what is sent while a write is under way, or within one turn of the event loop, leaves as one. At tens
 * of thousands of calls a second this is the difference between one system call per hundred results and one per result.
 */
export class Channel {
  #conn: Deno.Conn;
  #away = false;
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
    if (this.#away && frame.t !== "log" && frame.t !== "event") return;
    this.sendText(JSON.stringify(frame));
    if (body !== undefined) this.#push(body);
  }

  /** The host has gone. Lines and events wait until it is back; nothing else can be sent. */
  get away(): boolean {
    return this.#away;
  }

  /** The host is back. It is told `hello` first. */
  resume(conn: Deno.Conn, hello: z.input<typeof GuestFrame>): void {
    this.#conn = conn;
    this.#away = false;
    const waited = this.#out.splice(0);
    this.#backlog = 0;
    this.send(hello);
    for (const part of waited) this.#push(part);
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
    const read = () => this.#conn.read(bytes).catch(() => null);
    for (let n = await read(); n !== null; n = await read()) {
      yield decoder.push(bytes.subarray(0, n));
    }
    await this.#leave();
  }

  close(): void {
    this.#conn.close();
  }

  /** What was on its way is lost. */
  async #leave(): Promise<void> {
    this.#away = true;
    this.#conn.close();
    await this.drained();
    this.#out = [];
    this.#backlog = 0;
  }

  #push(part: string | Uint8Array): void {
    if (this.#away && this.#backlog + part.length > AWAY_MAX) return;
    this.#out.push(part);
    this.#backlog += part.length;
    if (!this.#away) this.#writing ??= Promise.resolve().then(() => this.#write());
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
      this.#away = true; // As the reading end is about to find out
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
