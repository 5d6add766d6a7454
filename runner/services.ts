/**
 * What a guest may ask of the platform while it runs: checkpoints, artifacts, large values, and requests to the public api in the
 * name of its container. Every request is answered with `reply`; large bodies lie in files on their way, so that nothing else waits for
 * them and they can be sent again after the api was away.
 */
import { LIMITS } from "../sdk/protocol.ts";
import type { Clock } from "../sdk/ports.ts";
import {
  ApiAway,
  ApiRefused,
  type CallCheckpoint,
  type CheckpointOf,
  type LeaseOf,
  type NodeApi,
  persist,
} from "./api.ts";
import type { GuestFrame } from "./frames.ts";
import type { Link } from "./link.ts";
import { publishFile } from "./publish.ts";
import { SpoolFile } from "./spool.ts";
import { type PieceFrame, type Uploaded, Uploads } from "./uploads.ts";

export interface ServicesDeps {
  readonly api: NodeApi;
  readonly clock: Clock;
  readonly link: Link;
  readonly container: string;
  /** Folder for bodies on their way. */
  readonly spool: string;
}

/** Takes the body of one frame, piece by piece. */
export interface BodySink {
  piece(bytes: Uint8Array): void;
  end(): void;
}

export type FetchFrame = Extract<GuestFrame, { t: "fetch" }>;

/** Requests of one guest at a time; more are refused. */
const REQUESTS_MAX = 64;
/** Bytes of request bodies held in memory before the guest is not read any more. */
const HELD_BYTES_MAX = LIMITS.bodyBytes;
const CHUNK_BYTES = 64 * 1024;
/** Headers that functions may set; the rest is ours to say. */
const HEADERS = ["accept", "content-type", "idempotency-key", "last-event-id", "prefer", "range"];

const NOTHING: BodySink = { piece: () => {}, end: () => {} };

