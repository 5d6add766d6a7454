/** `ctx`: what the code of a function knows of its call, and what it can tell and keep. */
import type { PublishedArtifact } from "./protocol/artifacts.ts";
import type { Json } from "./protocol/primitives.ts";
import { type GivenSecrets, NO_SECRETS, secretFile, secretValue } from "./secret.ts";
import { NO_VOLUMES, volumePlace, type VolumePlaces } from "./volume.ts";

/** Fields beside the text of a log line. */
export type Fields = Readonly<Record<string, unknown>>;

/** Which checkpoint: with a name, the one that all functions of the app share; without, that of this call. */
export interface CheckpointOptions {
  readonly name?: string;
}

/** The bytes of a checkpoint. */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * What code outside a call knows: `@enter`, `@exit` and endpoints get it.
 *
 * @example
 * ```ts
 * import { App, type ContainerContext } from "berth";
 *
 * const app = new App("digits");
 * export const size = app.endpoint({}, async (_request: Request, ctx: ContainerContext) => {
 *   const weights = await ctx.checkpoint.load({ name: "weights" });
 *   return Response.json({ bytes: weights?.length ?? 0 });
 * });
 * ```
 */
export interface ContainerContext {
  readonly app: string;
  /** The function or class that this container runs. */
  readonly function: string;
  readonly container: string;
  /** This process among those that run each call together, from 0. */
  readonly rank: number;
  /** How many they are: the function's `nodes`. */
  readonly worldSize: number;
  /** Aborts when the work is no longer wanted: of an endpoint, when the client goes away. */
  readonly signal: AbortSignal;
  /** Writes one line to the log of the call, or of the container outside a call. */
  log(text: string | Fields, fields?: Fields): void;
  /** A value of the function's `secrets`, by its key; run locally, the variable of that name. */
  secret(key: string): string;
  /** The path of the file with that value, of a secret that comes as `files`. */
  secretFile(key: string): string;
  /**
   * The folder of the volume that the function mounts at this path: that path in a container, elsewhere a folder of the node; run
   * locally, what the variable `BERTH_VOLUME_DATA` says for `/data`.
   */
  volume(path: string): string;
  readonly checkpoint: {
    /** The last committed checkpoint of that name, or undefined when there is none yet. */
    load(options: { readonly name: string }): Promise<Bytes | undefined>;
  };
  /**
   * The bytes of an artifact of the workspace: of its newest version (`model`), of one (`model@3`), or of the one that an alias
   * points at now (`model@production`).
   */
  artifact(ref: string): Promise<Bytes>;
}

/**
 * What a handler knows of its call: the second argument of functions and `@method`s.
 *
 * @example
 * ```ts
 * import { App, type Context } from "berth";
 *
 * const app = new App("digits");
 * export const train = app.function({ retries: 2 }, async (input: { epochs: number }, ctx: Context) => {
 *   const last = await ctx.checkpoint.load();
 *   for (let epoch = last?.[0] ?? 0; epoch < input.epochs && !ctx.signal.aborted; epoch++) {
 *     ctx.report({ step: epoch, loss: 1 / (epoch + 1) });
 *     ctx.progress(epoch + 1, input.epochs);
 *     await ctx.checkpoint.save(new Uint8Array([epoch + 1]));
 *   }
 *   return { attempt: ctx.attempt };
 * });
 * ```
 */
