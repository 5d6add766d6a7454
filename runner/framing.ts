/**
 * Cuts the byte stream of a guest into frames and bodies. Pure, incremental, and bounded: what a guest sends is hostile, so
 * a line that is too long, too deep or not JSON is a violation, told to the sink as a value.
 *
 * Lines are decoded many at a time: one decode per read instead of one per frame is worth a third of the runner's work.
 */
import { LIMITS } from "../sdk/protocol/limits.ts";

export interface FrameSink {
  /** One frame, not yet checked, and the characters it took. */
  frame(value: unknown, characters: number): void;
  /** A piece of the body of the frame before; its bytes are only valid until the next `push`. */
  body(piece: Uint8Array, last: boolean): void;
  /** The guest spoke outside the protocol. Nothing more is told after this. */
  violation(reason: string): void;
}

const NEWLINE = 10;
/** Values nested deeper than this break recursive readers further on. */
export const DEPTH_MAX = 500;
/** A shorter line cannot be nested that deep. */
const SHALLOW_CHARACTERS = 2 * DEPTH_MAX;
const TOO_LONG = `a line is longer than ${LIMITS.frameBytes} bytes`;

export class FrameDecoder {
  readonly #sink: FrameSink;
  readonly #text = new TextDecoder("utf-8", { ignoreBOM: true });
  /** The beginning of a line whose end has not come. */
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  #bodyLeft = 0;
  #stopped = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Tells the sink all that `chunk` completes. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && !this.#stopped) {
      at = this.#bodyLeft > 0 ? this.#takeBody(chunk, at) : this.#takeLines(chunk, at);
    }
  }

  /** Ignores all that follows. */
  stop(): void {
    this.#stopped = true;
    this.#rest = [];
  }

  #takeBody(chunk: Uint8Array, at: number): number {
    const piece = chunk.subarray(at, at + this.#bodyLeft);
    this.#bodyLeft -= piece.length;
    this.#sink.body(piece, this.#bodyLeft === 0);
    return at + piece.length;
  }

  #takeLines(chunk: Uint8Array, at: number): number {
    const last = chunk.lastIndexOf(NEWLINE);
    if (last < at) return this.#keep(chunk, at);
    const lines = this.#decode(chunk.subarray(at, last)).split("\n");
    for (let i = 0; i < lines.length && !this.#stopped; i++) {
      this.#bodyLeft = this.#frame(lines[i]!);
      if (this.#bodyLeft > 0) return afterLines(chunk, at, i + 1);
    }
    return this.#keep(chunk, last + 1);
  }

  /** Tells one frame; returns the length of the body that follows it. */
  #frame(line: string): number {
    if (line.length > LIMITS.frameBytes) return this.#violate(TOO_LONG);
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      return this.#violate("a line is not JSON");
    }
    if (line.length > SHALLOW_CHARACTERS && deeperThan(value, DEPTH_MAX)) {
      return this.#violate(`a value is nested deeper than ${DEPTH_MAX}`);
    }
    const body = bodyLength(value);
    if (body === null) return this.#violate(`"bytes" must be a whole number up to ${LIMITS.checkpointBytes}`);
    this.#sink.frame(value, line.length);
    return body;
  }

  #keep(chunk: Uint8Array, at: number): number {
    if (at === chunk.length) return at;
    this.#restBytes += chunk.length - at;
    if (this.#restBytes > LIMITS.frameBytes) this.#violate(TOO_LONG);
    else this.#rest.push(chunk.slice(at));
    return chunk.length;
  }

  #decode(lines: Uint8Array): string {
    if (this.#rest.length === 0) return this.#text.decode(lines);
    const whole = new Uint8Array(this.#restBytes + lines.length);
    let at = 0;
    for (const part of [...this.#rest, lines]) {
      whole.set(part, at);
      at += part.length;
    }
    this.#rest = [];
    this.#restBytes = 0;
    return this.#text.decode(whole);
  }

  #violate(reason: string): 0 {
    this.stop();
    this.#sink.violation(reason);
    return 0;
  }
}

/** Where the `count`th line from `at` has ended. */
function afterLines(chunk: Uint8Array, at: number, count: number): number {
  for (let i = 0; i < count; i++) at = chunk.indexOf(NEWLINE, at) + 1;
  return at;
}

/** Length of the body a frame announces: 0 for none, null when it announces nonsense. */
function bodyLength(frame: unknown): number | null {
  if (typeof frame !== "object" || frame === null || !("bytes" in frame)) return 0;
  const { bytes } = frame;
  if (typeof bytes !== "number" || !Number.isInteger(bytes)) return null;
  return bytes >= 0 && bytes <= LIMITS.checkpointBytes ? bytes : null;
}

/** True when `value` is nested more than `levels` deep. */
export function deeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  for (const item of Array.isArray(value) ? value : Object.values(value)) {
    if (deeperThan(item, levels - 1)) return true;
  }
  return false;
}
