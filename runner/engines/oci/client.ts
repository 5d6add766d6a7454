/**
 * A container engine, by the REST API that Docker made and Podman shares. Reference: Docker Engine 20.10; second: Podman 4.3.
 * Where they differ is said at the verb.
 */
import { z } from "zod";
import type { Fetch } from "../../../sdk/ports.ts";
import type { TerminalSize } from "../../../sdk/protocol.ts";
import { attach, type Attached, type Attaching } from "./attach.ts";
import { type Credential, registryAuth } from "./credentials.ts";
import { EngineHttp, EngineRefused, type EngineVersion, type Query } from "./http.ts";
import { readTold, type Told } from "./json_lines.ts";
import { formatReference, type Reference, repositoryOf } from "../../../sdk/image_reference.ts";
import type { LibpodContainer } from "./libpod.ts";
import type { CreateContainer } from "./sandbox.ts";

const Labels = z.record(z.string(), z.string()).nullish().transform((labels) => labels ?? {});

const ContainerRow = z.object({ Id: z.string(), Labels });
export type ContainerRow = z.infer<typeof ContainerRow>;

const ContainerState = z.object({
  State: z.object({
    /** 0 when it does not run. */
    Pid: z.number(),
    /** Some process of it, not only the first. */
    OOMKilled: z.boolean(),
  }),
  NetworkSettings: z.object({
    Networks: z.record(z.string(), z.object({ IPAddress: z.string().nullish() })).nullish(),
  }).nullish(),
});
export type ContainerState = z.infer<typeof ContainerState>;

const Image = z.object({
  Id: z.string(),
  /** `NAME@sha256:…`, once it was pulled or pushed. */
  RepoDigests: z.array(z.string()).nullish().transform((digests) => digests ?? []),
  Size: z.number(),
});
export type Image = z.infer<typeof Image>;

const ExecState = z.object({
  Running: z.boolean(),
  /** Absent before it has begun. */
  ExitCode: z.number().nullish().transform((code) => code ?? null),
  /** As this machine counts; 0 before it has begun. */
  Pid: z.number().nullish().transform((pid) => pid ?? 0),
});
export type ExecState = z.infer<typeof ExecState>;

const LibpodContainerState = z.object({ OCIRuntime: z.string() });
const Network = z.object({ Id: z.string(), Name: z.string(), Labels });
const Created = z.object({ Id: z.string() });
const Waited = z.object({ StatusCode: z.number() });

export interface NewExec {
  readonly command: readonly string[];
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly tty: boolean;
}
const Info = z.object({
  /** By name. Podman tells nothing of its own. */
  Runtimes: z.record(z.string(), z.unknown()).nullish(),
  /** Where Docker 25 and later look for devices by name, where that is switched on. */
  CDISpecDirs: z.array(z.string()).nullish(),
});
export type Info = z.infer<typeof Info>;

