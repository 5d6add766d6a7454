/**
 * The runner's side of its verbs: join, sync, exchange, and the plain routes beside them. Tells apart an api that is away (try
 * again: it may be restarted at any time) from one that refuses (do something else).
 */
import type { z } from "zod";
import type { ApiAddress } from "./address.ts";
import {
  ArtifactUpload,
  type BeginCallArtifact,
  type BeginCheckpoint,
  type BuildReport,
  CheckpointUpload,
  type CommitCheckpoint,
  CreatedValue,
  type DeliveredSecret,
  DeliveredSecrets,
  type ExchangeReply,
  type ExchangeRequest,
  JoinedNode,
  type JoinNode,
  type PublishCallArtifact,
  RegistryCredential,
  RUNNER_PATHS,
  SyncReply,
  type SyncRequest,
} from "../sdk/protocol.ts";
import type { Clock, Fetch } from "../sdk/ports.ts";
import { type FilePart, uploadFile } from "./upload.ts";

/** The api cannot be reached, or is not well. */
export class ApiAway extends Error {
  override readonly name = "ApiAway";
}
/** The api understood, and says no. */
export class ApiRefused extends Error {
  override readonly name = "ApiRefused";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 1_000;
/** A request that parks is given up this long after it should have been answered. */
const SLACK_MS = 20_000;
const SYNC_PARK_MS = 10_000;
/** A store may take its time to put the parts of a large upload together. */
const ASSEMBLE_MS = 300_000;

export interface ApiDeps {
  readonly address: ApiAddress;
  readonly fetch: Fetch;
  readonly clock: Clock;
}

/** Before joining: only `join`. */
export class RunnerApi {
  readonly #deps: ApiDeps;

  constructor(deps: ApiDeps) {
    this.#deps = deps;
  }

