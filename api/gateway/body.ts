/**
 * Bodies of HTTP/1.1 responses, taken out of their framing as bytes arrive. Pure, and bounded: nothing is kept of a body but
 * where in the framing we are.
 */
import { type Framing, Http1Error } from "./http1.ts";

export interface BodyDecoder {
  /** The whole body has been read. */
  readonly done: boolean;
  /** The peer sent bytes beyond the body, which nobody asked for: the connection must not be used again. */
  readonly excess: boolean;
  /** Takes bytes as they came and returns the body bytes among them, in the same memory: `bytes` belongs to the decoder now. */
  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** The connection ended. Throws when the body had not. */
  end(): void;
}

export function decoderOf(framing: Framing): BodyDecoder {
  switch (framing.kind) {
    case "none":
      return new LengthDecoder(0);
    case "length":
      return new LengthDecoder(framing.bytes);
    case "chunked":
      return new ChunkedDecoder();
    case "close":
      return new CloseDecoder();
  }
}

class LengthDecoder implements BodyDecoder {
  excess = false;
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (bytes.length > this.#left) this.excess = true;
    const data = bytes.subarray(0, this.#left);
    this.#left -= data.length;
    return data;
  }

  end(): void {
    if (!this.done) {
      throw new Http1Error(`Cannot read response: the connection ended ${this.#left} bytes early`);
    }
  }
}

class CloseDecoder implements BodyDecoder {
  done = false;
  readonly excess = false;

  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    return bytes;
  }

  end(): void {
    this.done = true;
  }
}

/** Longest chunk-size line with its extensions, and longest trailer section; both are thrown away. */
const SIZE_LINE_MAX = 1_024;
const TRAILER_MAX = 8_192;

const CR = 13;
const LF = 10;

/**
 * ```
 * size ─CRLF→ data ─all→ dataEnd ─CRLF→ size
 *   └─0 CRLF→ trailer ─line→ trailer ─empty line→ done
 * ```
 */
type ChunkState = "size" | "data" | "dataEnd" | "trailer" | "done";

class ChunkedDecoder implements BodyDecoder {
  excess = false;
  #state: ChunkState = "size";
  /** Bytes left of the chunk. */
  #left = 0;
  /** The line being read (a chunk's size, the CRLF after its data, a trailer), without its LF. */
  #line = "";
  #trailerBytes = 0;

  get done(): boolean {
    return this.#state === "done";
  }

  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    let kept = 0; // the body is moved together at the front, so that many small chunks leave as one piece
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state !== "data") {
        this.#takeLineByte(bytes[at++]!);
        continue;
      }
      const n = Math.min(this.#left, bytes.length - at);
      if (kept !== at) bytes.copyWithin(kept, at, at + n);
      kept += n;
      at += n;
      this.#left -= n;
      if (this.#left === 0) this.#state = "dataEnd";
    }
    if (at < bytes.length) this.excess = true;
    return bytes.subarray(0, kept);
  }

  end(): void {
    if (!this.done) throw new Http1Error("Cannot read response: the connection ended before the last chunk");
  }

  #takeLineByte(byte: number): void {
    if (byte === LF) {
      if (!this.#line.endsWith("\r")) {
        throw new Http1Error("Cannot read response: a chunk line ends without CR");
      }
      const line = this.#line.slice(0, -1);
      this.#line = "";
      return this.#takeLine(line);
    }
    if (this.#line.endsWith("\r")) throw new Http1Error("Cannot read response: a CR inside a chunk line");
    if (byte !== CR && byte !== 9 && (byte < 32 || byte === 127)) {
      throw new Http1Error("Cannot read response: a control character in a chunk line");
    }
    this.#line += String.fromCharCode(byte);
    if (this.#line.length > SIZE_LINE_MAX) {
      throw new Http1Error("Cannot read response: a chunk line is too long");
    }
  }

  #takeLine(line: string): void {
    if (this.#state === "dataEnd") {
      if (line !== "") throw new Http1Error("Cannot read response: a chunk is longer than its size says");
      this.#state = "size";
    } else if (this.#state === "size") {
      this.#left = parseChunkSize(line);
      this.#state = this.#left === 0 ? "trailer" : "data";
    } else {
      this.#trailerBytes += line.length + 2;
      if (this.#trailerBytes > TRAILER_MAX) {
        throw new Http1Error("Cannot read response: its trailers are too long");
      }
      if (line === "") this.#state = "done";
    }
  }
}

/** At most 12 hex digits (16 TiB), so that the number is exact; extensions are ignored. */
function parseChunkSize(line: string): number {
  const match = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;.*)?$/.exec(line);
  if (match === null) {
    throw new Http1Error(`Cannot read response: bad chunk size ${JSON.stringify(line.slice(0, 40))}`);
  }
  return parseInt(match[1]!, 16);
}
