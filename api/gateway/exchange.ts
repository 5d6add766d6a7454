/**
 * One request and its response on one connection. The request is sent while the response is awaited, since a handler may
 * answer before it has read everything, or instead.
 */
import type { BodyDecoder } from "./body.ts";
import { decoderOf } from "./body.ts";
import type { Connection } from "./connection.ts";
import { HeadReader, Http1Error, type ResponseHead } from "./http1.ts";
import { UpstreamError, type UpstreamFault } from "./upstream_error.ts";

export interface UpstreamRequest {
  readonly method: string;
  /** Request line and headers with the blank line, one byte a character. */
  readonly head: string;
  readonly body: RequestBody | null;
}

export interface RequestBody {
  readonly stream: ReadableStream<Uint8Array>;
  /** More than zero, as the head announces; null: chunked. */
  readonly bytes: number | null;
}

export interface UpstreamResponse {
  readonly status: number;
  readonly headers: ResponseHead["headers"];
  /** Bytes when all of it came with the head. */
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null;
}

/** Repeating these does no harm (RFC 9110 §9.2.2). */
const IDEMPOTENT = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

export class Exchange {
  /** Told once, when all is over: whether the connection may be used again. */
  onEnd: (reusable: boolean) => void = () => {};
  /** The head has been returned. */
  answered = false;

  readonly #connection: Connection;
  readonly #request: UpstreamRequest;
  readonly #signal: AbortSignal;
  readonly #until: number;
  readonly #left = () => this.fail("aborted");
  #body: ReadableStreamDefaultReader<Uint8Array> | null = null;
  /** Some of the request has left this process. */
  #begun = false;
  /** All of it has. */
  #sent = false;
  /** The container took no more of it. */
  #cut = false;
  #fault: UpstreamFault | null = null;
  #over = false;

  constructor({ connection, request, signal, until }: {
    connection: Connection;
    request: UpstreamRequest;
    signal: AbortSignal;
    until: number;
  }) {
    this.#connection = connection;
    this.#request = request;
    this.#signal = signal;
    this.#until = until;
    signal.addEventListener("abort", this.#left);
  }

  async run(): Promise<UpstreamResponse> {
    const sending = this.#send();
    try {
      const { head, rest } = await this.#readHead();
      return this.#answer(head, rest);
    } catch (cause) {
      const fault = this.#fault ?? (cause instanceof Http1Error ? "malformed" : "died");
      this.#end(false);
      if (this.#request.body === null) await sending; // it has failed too, or else it had begun
      throw new UpstreamError(fault, { repeatable: fault === "died" && this.#repeatable(), cause });
    }
  }

  /** Breaks off. */
  fail(fault: UpstreamFault): void {
    this.#fault ??= fault;
    this.#end(false);
  }

  /** Gives up when the response is overdue. */
  check(now: number): void {
    if (this.answered) return;
    if (this.#cut) this.fail("died");
    else if (now >= this.#until) this.fail("late");
  }

  /** A body that was begun is partly gone. */
  #repeatable(): boolean {
    return this.#request.body === null && (!this.#begun || IDEMPOTENT.has(this.#request.method));
  }

  #end(reusable: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#signal.removeEventListener("abort", this.#left);
    this.onEnd(reusable && this.#sent);
    if (!this.#sent) this.#body?.cancel().catch(() => {});
  }

  // ── request ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Never rejects: what goes wrong shows where the response is read. */
  async #send(): Promise<void> {
    const head = encodeLatin1(this.#request.head);
    const { body } = this.#request;
    try {
      if (body === null) await this.#write(head, true);
      else if (body.bytes === null) await this.#sendChunks(head, this.#open(body));
      else await this.#sendBytes(head, this.#open(body), body.bytes);
    } catch {
      // It was the client who broke off; the container would wait for the rest.
      if (!this.#cut) this.fail("aborted");
    }
  }

  #open({ stream }: RequestBody): ReadableStreamDefaultReader<Uint8Array> {
    return this.#body = stream.getReader();
  }

  /** The head waits for the first bytes, to leave with them: who announced a length sends without having seen a response. */
  async #sendBytes(
    head: Uint8Array,
    body: ReadableStreamDefaultReader<Uint8Array>,
    bytes: number,
  ): Promise<void> {
    let left = bytes;
    let before: Uint8Array | null = head;
    while (left > 0) {
      const { done, value } = await body.read();
      if (done) return this.fail("aborted");
      left -= value.length;
      await this.#write(before === null ? value : join(before, value), left === 0);
      before = null;
    }
  }

  async #sendChunks(head: Uint8Array, body: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    await this.#write(head, false);
    for (;;) {
      const { done, value } = await body.read();
      if (done) return await this.#write(LAST_CHUNK, true);
      if (value.length > 0) await this.#write(chunk(value), false); // a chunk of no bytes would be the last one
    }
  }

  async #write(bytes: Uint8Array, last: boolean): Promise<void> {
    try {
      await this.#connection.write(bytes);
    } catch (error) {
      // It may have answered before it went; what it has not begun to read it can't have answered.
      this.#cut = true;
      if (!this.#begun) this.fail("died");
      throw error;
    }
    this.#begun = true;
    this.#sent = last;
  }

  // ── response ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #readHead(): Promise<{ head: ResponseHead; rest: Uint8Array<ArrayBuffer> }> {
    const reader = new HeadReader(this.#request.method);
    for (;;) {
      const bytes = await this.#connection.read();
      if (bytes === null) {
        if (reader.untouched) throw new Error("The connection ended before the response");
        throw new Http1Error("Cannot read response: the connection ended within its head");
      }
      const found = reader.push(bytes);
      if (found !== null) return found;
    }
  }

  #answer(head: ResponseHead, rest: Uint8Array<ArrayBuffer>): UpstreamResponse {
    const { status, headers, keepAlive, framing } = head;
    const decoder = decoderOf(framing);
    const first = this.#connection.own(decoder.push(rest));
    this.answered = true;
    if (!decoder.done) return { status, headers, body: this.#stream(decoder, first, keepAlive) };
    this.#end(keepAlive && !decoder.excess);
    return { status, headers, body: framing.kind === "none" ? null : first };
  }

  /** Reads only when asked for more: a slow client slows its container, and nothing piles up here. */
  #stream(decoder: BodyDecoder, first: Uint8Array<ArrayBuffer>, keepAlive: boolean) {
    let data = first;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        try {
          while (data.length === 0 && !decoder.done) data = await this.#readBody(decoder);
        } catch (error) {
          this.#end(false);
          throw error;
        }
        if (data.length > 0) controller.enqueue(data);
        data = EMPTY;
        if (!decoder.done) return;
        this.#end(keepAlive && !decoder.excess);
        controller.close();
      },
      cancel: () => this.fail("aborted"),
    }, { highWaterMark: 0 });
  }

  async #readBody(decoder: BodyDecoder): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#connection.read();
    if (bytes !== null) return this.#connection.own(decoder.push(bytes));
    decoder.end();
    return EMPTY;
  }
}

const EMPTY = new Uint8Array(0);
const LAST_CHUNK = new TextEncoder().encode("0\r\n\r\n");

/** One character, one byte: UTF-8 is the same for ASCII, and quicker. */
function encodeLatin1(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(text);
  return bytes.length === text.length ? bytes : Uint8Array.from(text, (character) => character.charCodeAt(0));
}

const chunk = (data: Uint8Array): Uint8Array =>
  join(new TextEncoder().encode(`${data.length.toString(16)}\r\n`), data, CRLF);

const CRLF = new TextEncoder().encode("\r\n");

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
