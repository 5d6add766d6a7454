/** Frames out of bytes: newline-delimited JSON, where a frame with `bytes: n` is followed by n raw bytes. Pure. */
import type { HostFrame } from "../frames.ts";

/** A frame and its body, if it has one. */
export interface Decoded {
  readonly frame: HostFrame;
  readonly body: Uint8Array<ArrayBuffer> | undefined;
}

const NEWLINE = 10;

/**
 * Decodes what a socket brings, however it is cut. Text is decoded a read at a time, since a decoder call per frame
 * costs more than the frame; only bodies, which are rare, need to know at which byte their line ended.
 */
export class FrameDecoder {
  readonly #text = new TextDecoder();
  /** The beginning of a line, or of nothing. */
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  /** A frame whose body is still coming. */
  #open: { readonly frame: HostFrame; readonly body: Uint8Array<ArrayBuffer>; filled: number } | undefined;

  /** The frames that these bytes complete. They may be reused after the call. */
  push(bytes: Uint8Array<ArrayBuffer>): Decoded[] {
    const done: Decoded[] = [];
    let input = bytes;
    while (input.length > 0) {
      input = this.#open === undefined ? this.#lines(input, done) : this.#fill(this.#open, input, done);
    }
    return done;
  }

  /** Reads lines until one has a body; what follows it is returned. */
  #lines(input: Uint8Array<ArrayBuffer>, done: Decoded[]): Uint8Array<ArrayBuffer> {
    const end = input.lastIndexOf(NEWLINE) + 1;
    if (end === 0) {
      this.#rest = concat(this.#rest, input.slice());
      return new Uint8Array(0);
    }
    const region = concat(this.#rest, input.subarray(0, end));
    this.#rest = new Uint8Array(0);
    const text = this.#text.decode(region);
    for (let from = 0, count = 1; from < text.length; count++) {
      const to = text.indexOf("\n", from);
      const frame: HostFrame & { bytes?: number } = JSON.parse(text.slice(from, to));
      from = to + 1;
      if (frame.bytes === undefined) {
        done.push({ frame, body: undefined });
      } else {
        this.#open = { frame, body: new Uint8Array(frame.bytes), filled: 0 };
        const rest = concat(region.subarray(afterNewline(region, count)), input.subarray(end));
        return this.#fill(this.#open, rest, done);
      }
    }
    this.#rest = input.slice(end);
    return new Uint8Array(0);
  }

  #fill(
    open: { frame: HostFrame; body: Uint8Array<ArrayBuffer>; filled: number },
    input: Uint8Array<ArrayBuffer>,
    done: Decoded[],
  ): Uint8Array<ArrayBuffer> {
    const part = input.subarray(0, open.body.length - open.filled);
    open.body.set(part, open.filled);
    open.filled += part.length;
    if (open.filled === open.body.length) {
      done.push({ frame: open.frame, body: open.body });
      this.#open = undefined;
    }
    return input.subarray(part.length);
  }
}

function concat(a: Uint8Array<ArrayBuffer>, b: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (a.length === 0) return b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** Where the byte after the n-th newline is. */
function afterNewline(bytes: Uint8Array, n: number): number {
  let at = 0;
  for (let i = 0; i < n; i++) at = bytes.indexOf(NEWLINE, at) + 1;
  return at;
}