  async join(request: JoinNode, signal: AbortSignal): Promise<NodeApi> {
    const text = await postJson(this.#deps, RUNNER_PATHS.join, {}, request, signal, SLACK_MS);
    return new NodeApi(this.#deps, JoinedNode.parse(JSON.parse(text)));
  }
}

/** A reply and how large it was. */
export interface Exchanged {
  readonly reply: ExchangeReply;
  readonly characters: number;
}

/** Acting for one joined node. */
export class NodeApi {
  readonly node: JoinedNode;
  readonly #deps: ApiDeps;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(deps: ApiDeps, node: JoinedNode) {
    this.#deps = deps;
    this.node = node;
    this.#headers = { authorization: `Bearer ${node.credential}` };
  }

  async sync(request: SyncRequest, signal: AbortSignal): Promise<SyncReply> {
    return SyncReply.parse(
      JSON.parse(await this.#ask(RUNNER_PATHS.sync, request, signal, SYNC_PARK_MS + SLACK_MS)),
    );
  }

  /** The reply is the api's own and comes thousands of calls at a time: it is trusted, not checked. */
  async exchange(request: ExchangeRequest, signal: AbortSignal): Promise<Exchanged> {
    const text = await this.#ask(RUNNER_PATHS.exchange, request, signal, request.waitMs + SLACK_MS);
    return { reply: JSON.parse(text) as ExchangeReply, characters: text.length };
  }

  async bundle(digest: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    return await readBytes(
      await this.#read(this.#path(RUNNER_PATHS.bundle).replace(":digest", digest), signal),
    );
  }

  /** What the secrets hold that a live container of this node is given. */
  async secrets(container: string, signal: AbortSignal): Promise<DeliveredSecret[]> {
    const path = this.#path(RUNNER_PATHS.secrets).replace(":container", container);
    const bytes = await readBytes(await this.#read(path, signal));
    return DeliveredSecrets.parse(JSON.parse(new TextDecoder().decode(bytes))).secrets;
  }

  /** Of the registry that the image of a live container of this node lies in. */
  async registryCredential(container: string, signal: AbortSignal): Promise<RegistryCredential> {
    return await this.#credential(RUNNER_PATHS.registryCredential.replace(":container", container), signal);
  }

  /** A tar of what a build copies. */
  async buildFiles(digest: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
    return (await this.#read(this.#path(RUNNER_PATHS.bundle).replace(":digest", digest), signal)).body;
  }

  /** Of the registry that the base of an image lies in, which this node builds. */
  async buildCredential(image: string, signal: AbortSignal): Promise<RegistryCredential> {
    return await this.#credential(RUNNER_PATHS.buildCredential.replace(":image", image), signal);
  }

  async #credential(path: string, signal: AbortSignal): Promise<RegistryCredential> {
    const bytes = await readBytes(await this.#read(this.#path(path), signal));
    return RegistryCredential.parse(JSON.parse(new TextDecoder().decode(bytes)));
  }

  /** Says what a build printed, and how it ended. */
  async reportBuild(image: string, report: z.input<typeof BuildReport>, signal: AbortSignal): Promise<void> {
    await this.#ask(RUNNER_PATHS.build.replace(":image", image), report, signal, SLACK_MS);
  }

  /** Learns where to upload a checkpoint of a running call to. */
  async beginCheckpoint(of: CallCheckpoint, size: number, signal: AbortSignal): Promise<CheckpointUpload> {
    const request: BeginCheckpoint = { ...savedBy(of), size };
    const text = await this.#ask(RUNNER_PATHS.uploads, request, signal, SLACK_MS);
    return CheckpointUpload.parse(JSON.parse(text));
  }

  /** Uploads a file, or a part of one; answers its etag. Done is also what an earlier try has done, of which nothing was heard. */
  async upload({ url, headers }: Signed, file: string | FilePart, signal: AbortSignal): Promise<string> {
    const { origin, socket } = this.#deps.address;
    const to = isOwn(url) ? { url: origin + url, socket } : { url };
    const part = typeof file === "string" ? { path: file } : file;
    const { status, text, etag } = await uploadFile({ ...to, ...part, headers, signal }).catch((cause) => {
      throw new ApiAway("Cannot upload: the connection broke off", { cause });
    });
    if (status !== ALREADY_THERE) await accepted(new Response(text, { status }), "the store of blobs");
    return etag;
  }

  /** Makes an uploaded checkpoint the one to go on from. */
  async commitCheckpoint(of: CallCheckpoint, upload: string, signal: AbortSignal): Promise<void> {
    const request: CommitCheckpoint = { ...savedBy(of), upload };
    await this.#ask(RUNNER_PATHS.checkpoints, request, signal, SLACK_MS);
  }

  /** The last committed checkpoint, or null when there is none. */
  async loadCheckpoint(of: CheckpointOf, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
    const response = await this.#read(this.#checkpoint(of), signal);
    if (response.status !== 204) return response.body;
    await response.body?.cancel();
    return null;
  }

  /** Learns where to upload a value to that is too large for a function in `container` to send. */
  async createValue(container: string, size: number, signal: AbortSignal): Promise<CreatedValue> {
    const headers = { "content-type": "application/json" };
    const request = { method: "POST", headers, body: JSON.stringify({ size }), signal };
    const response = await accepted(await this.actAs(container, "/v1/values", request));
    return CreatedValue.parse(JSON.parse(new TextDecoder().decode(await readBytes(response))));
  }

  async loadValue(
    container: string,
    id: string,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array> | null> {
    return (await this.#read(`${this.#actAs(container)}/v1/values/${id}`, signal)).body;
  }

  /** Learns where to upload an artifact of a running call to, unless its bytes are there. */
  async beginArtifact({ by, digest, size }: ArtifactOf, signal: AbortSignal): Promise<ArtifactUpload> {
    const request: BeginCallArtifact = { ...by, digest, size };
    return ArtifactUpload.parse(
      JSON.parse(await this.#ask(RUNNER_PATHS.artifactUploads, request, signal, SLACK_MS)),
    );
  }

  /** Publishes an uploaded artifact; answers what was published, as JSON. */
  publishArtifact(
    { by, ...artifact }: ArtifactOf,
    uploaded: Pick<PublishCallArtifact, "upload" | "etags">,
    signal: AbortSignal,
  ): Promise<string> {
    const request = { ...by, ...artifact, ...uploaded };
    return this.#ask(RUNNER_PATHS.artifacts, request, signal, ASSEMBLE_MS);
  }

  /** A request to the public routes, made by a function in `container`; any status is an answer, or that of where it leads. */
  async actAs(container: string, path: string, init: RequestInit): Promise<Response> {
    const asked = init.headers as Record<string, string>;
    const headers = { ...asked, ...this.#headers };
    const at = this.#actAs(container) + path;
    const response = await send(this.#deps, at, { ...init, headers, redirect: "manual" });
    return await this.#follow(response, { signal: init.signal ?? null, headers: rangeOf(asked) });
  }

  #actAs(container: string): string {
    return this.#path(RUNNER_PATHS.actAs).replace(":container", container);
  }

  /** A connection to the client of a command that is to run here. It may fail to open. */
  connectExec(exec: string): WebSocket {
    const { origin, client } = this.#deps.address;
    const path = this.#path(RUNNER_PATHS.exec).replace(":exec", encodeURIComponent(exec));
    const url = origin.replace(/^http/, "ws") + path;
    return new WebSocket(url, { headers: { ...this.#headers }, ...(client === undefined ? {} : { client }) });
  }

  #ask(path: string, body: unknown, signal: AbortSignal, timeoutMs: number): Promise<string> {
    return postJson(this.#deps, this.#path(path), this.#headers, body, signal, timeoutMs);
  }

  /** An answer, or what lies where it leads to. */
  async #read(path: string, signal: AbortSignal): Promise<Response> {
    const response = await send(this.#deps, path, { signal, headers: this.#headers, redirect: "manual" });
    const from = response.status === REDIRECT ? "the store of blobs" : "the api";
    return await accepted(await this.#follow(response, { signal }), from);
  }

  /** What lies where an answer leads to, if it does: the credential is not shown there. */
  async #follow(response: Response, init: RequestInit): Promise<Response> {
    const url = response.status === REDIRECT ? response.headers.get("location") : null;
    if (url === null) return response;
    await response.body?.cancel();
    if (isOwn(url)) return await send(this.#deps, url, init);
    return await this.#deps.fetch(url, init).catch((cause) => {
      throw new ApiAway("Cannot reach the store of blobs", { cause });
    });
  }

  #path(path: string): string {
    return path.replace(":node", encodeURIComponent(this.node.id));
  }

  #checkpoint({ by, name }: CheckpointOf): string {
    const query = new URLSearchParams(
      "container" in by ? { ...by } : { lease: `${by.lease}`, index: `${by.index}` },
    );
    if (name !== undefined) query.set("name", name);
    return `${this.#path(RUNNER_PATHS.checkpoints)}?${query}`;
  }
}

/** A call, under its lease. */
export interface LeaseOf {
  readonly lease: number;
  readonly index: number;
}

/** Of a call, which asks under its lease: its own checkpoint, or one shared by name. */
export interface CallCheckpoint {
  readonly by: LeaseOf;
  readonly name?: string | undefined;
}
/** The same, or one shared by name that a container asks for. */
export type CheckpointOf = CallCheckpoint | {
  readonly by: { readonly container: string };
  readonly name: string;
};

const savedBy = ({ by, name = null }: { by: CallCheckpoint["by"]; name?: string | null | undefined }) => ({
  ...by,
  name,
});

/** A request that was signed for us. */
export type Signed = Pick<CheckpointUpload, "url" | "headers">;

/** A blob is created once: who finds it there has created it before. */
const ALREADY_THERE = 412;

/** Whether a URL is a path on the api. */
const isOwn = (url: string): boolean => url.startsWith("/");

/** An artifact to be published: by which call, under which name, and which bytes. */
export interface ArtifactOf {
  readonly by: LeaseOf;
  readonly name: string;
  readonly digest: string;
  readonly size: number;
}

const REDIRECT = 307;

const rangeOf = ({ range }: Readonly<Record<string, string>>): Record<string, string> =>
  range === undefined ? {} : { range };

async function postJson(
  deps: ApiDeps,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: unknown,
  signal: AbortSignal,
  timeoutMs: number,
): Promise<string> {
  const limit = new AbortController();
  const answered = new AbortController();
  const abort = () => limit.abort();
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  deps.clock.sleep(timeoutMs, answered.signal).then(abort);
  try {
    const init = {
      method: "POST",
      headers: { ...headers, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: limit.signal,
    };
    return new TextDecoder().decode(await readBytes(await accepted(await send(deps, path, init))));
  } finally {
    signal.removeEventListener("abort", abort);
    answered.abort();
  }
}

async function send(deps: ApiDeps, path: string, init: RequestInit): Promise<Response> {
  const { origin, client } = deps.address;
  try {
    return await deps.fetch(origin + path, client === undefined ? init : { ...init, client });
  } catch (cause) {
    throw new ApiAway("Cannot reach the api", { cause });
  }
}

async function readBytes(response: Response): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw new ApiAway("Cannot read the api's answer: it broke off", { cause });
  }
}

/** Answers of 2xx; the others are thrown as what they mean. @param who answers */
async function accepted(response: Response, who = "the api"): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text().catch(() => "");
  const message = messageOf(text) ?? `${who} answered ${response.status} ${text.slice(0, 200)}`.trim();
  if (response.status >= 500 || response.status === 429) throw new ApiAway(message);
  throw new ApiRefused(response.status, message);
}

function messageOf(body: string): string | undefined {
  try {
    return JSON.parse(body).error.message;
  } catch {
    return undefined;
  }
}

/** Repeats `attempt` until the api is there, with growing pauses; refusals and an aborted `signal` end it. */
export async function persist<T>(clock: Clock, signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0;; tries++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ApiAway) || signal.aborted) throw error;
      await clock.sleep(backoffMs(tries), signal);
    }
  }
}

/** Pause after the `tries`th failure in a row. */
export function backoffMs(tries: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** Math.min(tries, 10));
}