export interface Context extends ContainerContext {
  readonly callId: string;
  /** Counts the attempts of this call, from 1. */
  readonly attempt: number;
  /**
   * Aborts when the call is cancelled, has run out of time or must give way (the name of its reason is then `AbortError`,
   * `TimeoutError` or `PreemptedError`); a grace time later, or when the notice is over, the process is killed.
   */
  readonly signal: AbortSignal;
  /**
   * Calls `handler` when the call must give way to more important work, which happens to functions that are `preemptible`: it may
   * save a checkpoint, from which the next attempt goes on, and throw or return before the time is over.
   */
  onPreempt(handler: PreemptHandler): void;
  /**
   * Where rank 0 listens and the others connect, when the function has `nodes`. It may be elsewhere at the next call. Programs
   * that the code starts find it, and their rank, in the environment: `MASTER_ADDR`, `MASTER_PORT`, `RANK`, `WORLD_SIZE`.
   */
  readonly gang: { readonly masterAddress: string; readonly masterPort: number } | undefined;
  /** Records numbers of this moment: a loss, a learning rate. */
  report(values: Readonly<Record<string, number>>): void;
  /** Says how far the call has come. */
  progress(done: number, total: number): void;
  readonly checkpoint: {
    /** Keeps these bytes; resolves once they are committed. Don't change them before that. */
    save(bytes: Uint8Array, options?: CheckpointOptions): Promise<void>;
    /**
     * The last committed checkpoint, or undefined when there is none: of this call, so that its next attempt resumes; or,
     * with a name, of any function of the app, so that the next scheduled run resumes.
     */
    load(options?: CheckpointOptions): Promise<Bytes | undefined>;
  };
  artifact(ref: string): Promise<Bytes>;
  /**
   * Publishes bytes, or the file of that path, which the function must be allowed to read, as the next version of an artifact;
   * resolves once it is committed. The version knows this call. Bytes that the newest version has already make no new one, so
   * that a repeated attempt may publish again. Don't change them before that.
   */
  artifact(name: string, content: Uint8Array | string): Promise<PublishedArtifact>;
}

/** That a call must give way to more important work. */
export interface PreemptNotice {
  /** Time left, in milliseconds, until the process is killed. */
  readonly deadlineMs: number;
}

/** What a call does about that. */
export type PreemptHandler = (notice: PreemptNotice) => void | Promise<void>;

/** Where what a context tells goes: the guest's channel, or memory when a handler runs locally. */
export interface Outlet {
  log(call: number, text: string): void;
  event(call: number, kind: "report" | "progress", data: Readonly<Record<string, Json>>): void;
  save(call: number, bytes: Uint8Array, name: string | undefined): Promise<void>;
  /** Without a call it is the container that asks. */
  load(call: number | undefined, name: string | undefined): Promise<Bytes | undefined>;
  /** @param content bytes, or the path of a file */
  publish(call: number, name: string, content: Uint8Array | string): Promise<PublishedArtifact>;
  artifact(ref: string): Promise<Bytes>;
}

/** What one container runs. */
export interface ContainerIdentity {
  readonly app: string;
  readonly function: string;
  readonly container: string;
  /** Its place among the containers that run each call together. */
  readonly gang?: { readonly rank: number; readonly size: number } | undefined;
  readonly secrets?: GivenSecrets | undefined;
  readonly volumes?: VolumePlaces | undefined;
}

/** One call as its container was given it. `number` is the host's name for it. */
export interface CallIdentity {
  readonly number: number;
  readonly id: string;
  readonly attempt: number;
  /** Where rank 0 of its gang listens. */
  readonly master?: { readonly address: string; readonly port: number } | undefined;
}

/** The context of one call. There are tens of thousands a second, so all that can wait is made on first use. */
export class CallContext implements Context {
  readonly #container: ContainerIdentity;
  readonly #call: CallIdentity;
  readonly #outlet: Outlet;
  #abort: AbortController | undefined;
  #checkpoint: Context["checkpoint"] | undefined;
  #preempted: PreemptNotice | undefined;
  #preemptHandlers: PreemptHandler[] | undefined;

  constructor(container: ContainerIdentity, call: CallIdentity, outlet: Outlet) {
    this.#container = container;
    this.#call = call;
    this.#outlet = outlet;
  }

