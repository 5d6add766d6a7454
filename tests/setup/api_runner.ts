/** A runner made of HTTP requests: joins, takes calls for a container, reports how they ended. */
import assert from "node:assert/strict";
import { hashOf } from "../../api/auth.ts";
import { insertJoinToken } from "../../scheduler/store/keys.ts";
import type {
  ArtifactUpload,
  CheckpointUpload,
  Claim,
  ExchangeReply,
  Failure,
  JoinedNode,
  Json,
  PublishedArtifact,
} from "../../sdk/protocol.ts";
import { type Answer, type ErrorAnswer, sha256, type TestApi } from "./api.ts";

export class ApiRunner {
  #seq = 0;

  private constructor(
    readonly api: TestApi,
    readonly node: string,
    readonly credential: string,
    readonly session: string,
  ) {}

  static async join(api: TestApi, name = "one"): Promise<ApiRunner> {
    const session = name === "one" ? "s1" : `s1_${name}`;
    const now = new Date(api.deps.clock.now());
    await insertJoinToken(api.deps.sql, now, {
      hash: hashOf(`join_${name}`),
      pool: "default",
      expiresAt: null,
    });
    const body = {
      token: `join_${name}`,
      name,
      session,
      host: "here",
      cpu: 8,
      memory: 8_000,
      gpus: [],
    };
    const joined = await api.ask<JoinedNode>("/v1/nodes", { body, key: null });
    assert.equal(joined.status, 200);
    return new ApiRunner(api, joined.body.id, joined.body.credential, session);
  }

  /** A ready container of a deployed function, as the scheduler would have placed it. */
  async container(app: string, fn: string): Promise<string> {
    const { sql, clock } = this.api.deps;
    const id = `ctr_${crypto.randomUUID()}`;
    const now = new Date(clock.now());
    await sql`
      insert into container (id, function_id, deployment_id, node_id, session, desired, observed, gpus, gpu_milli, cpu_milli,
        memory_mib, reason, created_at, ready_at, busy_at)
      select ${id}, f.id, f.deployment_id, ${this.node}, ${this.session}, 'run', 'ready', '[]', 500, 100, 100, 'test', ${now}, ${now}, ${now}
      from function f join app a on a.id = f.app_id and a.deleted_at is null
      where a.name = ${app} and f.name = ${fn}`;
    return id;
  }

  /** Asks under this node's credential. */
  fetch(path: string, init: { method?: string; raw?: BodyInit; body?: unknown } = {}): Promise<Response> {
    return this.api.fetch(`/v1/nodes/${this.node}${path}`, { ...init, key: this.credential });
  }

  /** The same, and then where the answer leads to. */
  async follow(path: string): Promise<Response> {
    const response = await this.fetch(path);
    const to = response.headers.get("location");
    return response.status === 307 ? await this.api.fetch(to!, { key: null }) : response;
  }

  /** Uploads bytes for a checkpoint; the number of the upload, or the answer that refused. */
  async upload(
    of: { lease: number; index?: number; name?: string },
    text: string,
  ): Promise<string | Response> {
    const size = new TextEncoder().encode(text).length;
    const begun = await this.fetch("/checkpoints/uploads", {
      method: "POST",
      body: { index: 0, ...of, size },
    });
    if (!begun.ok) return begun;
    const { upload, url }: CheckpointUpload = await begun.json();
    const put = await this.api.fetch(url, { method: "PUT", raw: text, key: null });
    return put.ok ? upload : put;
  }

  commit(of: { lease: number; index?: number; name?: string }, upload: string): Promise<Response> {
    return this.fetch("/checkpoints", { method: "POST", body: { index: 0, ...of, upload } });
  }

  /** Saves a checkpoint; the answer of the last step that was taken. */
  async save(of: { lease: number; index?: number; name?: string }, text: string): Promise<Response> {
    const upload = await this.upload(of, text);
    return typeof upload === "string" ? await this.commit(of, upload) : upload;
  }

  /** Uploads and publishes an artifact of a call; the answer of the last step that was taken. */
  async publish(
    of: { readonly lease: number; readonly index: number; readonly name: string },
    text: string,
    meanwhile: () => unknown = () => {},
  ): Promise<Answer<PublishedArtifact & ErrorAnswer>> {
    const ask = async (path: string, body: unknown) => {
      const response = await this.fetch(path, { method: "POST", body });
      return { status: response.status, body: await response.json(), headers: response.headers };
    };
    const bytes = { digest: await sha256(text), size: new TextEncoder().encode(text).length };
    const { name: _, ...by } = of;
    const begun = await ask("/artifacts/uploads", { ...by, ...bytes });
    if (begun.status !== 200) return begun;
    const { upload, parts: [part] } = begun.body as ArtifactUpload;
    if (part !== undefined) await this.api.fetch(part.url, { method: "PUT", raw: text, key: null });
    await meanwhile();
    return await ask("/artifacts", { ...of, ...bytes, upload });
  }

  async exchange(body: Record<string, unknown>): Promise<ExchangeReply> {
    const whole = { session: this.session, seq: ++this.#seq, free: [], reports: [], waitMs: 0, ...body };
    const response = await this.fetch("/exchange", { method: "POST", body: whole });
    assert.equal(response.status, 200, await response.clone().text());
    return await response.json();
  }

  async take(container: string, calls = 100): Promise<Claim[]> {
    return [...(await this.exchange({ free: [{ container, calls }] })).claims];
  }

  /** Reports calls of a claim: results by index, or a failure for all of them. */
  async report(
    { lease, lo, inputs }: Claim,
    end: (index: number, input: Json) => Json | { failure: Failure },
  ): Promise<void> {
    const done = inputs.map((input, i) => {
      const outcome = end(lo + i, input);
      const failed = typeof outcome === "object" && outcome !== null && "failure" in outcome;
      return [lo + i, failed ? 1 : 0, failed ? outcome.failure : outcome, 1_000, 3_000, 500];
    });
    await this.exchange({ reports: [{ lease, done }] });
  }
}

/** The user's code threw. */
export const THREW: Failure = { kind: "user_error", message: "boom", retryable: true };
