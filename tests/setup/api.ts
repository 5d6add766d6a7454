/** The api without a socket: a real database, an app in memory, keys of two workspaces, and a runner made of HTTP requests. */
import { type Answer as Answering, type ApiDeps, createApi } from "../../api/app.ts";
import { Auth, createKey } from "../../api/auth.ts";
import { Callables } from "../../api/callables.ts";
import { EnqueueGroup } from "../../api/enqueue.ts";
import { Execs } from "../../api/execs.ts";
import { Exchanges } from "../../api/exchange.ts";
import { IMAGE_DEFAULTS, type ImageSettings } from "../../api/images.ts";
import { keyringOf } from "../../api/secrets/keyring.ts";
import { Vault } from "../../api/secrets/vault.ts";
import { Syncs } from "../../api/sync.ts";
import { ensureWorkspace } from "../../scheduler/store/keys.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { type Clock, type Log, realClock, realRandom } from "../../sdk/ports.ts";
import type {
  ArtifactUpload,
  ErrorBody,
  FunctionSpec,
  Manifest,
  PublishedArtifact,
  Scope,
} from "../../sdk/protocol.ts";
import { MemoryBlobs } from "./memory_blobs.ts";
import { type TestDatabase, testDatabase } from "./postgres.ts";

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
  readonly headers: Headers;
}
export type ErrorAnswer = ErrorBody & Record<string, unknown>;

export interface Asking {
  readonly method?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: BodyInit;
  readonly headers?: Record<string, string>;
  /** @default the admin key of workspace `default` */
  readonly key?: string | null;
  readonly signal?: AbortSignal;
}

export class TestApi {
  private constructor(
    readonly db: TestDatabase,
    readonly api: Answering,
    readonly deps: ApiDeps,
    readonly key: string,
    /** Names of the events logged so far. */
    readonly logged: readonly string[],
    readonly close: () => void,
  ) {}

  static async start(
    { clock = realClock, secretKeys = [SECRETS_KEY], images = IMAGE_DEFAULTS }: {
      clock?: Clock;
      secretKeys?: readonly string[];
      images?: ImageSettings;
    } = {},
  ): Promise<TestApi> {
    const db = await testDatabase();
    const { sql } = db;
    const random = realRandom;
    const wakes = new LocalWakes();
    const closing = new AbortController();
    const logged: string[] = [];
    const log: Log = (event) => void logged.push(event);
    const base = { sql, clock, random, log, wakes };
    const deps: ApiDeps = {
      ...base,
      blobs: new MemoryBlobs(clock),
      auth: new Auth(base),
      callables: new Callables(base),
      enqueue: new EnqueueGroup(base),
      exchanges: new Exchanges(base),
      execs: new Execs({ ...base, closing: closing.signal }),
      syncs: new Syncs(base),
      vault: new Vault(keyringOf(secretKeys), random),
      images,
      endpoints: {
        handle: () => Promise.resolve(new Response("from an endpoint")),
        refresh: () => Promise.resolve(),
      },
      ownUrl: () => "http://berth.test",
      startedAt: clock.now(),
      closing: closing.signal,
    };
    const { key } = await createKey(base, { workspace: "default", name: "test", scope: "admin" });
    return new TestApi(db, createApi(deps), deps, key, logged, () => closing.abort());
  }

  async keyOf(workspace: string, scope: Scope = "admin"): Promise<string> {
    const { sql, clock } = this.deps;
    await ensureWorkspace(sql, new Date(clock.now()), workspace);
    return (await createKey(this.deps, { workspace, name: "test", scope })).key;
  }

  fetch(
    path: string,
    { method, body, raw, headers = {}, key = this.key, signal }: Asking = {},
  ): Promise<Response> {
    const sent = raw ?? (body === undefined ? null : JSON.stringify(body));
    const request = new Request(`http://berth.test${path}`, {
      method: method ?? (sent === null ? "GET" : "POST"),
      body: sent,
      headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
      ...(signal === undefined ? {} : { signal }),
    });
    return this.api(request, null);
  }

  async ask<T = ErrorAnswer>(path: string, asking: Asking = {}): Promise<Answer<T>> {
    const response = await this.fetch(path, asking);
    return { status: response.status, body: await response.json() as T, headers: response.headers };
  }

  async upload(bundle = BUNDLE, key = this.key): Promise<string> {
    const digest = await sha256(bundle);
    await this.ask(`/v1/bundles/${digest}`, { method: "PUT", raw: bundle, key });
    return digest;
  }

  /** Uploads and publishes an artifact, as a client does; the answer of the last step that was taken. */
  async publish(name: string, text: string, { key = this.key }: Pick<Asking, "key"> = {}) {
    const bytes = { digest: await sha256(text), size: new TextEncoder().encode(text).length };
    const path = `/v1/artifacts/${name}`;
    const begun = await this.ask<ArtifactUpload & ErrorAnswer>(`${path}/uploads`, { body: bytes, key });
    if (begun.status !== 201) return begun as unknown as Answer<PublishedArtifact & ErrorAnswer>;
    const { upload, parts: [part] } = begun.body;
    if (part !== undefined) {
      await this.fetch(part.url, { method: "PUT", raw: text, key: null, headers: part.headers });
    }
    const body = { ...bytes, upload };
    return await this.ask<PublishedArtifact & ErrorAnswer>(`${path}/versions`, { body, key });
  }

  /** Asks, and then where the answer leads to. */
  async follow(path: string, asking: Asking = {}): Promise<Response> {
    const response = await this.fetch(path, asking);
    const { range } = asking.headers ?? {};
    return response.status === 307
      ? await this.fetch(response.headers.get("location")!, {
        key: null,
        ...(range ? { headers: { range } } : {}),
      })
      : response;
  }

  /** Deploys functions by their names, or whole specs. */
  async deploy(app: string, functions: readonly (string | Partial<FunctionSpec>)[], key = this.key) {
    const bundle = await this.upload(BUNDLE, key);
    const manifest = manifestOf(functions);
    return await this.ask<{ deployment: string; version: number } & ErrorAnswer>(
      `/v1/apps/${app}/deployments`,
      {
        body: { bundle, manifest },
        key,
      },
    );
  }

  async call(path: string, body: unknown, headers: Record<string, string> = {}) {
    const [app, fn] = path.split("/");
    return await this.ask<{ batch: string; calls: { id: string; state: string }[] } & ErrorAnswer>(
      `/v1/apps/${app}/functions/${fn}/calls`,
      { body, headers },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.db[Symbol.asyncDispose]();
  }
}

/** A master key for secrets. */
export const SECRETS_KEY = new Uint8Array(32).fill(7).toBase64();

export const BUNDLE = `{"version":1,"files":{"app.js":"export {}"}}`;

/** A manifest of plain functions, as a client would send it. */
export function manifestOf(functions: readonly (string | Partial<FunctionSpec>)[]): Manifest {
  const specs = functions.map((fn) => {
    const spec = typeof fn === "string" ? { name: fn } : fn;
    const name = spec.name ?? "work";
    return { kind: "function", body: "ts", entry: name, methods: [{ name, kind: "call" }], ...spec, name };
  });
  return { sdkVersion: "0.1.0", functions: specs } as unknown as Manifest;
}

export async function sha256(text: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toHex();
}
