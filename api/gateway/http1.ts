/**
 * The receiving half of an HTTP/1.1 client: response heads, and how long their bodies are. Strict, because a lenient reader of
 * hostile bytes is how one response is smuggled into another. Pure: bytes in, values out.
 */

import { LIMITS } from "../../sdk/protocol.ts";

/** The peer broke HTTP: nothing more can be read from this connection. */
export class Http1Error extends Error {
  override readonly name = "Http1Error";
}

export interface ResponseHead {
  readonly status: number;
  /** In the order received; names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The connection may serve another request after this one. */
  readonly keepAlive: boolean;
  readonly framing: Framing;
}

/** Where the body ends: there is none, after so many bytes, with the last chunk, or with the connection. */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "close" };

/** Longest head that is read, and how many interim (1xx) ones may go before it. */
const HEAD_BYTES_MAX = LIMITS.headerBytes;
const INTERIM_MAX = 8;

/** Finds the final head of the answer to a `method` request in bytes as they arrive; interim heads are skipped. */
export class HeadReader {
  readonly #method: string;
  /** What came and is not understood yet; there may be room behind it. */
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  #length = 0;
  /** Up to where no end was found. */
  #looked = 0;
  #interim = 0;

  constructor(method: string) {
    this.#method = method;
  }

  /** Nothing has come yet. */
  get untouched(): boolean {
    return this.#length === 0 && this.#interim === 0;
  }

  /** The head and the bytes behind it, or null while more are needed; then the memory of `bytes` is the caller's again. */
  push(bytes: Uint8Array<ArrayBuffer>): { head: ResponseHead; rest: Uint8Array<ArrayBuffer> } | null {
    this.#append(bytes);
    for (;;) {
      const end = headEnd(this.#bytes, this.#length, this.#looked);
      if ((end === -1 ? this.#length : end) > HEAD_BYTES_MAX) {
        throw new Http1Error(`Cannot read response: its head is longer than ${HEAD_BYTES_MAX} bytes`);
      }
      if (end === -1) return this.#wait(bytes);
      const head = parseHead(this.#bytes.subarray(0, end), this.#method);
      const rest = this.#bytes.subarray(end, this.#length);
      if (head.status >= 200) return { head, rest };
      this.#skip(head, rest);
    }
  }

  #append(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#length === 0) {
      this.#bytes = bytes; // nearly always the whole head: no copy
    } else {
      const length = this.#length + bytes.length;
      if (length > this.#bytes.length) {
        const roomier = new Uint8Array(length * 2); // doubled, so that a head in many pieces is not copied for each
        roomier.set(this.#bytes.subarray(0, this.#length));
        this.#bytes = roomier;
      }
      this.#bytes.set(bytes, this.#length);
    }
    this.#length += bytes.length;
  }

  #wait(bytes: Uint8Array<ArrayBuffer>): null {
    if (this.#bytes.buffer === bytes.buffer) this.#bytes = this.#bytes.slice(0, this.#length);
    this.#looked = this.#length;
    return null;
  }

  #skip({ status }: ResponseHead, rest: Uint8Array<ArrayBuffer>): void {
    if (status === 101) {
      throw new Http1Error("Cannot read response: it switches protocols, which nobody asked for");
    }
    if (++this.#interim > INTERIM_MAX) throw new Http1Error("Cannot read response: too many interim heads");
    this.#bytes = rest;
    this.#length = rest.length;
    this.#looked = 0;
  }
}

const CR = 13;
const LF = 10;

/**
 * Index after the blank line that ends a head in `bytes[0, length)`, or -1 when it has not come. `from` is how far earlier
 * calls looked, so that a head that arrives byte by byte is not scanned over and over.
 */
function headEnd(bytes: Uint8Array, length: number, from = 0): number {
  for (let i = Math.max(3, from); i < length; i++) {
    if (bytes[i] === LF && bytes[i - 1] === CR && bytes[i - 2] === LF && bytes[i - 3] === CR) return i + 1;
  }
  return -1;
}

/** Reads a whole head, its blank line included, of the answer to a `method` request. */
function parseHead(bytes: Uint8Array, method: string): ResponseHead {
  const lines = latin1(bytes).split("\r\n");
  const { status, minor } = parseStatusLine(lines[0]!);
  const headers: [string, string][] = [];
  for (let i = 1; i < lines.length - 2; i++) headers.push(parseField(lines[i]!));
  return {
    status,
    headers,
    keepAlive: keepsAlive(headers, minor),
    framing: framingOf(headers, { status, method, minor }),
  };
}

function parseStatusLine(line: string): { status: number; minor: number } {
  const match = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(line);
  if (match === null) throw new Http1Error(`Cannot read response: bad status line ${quote(line)}`);
  return { minor: Number(match[1]), status: Number(match[2]) };
}

/** A name is a token directly before its colon; a value has no control characters but tabs. So no folded lines either. */
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)$/;

function parseField(line: string): [string, string] {
  const match = FIELD.exec(line);
  if (match === null) throw new Http1Error(`Cannot read response: bad header line ${quote(line)}`);
  return [match[1]!.toLowerCase(), trim(match[2]!)];
}

/** By hand: `/[ \t]+$/` takes quadratic time on a long run of blanks that isn't at the end, and `trim()` takes 0xA0 too. */
function trim(text: string): string {
  const blank = (i: number) => text[i] === " " || text[i] === "\t";
  let start = 0;
  let end = text.length;
  while (start < end && blank(start)) start++;
  while (end > start && blank(end - 1)) end--;
  return text.slice(start, end);
}

/** RFC 9112 §6.3, but what it only advises against (two lengths, length beside chunked) is refused here. */
function framingOf(
  headers: ResponseHead["headers"],
  { status, method, minor }: { status: number; method: string; minor: number },
): Framing {
  const lengths = valuesOf(headers, "content-length");
  const codings = valuesOf(headers, "transfer-encoding");
  if (lengths.length + codings.length > 1) {
    throw new Http1Error("Cannot read response: its length is given twice");
  }
  const bytes = lengths.length === 0 ? null : parseLength(lengths[0]!);
  if (codings.length > 0 && (codings[0]!.toLowerCase() !== "chunked" || minor === 0)) {
    throw new Http1Error(`Cannot read response: transfer coding ${quote(codings[0]!)} is not plain chunked`);
  }
  if (method === "HEAD" || status < 200 || BODILESS.has(status)) return { kind: "none" };
  if (bytes !== null) return bytes === 0 ? { kind: "none" } : { kind: "length", bytes };
  return { kind: codings.length > 0 ? "chunked" : "close" };
}

const BODILESS = new Set([204, 205, 304]);

function parseLength(text: string): number {
  if (!/^\d{1,15}$/.test(text)) {
    throw new Http1Error(`Cannot read response: bad content-length ${quote(text)}`);
  }
  return Number(text);
}

/** HTTP/1.1 connections live on unless told otherwise, HTTP/1.0 ones end. */
function keepsAlive(headers: ResponseHead["headers"], minor: number): boolean {
  const tokens = valuesOf(headers, "connection").flatMap((value) => value.toLowerCase().split(","))
    .map((token) => token.trim());
  return !tokens.includes("close") && (minor === 1 || tokens.includes("keep-alive"));
}

const valuesOf = (headers: ResponseHead["headers"], name: string): string[] =>
  headers.filter(([key]) => key === name).map(([, value]) => value);

/** One byte, one character. (`TextDecoder("latin1")` is Windows-1252 and would make characters that no header may hold.) */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8_192) text += String.fromCharCode(...bytes.subarray(i, i + 8_192));
  return text;
}

const quote = (text: string): string => JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
