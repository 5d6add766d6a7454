/** What a guest asks of its host and awaits: checkpoints, artifacts, and requests to the platform's API. */
import type { Bytes, Outlet } from "../../sdk/context.ts";
import { download } from "../../sdk/download.ts";
import { realClock, realRandom } from "../../sdk/ports.ts";
import type { PublishedArtifact } from "../../sdk/protocol/artifacts.ts";
import { LIMITS } from "../../sdk/protocol/limits.ts";
import type { Json } from "../../sdk/protocol/primitives.ts";
import { ask, type Transport, type ValueStore, type WireRequest } from "../../sdk/transport.ts";
import type { ChunkFrame, ReplyFrame } from "../frames.ts";
import type { Channel } from "./channel.ts";
import { piecesOf } from "./pieces.ts";

/** Who waits for the reply of that number. */
interface Waiting {
  readonly reply: (frame: ReplyFrame, body: Bytes | undefined) => void;
  readonly chunk?: (frame: ChunkFrame, body: Bytes | undefined) => void;
  /** The host is back, and does not know of the request. */
  readonly again: () => void;
}

interface Answer {
  readonly frame: ReplyFrame;
  readonly body: Bytes | undefined;
}

/** The host came back, and does not know of the request. */
class Forgotten extends Error {}

/** How long an artifact is asked for while the platform cannot be reached. */
const PATIENCE_MS = 60_000;
/** Statuses whose answers have no body. */
const EMPTY = [101, 204, 205, 304];

export class Platform implements Outlet, Transport, ValueStore {
  readonly target = "this container's host";
  readonly values = this;
  readonly #channel: Channel;
  /** What a call says after its end is dropped: the host no longer knows it. */
  readonly #runs: (call: number) => boolean;
  readonly #waiting = new Map<number, Waiting>();
  #last = 0;

  constructor(channel: Channel, runs: (call: number) => boolean) {
    this.#channel = channel;
    this.#runs = runs;
  }