export class Services {
  readonly #deps: ServicesDeps;
  readonly #over = new AbortController();
  readonly #fetches = new Map<number, AbortController>();
  readonly #uploads = new Uploads({
    newFile: () => this.#newFile(),
    refuse: (n, message) => this.#refuse(n, message),
    whole: (n, upload) => void this.#answer(n, () => this.#publish(upload, n)),
  });
  #requests = 0;
  #files = 0;
  #heldBytes = 0;
  #roomWaiters: (() => void)[] = [];

  constructor(deps: ServicesDeps) {
    this.#deps = deps;
  }

  /** Resolves when there is room for bodies; null when there is. */
  room(): Promise<void> | null {
    return this.#heldBytes > HELD_BYTES_MAX
      ? new Promise((resolve) => this.#roomWaiters.push(resolve))
      : null;
  }

  /** Ends all that is under way. */
  close(): void {
    this.#over.abort();
    for (const fetch of this.#fetches.values()) fetch.abort();
    this.#uploads.close();
  }

  /** Takes the bytes of a checkpoint and stores them. */
  save(n: number, of: CallCheckpoint | null): BodySink {
    if (of === null) return this.#refuse(n, "Cannot save a checkpoint: the call has ended");
    return this.#spool(n, (path, size) => this.#storeCheckpoint(of, path, size));
  }

  load(n: number, of: CheckpointOf | null): void {
    if (of === null) this.#refuse(n, "Cannot load a checkpoint: the call has ended, or no name was given");
    else this.#deliver(n, (signal) => this.#deps.api.loadCheckpoint(of, signal));
  }

  /** Takes a value that is too large for a frame, and stores it. */
  saveValue(n: number): BodySink {
    return this.#spool(n, (path, size) => this.#storeValue(path, size));
  }

  loadValue(n: number, id: string): void {
    const { api, container } = this.#deps;
    this.#deliver(n, (signal) => api.loadValue(container, id, signal));
  }

  /** Takes a piece of an artifact; publishes it with the last one. */
  publish(frame: PieceFrame, by: LeaseOf | null): BodySink {
    return this.#uploads.piece(frame, by);
  }

  /** Takes the body of a request, if it has one, and makes the request. */
  fetch(frame: FetchFrame): BodySink {
    const path = publicPath(frame.path);
    if (path === null) {
      return this.#refuse(frame.n, `Cannot fetch "${frame.path}": the path must stay below /v1/`);
    }
    if (this.#requests >= REQUESTS_MAX) return this.#refuse(frame.n, TOO_MANY);
    const parts: Uint8Array<ArrayBuffer>[] = [];
    return {
      piece: (bytes) => {
        parts.push(bytes.slice());
        this.#heldBytes += bytes.length;
      },
      end: () => this.#answer(frame.n, () => this.#request(frame, path, parts)),
    };
  }

  abortFetch(n: number): void {
    this.#fetches.get(n)?.abort();
  }

  async #answer(n: number, act: () => Promise<void>): Promise<void> {
    this.#requests++;
    try {
      await act();
    } catch (error) {
      if (!this.#over.signal.aborted) this.#refuse(n, sentence(error));
    }
    this.#requests--;
  }

  /** Takes a body into a file, and answers with what `store` says of it. */
  #spool(n: number, store: (path: string, size: number) => Promise<Partial<Reply>>): BodySink {
    if (this.#requests >= REQUESTS_MAX) return this.#refuse(n, TOO_MANY);
    const file = new SpoolFile(this.#newFile());
    return {
      piece: (bytes) => file.write(bytes),
      end: () => {
        const failure = file.close();
        this.#answer(n, async () => {
          try {
            if (failure !== null) return void this.#refuse(n, `Cannot take the bytes: ${failure}`);
            this.#reply({ n, ok: true, ...await store(file.path, file.size) });
          } finally {
            await removeQuietly(file.path);
          }
        });
      },
    };
  }

  async #storeCheckpoint(of: CallCheckpoint, path: string, size: number): Promise<Partial<Reply>> {
    const { api } = this.#deps;
    const upload = await this.#surely((signal) => api.beginCheckpoint(of, size, signal));
    await this.#surely((signal) => api.upload(upload, path, signal));
    await this.#surely((signal) => api.commitCheckpoint(of, upload.upload, signal));
    return {};
  }

  async #storeValue(path: string, size: number): Promise<Partial<Reply>> {
    const { api, container } = this.#deps;
    const value = await this.#surely((signal) => api.createValue(container, size, signal));
    await this.#surely((signal) => api.upload(value, path, signal));
    return { id: value.id };
  }

  async #publish({ path, ...artifact }: Uploaded, n: number): Promise<void> {
    const { api, clock, link } = this.#deps;
    try {
      const made = await publishFile({ api, clock, signal: this.#over.signal }, artifact, path);
      const body = new TextEncoder().encode(made);
      link.sendWithBody(frame({ n, ok: true, bytes: body.length }), body);
    } finally {
      await removeQuietly(path);
    }
  }

  /** Repeats a step until the api answers. */
  #surely<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal } = this.#over;
    return persist(this.#deps.clock, signal, () => step(signal));
  }

  /** Fetches bytes into a file, and answers with them; null is answered without any. */
  #deliver(n: number, fetch: (signal: AbortSignal) => Promise<ReadableStream<Uint8Array> | null>): void {
    if (this.#requests >= REQUESTS_MAX) return void this.#refuse(n, TOO_MANY);
    const path = this.#newFile();
    this.#answer(n, () => this.#send(n, path, fetch).finally(() => removeQuietly(path)));
  }

  async #send(
    n: number,
    path: string,
    fetch: (signal: AbortSignal) => Promise<ReadableStream<Uint8Array> | null>,
  ): Promise<void> {
    const { link } = this.#deps;
    const found = await this.#surely(async (signal) => await written(await fetch(signal), path));
    if (!found) return this.#reply({ n, ok: true });
    const { size } = await Deno.stat(path);
    link.sendWithFile(frame({ n, ok: true, bytes: size }), path);
    await link.flushed();
  }

  async #request(
    { n, method, headers }: FetchFrame,
    path: string,
    parts: Uint8Array<ArrayBuffer>[],
  ): Promise<void> {
    const abort = new AbortController();
    this.#fetches.set(n, abort);
    try {
      const response = await this.#deps.api.actAs(this.#deps.container, path, {
        method,
        headers: allowed(headers),
        body: parts.length === 0 ? null : new Blob(parts),
        signal: abort.signal,
      });
      this.#reply({ n, ok: true, status: response.status });
      await this.#stream(n, response);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      this.#fetches.delete(n);
      this.#letGo(parts);
    }
  }

  /** Passes an answer on as it comes, no faster than the guest reads. */
  async #stream(n: number, response: Response): Promise<void> {
    const { link } = this.#deps;
    for await (const part of response.body ?? []) {
      for (let at = 0; at < part.length; at += CHUNK_BYTES) {
        const bytes = part.subarray(at, at + CHUNK_BYTES);
        link.sendWithBody(`${JSON.stringify({ t: "chunk", n, end: false, bytes: bytes.length })}\n`, bytes);
      }
      await link.flushed();
    }
    link.send(`${JSON.stringify({ t: "chunk", n, end: true })}\n`);
  }

  #refuse(n: number, message: string): BodySink {
    this.#reply({ n, ok: false, message });
    return NOTHING;
  }

  #reply(reply: Reply): void {
    this.#deps.link.send(frame(reply));
  }

  #newFile(): string {
    return `${this.#deps.spool}/body-${this.#files++}`;
  }

  #letGo(parts: readonly Uint8Array[]): void {
    for (const part of parts) this.#heldBytes -= part.length;
    if (this.#heldBytes <= HELD_BYTES_MAX) { for (const resume of this.#roomWaiters.splice(0)) resume(); }
  }
}

interface Reply {
  readonly n: number;
  readonly ok: boolean;
  readonly status?: number;
  readonly message?: string;
  readonly bytes?: number;
  readonly id?: string;
}

const TOO_MANY = `Cannot go on: more than ${REQUESTS_MAX} requests are under way`;

const frame = (reply: Reply): string => `${JSON.stringify({ t: "reply", ...reply })}\n`;

/** Writes a body to a file; false when there is none. */
async function written(body: ReadableStream<Uint8Array> | null, path: string): Promise<boolean> {
  if (body === null) return false;
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for await (const piece of unbroken(body)) {
    for (let at = 0; at < piece.length;) at += await file.write(piece.subarray(at));
  }
  return true;
}

/** A body that breaks off may be asked for again. */
async function* unbroken(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    throw new ApiAway("Cannot read the bytes: they broke off", { cause });
  }
}

/**
 * The path as every reader will see it, or null when that leads elsewhere: `/v1/../nodes` would use the node's credential for
 * what the container may not do.
 */
export function publicPath(path: string): string | null {
  if (!URL.canParse(path, ORIGIN)) return null;
  const { origin, pathname, search } = new URL(path, ORIGIN);
  return origin === ORIGIN && pathname.startsWith("/v1/") ? pathname + search : null;
}
const ORIGIN = "http://guest.invalid";

function allowed(headers: Readonly<Record<string, string>>): Record<string, string> {
  const named = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return Object.fromEntries(named.filter(([name]) => HEADERS.includes(name)));
}

function sentence(error: unknown): string {
  if (error instanceof ApiRefused) return error.message;
  return `Cannot ask the platform: ${error instanceof Error ? error.message : error}`;
}

const removeQuietly = (path: string): Promise<void> => Deno.remove(path).catch(() => {});