export interface Transfer {
  readonly credential?: Credential | undefined;
  readonly tell?: ((told: Told) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class OciClient {
  readonly #http: EngineHttp;

  constructor(deps: { readonly socket: string; readonly fetch: Fetch }) {
    this.#http = new EngineHttp(deps);
  }

  version(signal?: AbortSignal): Promise<EngineVersion> {
    return this.#http.version(signal);
  }

  info(): Promise<Info> {
    return this.#http.json(Info, "/info");
  }

  close(): void {
    this.#http.close();
  }

  // ── images ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  async pull(reference: Reference, { credential, tell = ignore, signal }: Transfer = {}): Promise<void> {
    const response = await this.#http.ask("/images/create", {
      method: "POST",
      query: { fromImage: repositoryOf(reference), tag: reference.tag },
      headers: { "x-registry-auth": registryAuth(reference.registry, credential) },
      ...(signal === undefined ? {} : { signal }),
    });
    await readTold(response, tell);
  }

  /** Pushes a tag that this engine has; tells its digest last. */
  async push(reference: Reference, { credential, tell = ignore, signal }: Transfer = {}): Promise<void> {
    const response = await this.#http.ask(`/images/${repositoryOf(reference)}/push`, {
      method: "POST",
      query: { tag: reference.tag },
      headers: { "x-registry-auth": registryAuth(reference.registry, credential) },
      ...(signal === undefined ? {} : { signal }),
    });
    await readTold(response, tell);
  }

  async tag(image: string, { tag, ...repository }: Reference): Promise<void> {
    await this.#http.act(`/images/${image}/tag`, {
      query: { repo: repositoryOf({ ...repository, tag }), tag },
    });
  }

  /** Builds from a tar with a Dockerfile. `query` is the engine's: `t`, `dockerfile`, `buildargs`, `labels`, … */
  async build(
    context: Uint8Array | ReadableStream<Uint8Array>,
    query: Query,
    { tell = ignore, signal, registries }: Omit<Transfer, "credential"> & {
      /** `X-Registry-Config`: credentials for the base images, by host. */
      readonly registries?: string;
    } = {},
  ): Promise<void> {
    const response = await this.#http.ask("/build", {
      method: "POST",
      query,
      body: context,
      headers: {
        "content-type": "application/x-tar",
        ...(registries === undefined ? {} : { "x-registry-config": registries }),
      },
      ...(signal === undefined ? {} : { signal }),
    });
    await readTold(response, tell);
  }

  /** Null when the engine does not have it. */
  async image(reference: Reference): Promise<Image | null> {
    return await absent(this.#http.json(Image, `/images/${formatReference(reference)}/json`));
  }

  /** False when a container uses it. */
  async removeImage(name: string): Promise<boolean> {
    const response = await this.#http.ask(`/images/${name}`, { method: "DELETE", also: [404, 409, 500] });
    await response.body?.cancel();
    return response.ok;
  }

  // ── containers ──────────────────────────────────────────────────────────────────────────────────────────────────────

  async create(name: string, container: CreateContainer): Promise<string> {
    const { Id } = await this.#http.json(Created, "/containers/create", {
      method: "POST",
      query: { name },
      body: container,
    });
    return Id;
  }

  /** By Podman's own API. */
  async createLibpod(container: LibpodContainer): Promise<string> {
    const { Id } = await this.#http.json(Created, "/containers/create", {
      method: "POST",
      libpod: true,
      body: container,
    });
    return Id;
  }

  /** What a container will run on, by Podman's own API. */
  async runtimeOf(id: string): Promise<string> {
    const { OCIRuntime } = await this.#http.json(LibpodContainerState, `/containers/${id}/json`, {
      libpod: true,
    });
    return OCIRuntime;
  }

  async start(id: string): Promise<void> {
    await this.#http.act(`/containers/${id}/start`);
  }

  /** stdout and stderr from now on. Attach before the start, and nothing is missed. */
  async attach(
    id: string,
    { stdin = false, ...attaching }: Pick<Attaching, "marked" | "tty"> & { readonly stdin?: boolean } = {},
  ): Promise<Attached> {
    const streams = `stream=1&stdout=1&stderr=1${stdin ? "&stdin=1" : ""}`;
    const path = `${await this.#http.prefix()}/containers/${id}/attach?${streams}`;
    return await attach(this.#http.socket, path, attaching);
  }

  /** Sets the size of its terminal. */
  async resize(id: string, { columns, rows }: TerminalSize): Promise<void> {
    await this.#http.act(`/containers/${id}/resize`, { query: { w: columns, h: rows } });
  }

  /** Resolves with its exit code when it has ended; at once when it does not run. */
  async wait(id: string): Promise<number> {
    const { StatusCode } = await this.#http.json(Waited, `/containers/${id}/wait`, {
      method: "POST",
      query: { condition: "not-running" },
    });
    return StatusCode;
  }

  /** Null when there is none. */
  async inspect(id: string): Promise<ContainerState | null> {
    return await absent(this.#http.json(ContainerState, `/containers/${id}/json`));
  }

  /**
   * Also those that have ended. Podman that was killed in the midst of a removal lists nothing here any more; its own API still does.
   *
   * @param label `NAME=VALUE`; all of them when absent
   */
  async containers(label?: string): Promise<ContainerRow[]> {
    const filters = JSON.stringify(label === undefined ? {} : { label: [label] });
    const list = (own: { libpod?: true } = {}) =>
      this.#http.json(z.array(ContainerRow), "/containers/json", { query: { all: true, filters }, ...own });
    return await list().catch((error) => {
      if (!(error instanceof EngineRefused)) throw error;
      return list({ libpod: true }).catch(() => Promise.reject(error));
    });
  }

  /** No error when it has ended already. */
  async kill(id: string, signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    await this.#http.act(`/containers/${id}/kill`, { query: { signal }, also: [404, 409, 500] });
  }

  /** Kills it if need be, and removes all that is left of it. */
  async remove(id: string): Promise<void> {
    await this.#http.act(`/containers/${id}`, {
      method: "DELETE",
      query: { force: true, v: true },
      also: [404],
    });
  }

  // ── commands in containers ──────────────────────────────────────────────────────────────────────────────────────────

  async createExec(container: string, { command, workdir, env, tty }: NewExec): Promise<string> {
    const { Id } = await this.#http.json(Created, `/containers/${container}/exec`, {
      method: "POST",
      body: {
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
        Tty: tty,
        Cmd: command,
        WorkingDir: workdir,
        Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      },
    });
    return Id;
  }

  async startExec(id: string, tty: boolean): Promise<Attached> {
    const path = `${await this.#http.prefix()}/exec/${id}/start`;
    return await attach(this.#http.socket, path, { body: { Detach: false, Tty: tty }, tty });
  }

  /** Null when its container is gone. */
  async execState(id: string): Promise<ExecState | null> {
    return await absent(this.#http.json(ExecState, `/exec/${id}/json`));
  }

  async resizeExec(id: string, { columns, rows }: TerminalSize): Promise<void> {
    await this.#http.act(`/exec/${id}/resize`, { query: { w: columns, h: rows } });
  }

  // ── networks ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async createNetwork(network: { readonly Name: string } & Record<string, unknown>): Promise<void> {
    await this.#http.act("/networks/create", { body: network });
  }

  /** Null when there is none. */
  async network(name: string): Promise<z.infer<typeof Network> | null> {
    return await absent(this.#http.json(Network, `/networks/${name}`));
  }

  networks(label: string): Promise<z.infer<typeof Network>[]> {
    return this.#http.json(z.array(Network), "/networks", {
      query: { filters: JSON.stringify({ label: [label] }) },
    });
  }

  async removeNetwork(name: string): Promise<void> {
    await this.#http.act(`/networks/${name}`, { method: "DELETE", also: [404] });
  }
}

const ignore = (): void => {};

async function absent<T>(asking: Promise<T>): Promise<T | null> {
  try {
    return await asking;
  } catch (error) {
    if (error instanceof EngineRefused && error.status === 404) return null;
    throw error;
  }
}