  log(call: number, text: string): void {
    if (this.#runs(call)) this.#channel.send({ t: "log", c: call, text: text.slice(0, LIMITS.logLineBytes) });
  }

  event(call: number, kind: "report" | "progress", data: Readonly<Record<string, Json>>): void {
    if (this.#runs(call)) this.#channel.send({ t: "event", c: call, kind, data });
  }

  async save(call: number, bytes: Uint8Array, name: string | undefined): Promise<void> {
    if (!this.#runs(call)) throw new Error("Cannot save a checkpoint: the call has ended");
    if (bytes.length > LIMITS.checkpointBytes) {
      throw new RangeError(
        `Cannot save a checkpoint of ${bytes.length} bytes: the limit is ${LIMITS.checkpointBytes}`,
      );
    }
    const named = name === undefined ? {} : { name };
    const frame = (n: number) =>
      ({ t: "checkpoint-save", n, c: call, bytes: bytes.length, ...named }) as const;
    await this.#ask("save the checkpoint", (n) => this.#channel.send(frame(n), bytes));
  }

  load(call: number | undefined, name: string | undefined): Promise<Bytes | undefined> {
    const of = { ...call === undefined ? {} : { c: call }, ...name === undefined ? {} : { name } };
    const send = (n: number) => this.#channel.send({ t: "checkpoint-load", n, ...of });
    return this.#ask("load the checkpoint", send).then(({ body }) => body);
  }

  async saveValue(bytes: Bytes): Promise<string> {
    const send = (n: number) => this.#channel.send({ t: "value-save", n, bytes: bytes.length }, bytes);
    return (await this.#ask("send a large value", send)).frame.id!;
  }

  async loadValue(id: string): Promise<Bytes> {
    const send = (n: number) => this.#channel.send({ t: "value-load", n, id });
    return (await this.#ask("read a large value", send)).body!;
  }

  /** Sends the content in pieces, no faster than the host takes them; an empty one ends it. */
  async publish(call: number, name: string, content: Uint8Array | string): Promise<PublishedArtifact> {
    if (!this.#runs(call)) throw new Error(`Cannot publish artifact ${name}: the call has ended`);
    for (;;) {
      const n = ++this.#last;
      const reply = this.#reply(n, `publish artifact ${name}`);
      await this.#sendPieces({ n, c: call, name }, content, reply);
      try {
        return JSON.parse(new TextDecoder().decode((await reply).body));
      } catch (error) {
        if (!(error instanceof Forgotten)) throw error;
      }
    }
  }

  /** Stops once there is an answer, or nobody to give one. */
  async #sendPieces(
    head: { readonly n: number; readonly c: number; readonly name: string },
    content: Uint8Array | string,
    reply: Promise<unknown>,
  ): Promise<void> {
    let answered = false, at = 0;
    reply.catch(() => answered = true);
    for await (const piece of piecesOf(content)) {
      if (answered || this.#channel.away) return;
      this.#channel.send({ t: "artifact-save", ...head, at, bytes: piece.length }, piece);
      at += piece.length;
      await this.#channel.drained();
    }
    this.#channel.send({ t: "artifact-save", ...head, at, bytes: 0 });
  }

  /** The version that the reference means now, whole and with its digest, however often the platform goes away meanwhile. */
  async artifact(ref: string): Promise<Bytes> {
    const wire = { transport: this, clock: realClock, random: realRandom, patienceMs: PATIENCE_MS };
    const pathOf = (ref: string) => `/v1/artifacts/${encodeURIComponent(ref)}`;
    const found = await ask<PublishedArtifact>(wire, { method: "GET", path: pathOf(ref) });
    const { name, version, size, digest } = found;
    const bytes = new Uint8Array(size);
    let at = 0;
    const take = (piece: Bytes) => {
      bytes.set(piece, at);
      at += piece.length;
    };
    await download(wire, { path: `${pathOf(`${name}@${version}`)}/content`, size, take });
    const actual = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
    if (actual === digest) return bytes;
    throw new Error(`Cannot load artifact ${ref}: the SHA-256 of what came is ${actual}, not ${digest}`);
  }

  fetch({ method, path, headers = {}, body, signal }: WireRequest): Promise<Response> {
    if (method === "PUT") {
      throw new TypeError("Cannot send this from inside a function: PUT is not for functions");
    }
    const n = ++this.#last;
    const answer = this.#answer(n, signal ?? undefined);
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    this.#channel.send(
      { t: "fetch", n, method, path, headers, ...(bytes !== undefined && { bytes: bytes.length }) },
      bytes,
    );
    return answer;
  }

  /** Hands a reply, or a piece of one, to whom it is for. */
  receive(frame: ReplyFrame | ChunkFrame, body: Bytes | undefined): void {
    const waiting = this.#waiting.get(frame.n);
    if (frame.t === "reply") waiting?.reply(frame, body);
    else waiting?.chunk?.(frame, body);
  }

  /** The host is back: what it was asked and has not answered it is asked again. */
  resume(): void {
    for (const waiting of [...this.#waiting.values()]) waiting.again();
  }

  /** Asks until it is answered, however often the host goes away meanwhile. */
  #ask(deed: string, send: (n: number) => void): Promise<Answer> {
    const n = ++this.#last;
    const reply = this.#reply(n, deed, () => send(n));
    send(n);
    return reply;
  }

  /** @param again instead of giving up, when the host has forgotten the request */
  #reply(n: number, deed: string, again?: () => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const forgotten = () => {
        this.#waiting.delete(n);
        reject(new Forgotten(`Cannot ${deed}: the host went away`));
      };
      this.#waiting.set(n, {
        again: again ?? forgotten,
        reply: (frame, body) => {
          this.#waiting.delete(n);
          if (frame.ok) resolve({ frame, body });
          else reject(new Error(`Cannot ${deed}: ${frame.message ?? "the host refused"}`));
        },
      });
    });
  }

  #answer(n: number, signal: AbortSignal | undefined): Promise<Response> {
    return new Promise((resolve, reject) => {
      let body: ReadableStreamDefaultController<Uint8Array> | undefined;
      const end = () => {
        signal?.removeEventListener("abort", abort);
        return this.#waiting.delete(n);
      };
      const abort = () => {
        if (end()) this.#channel.send({ t: "fetch-abort", n });
        reject(signal?.reason);
        body?.error(signal?.reason);
      };
      signal?.addEventListener("abort", abort);
      const cancel = () => {
        if (end()) this.#channel.send({ t: "fetch-abort", n });
      };
      const breakOff = (message: string) => {
        end();
        const error = new Error(message);
        body?.error(error); // between its chunks
        reject(error);
      };
      this.#waiting.set(n, {
        again: () => breakOff("the host went away"),
        reply: ({ ok, status = 200, message }) => {
          if (!ok) return breakOff(message ?? "the host could not pass the request on");
          const stream = new ReadableStream<Uint8Array>({
            start: (controller) => void (body = controller),
            cancel,
          });
          resolve(new Response(EMPTY.includes(status) ? null : stream, { status }));
        },
        chunk: ({ end: last }, bytes) => {
          if (bytes !== undefined && bytes.length > 0) body?.enqueue(bytes);
          if (last && end()) body?.close();
        },
      });
    });
  }
}
