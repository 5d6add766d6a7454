/** What a process prints, made into lines for the log: cut, readable, and no faster than its allowance. Pure. */
import { LIMITS } from "../sdk/protocol/limits.ts";

const NEWLINE = 10;
/** Where a line was cut. */
export const CUT_MARK = "…";

/** Cuts bytes into lines of text. A line longer than the limit is cut; bytes that are not UTF-8 are replaced. */
export class LineSplitter {
  readonly #text = new TextDecoder();
  #parts: Uint8Array[] = [];
  #bytes = 0;
  #cut = false;
  #tornOff = false;

  /** The lines that `chunk` completes. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
      this.#add(chunk.subarray(at, end));
      lines.push(this.#take());
      at = end + 1;
    }
    if (at < chunk.length) this.#add(chunk.slice(at));
    return lines;
  }

  /** The line that has no end yet, if any; unless `hold` says that it should wait for its rest. */
  flush(hold: (text: string) => boolean = () => false): string[] {
    return this.#bytes === 0 || hold(this.#decoded()) ? [] : [this.#take()];
  }

  /** What comes next is lost: ends the line that has no end yet, if any, and marks the edges. */
  tearOff(): string[] {
    this.#cut = this.#bytes > 0;
    const torn = this.flush();
    this.#tornOff = true;
    return torn;
  }

  #add(part: Uint8Array): void {
    const room = LIMITS.logLineBytes - this.#bytes;
    if (part.length > room) this.#cut = true;
    if (room <= 0 || part.length === 0) return;
    this.#parts.push(part.subarray(0, room));
    this.#bytes += Math.min(part.length, room);
  }

  #take(): string {
    const text = (this.#tornOff ? CUT_MARK : "") + logText(this.#decoded()) + (this.#cut ? CUT_MARK : "");
    this.#parts = [];
    this.#bytes = 0;
    this.#cut = false;
    this.#tornOff = false;
    return text;
  }

  #decoded(): string {
    const only = this.#parts.length === 1 ? this.#parts[0]! : joined(this.#parts, this.#bytes);
    return this.#text.decode(only);
  }
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Text that any store can keep: well-formed and without NUL, and no carriage return at its end. */
export function logText(text: string): string {
  const line = text.endsWith("\r") ? text.slice(0, -1) : text;
  return line.toWellFormed().replaceAll("\0", "\ufffd");
}

/** Text of a log frame, cut to the limit of one line. */
export function cutText(text: string): string {
  if (text.length <= LIMITS.logLineBytes) return logText(text);
  return logText(text.slice(0, LIMITS.logLineBytes)) + CUT_MARK;
}

/** An allowance of bytes: `burst` at once, `perSecond` in the long run. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  constructor({ burst, perSecond, now }: { burst: number; perSecond: number; now: number }) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes `bytes` from the allowance, or nothing when it does not hold as many. */
  take(bytes: number, now: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perSecond / 1_000);
    this.#at = now;
    if (bytes > this.#tokens) return false;
    this.#tokens -= bytes;
    return true;
  }
}