  get app(): string {
    return this.#container.app;
  }
  get function(): string {
    return this.#container.function;
  }
  get container(): string {
    return this.#container.container;
  }
  get callId(): string {
    return this.#call.id;
  }
  get attempt(): number {
    return this.#call.attempt;
  }
  get rank(): number {
    return this.#container.gang?.rank ?? 0;
  }
  get worldSize(): number {
    return this.#container.gang?.size ?? 1;
  }
  get gang(): Context["gang"] {
    const { master } = this.#call;
    return master && { masterAddress: master.address, masterPort: master.port };
  }
  get signal(): AbortSignal {
    return (this.#abort ??= new AbortController()).signal;
  }

  /** Ends the call: aborts its signal. */
  abort(reason: DOMException): void {
    (this.#abort ??= new AbortController()).abort(reason);
  }

  onPreempt(handler: PreemptHandler): void {
    if (this.#preempted === undefined) (this.#preemptHandlers ??= []).push(handler);
    else this.#heed(handler, this.#preempted);
  }

  /** The call must give way: tells its handlers, and aborts its signal. */
  preempt(notice: PreemptNotice): void {
    if (this.#preempted !== undefined) return;
    this.#preempted = notice;
    for (const handler of this.#preemptHandlers ?? []) this.#heed(handler, notice);
    this.abort(new DOMException("The call gives way to more important work", "PreemptedError"));
  }

  async #heed(handler: PreemptHandler, notice: PreemptNotice): Promise<void> {
    try {
      await handler(notice);
    } catch (error) {
      this.log(`A handler of onPreempt failed: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  log(text: string | Fields, fields?: Fields): void {
    this.#outlet.log(this.#call.number, logLine(text, fields));
  }

  secret(key: string): string {
    return secretValue(this.#container.secrets ?? NO_SECRETS, key);
  }

  secretFile(key: string): string {
    return secretFile(this.#container.secrets ?? NO_SECRETS, key);
  }

  volume(path: string): string {
    return volumePlace(this.#container.volumes ?? NO_VOLUMES, path);
  }

  report(values: Readonly<Record<string, number>>): void {
    this.#outlet.event(this.#call.number, "report", { ...values });
  }

  progress(done: number, total: number): void {
    this.#outlet.event(this.#call.number, "progress", { done, total });
  }

  get checkpoint(): Context["checkpoint"] {
    const { number } = this.#call;
    const outlet = this.#outlet;
    return this.#checkpoint ??= {
      save: (bytes, { name } = {}) => outlet.save(number, checkBytes(bytes), name),
      load: ({ name } = {}) => outlet.load(number, name),
    };
  }

  artifact(ref: string): Promise<Bytes>;
  artifact(name: string, content: Uint8Array | string): Promise<PublishedArtifact>;
  artifact(ref: string, content?: Uint8Array | string): Promise<Bytes | PublishedArtifact> {
    if (content === undefined) return this.#outlet.artifact(ref);
    if (typeof content === "string" || content instanceof Uint8Array) {
      return this.#outlet.publish(this.#call.number, ref, content);
    }
    throw new TypeError(`Cannot publish artifact ${ref}: expected a Uint8Array or the path of a file`);
  }
}

/** The context of what runs outside a call. */
export function containerContext(
  { gang, secrets = NO_SECRETS, volumes = NO_VOLUMES, ...identity }: ContainerIdentity,
  { outlet, signal, write }: { outlet: Outlet; signal: AbortSignal; write: (line: string) => void },
): ContainerContext {
  return {
    ...identity,
    rank: gang?.rank ?? 0,
    worldSize: gang?.size ?? 1,
    signal,
    log: (text, fields) => write(logLine(text, fields)),
    secret: (key) => secretValue(secrets, key),
    secretFile: (key) => secretFile(secrets, key),
    volume: (path) => volumePlace(volumes, path),
    checkpoint: { load: ({ name }) => outlet.load(undefined, name) },
    artifact: (ref) => outlet.artifact(ref),
  };
}

/** One line of a log: the text, then the fields as JSON. */
export function logLine(text: string | Fields, fields?: Fields): string {
  if (typeof text !== "string") return JSON.stringify(text);
  return fields === undefined ? text : `${text} ${JSON.stringify(fields)}`;
}

function checkBytes(bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw new TypeError("Cannot save a checkpoint: expected a Uint8Array");
}
