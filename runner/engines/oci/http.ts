/**
 * HTTP to a container engine on its unix socket. Tells apart an engine that is away (it may be restarted at any time) from one
 * that says no.
 */
import { z } from "zod";
import type { Fetch } from "../../../sdk/ports.ts";

/** The engine cannot be reached, or went away while it answered. */
export class EngineAway extends Error {
  override readonly name = "EngineAway";
}

/** The engine understood, and says no. */
export class EngineRefused extends Error {
  override readonly name = "EngineRefused";
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface EngineRequest {
  /** Podman's own API, which knows what the shared one does not. */
  readonly libpod?: boolean;
  readonly method?: "GET" | "POST" | "PUT" | "DELETE" | "HEAD";
  readonly query?: Query;
  /** Sent as JSON, unless it is bytes. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Statuses beside 2xx that are an answer, not an error. */
  readonly also?: readonly number[];
}

/** The API this was written for; older engines lack `next-exit`, and newer ones may have given it up. */
const API = "1.41";
/** Podman 4.3 and all that came after it speak this version of their own. */
const LIBPOD = "/v4.0.0/libpod";

const Version = z.object({
  Version: z.string(),
  ApiVersion: z.string(),
  MinAPIVersion: z.string().default("1.12"),
  Components: z.array(z.object({ Name: z.string(), Version: z.string() })).nullish(),
});

export interface EngineVersion {
  readonly name: "docker" | "podman";
  readonly version: string;
}

export class EngineHttp {
  readonly socket: string;
  readonly #fetch: Fetch;
  readonly #client: Deno.HttpClient;
  #prefix: Promise<string> | null = null;

  constructor({ socket, fetch }: { socket: string; fetch: Fetch }) {
    this.socket = socket;
    this.#fetch = fetch;
    this.#client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
  }

  async version(signal?: AbortSignal): Promise<EngineVersion> {
    const { Version: version, Components } = await this.#version(signal);
    const podman = Components?.some(({ Name }) => /podman/i.test(Name)) ?? false;
    return { name: podman ? "podman" : "docker", version };
  }

  /** Path of the API with its version, as this engine speaks it. */
  prefix(): Promise<string> {
    return this.#prefix ??= this.#negotiate().catch((error) => {
      this.#prefix = null;
      throw error;
    });
  }

  /** An answer that means yes, its body unread. */
  async ask(path: string, request: EngineRequest = {}): Promise<Response> {
    return await this.#send((request.libpod ? LIBPOD : await this.prefix()) + path, request);
  }

  /** An answer in JSON. */
  async json<T extends z.ZodType>(schema: T, path: string, request: EngineRequest = {}): Promise<z.infer<T>> {
    const response = await this.ask(path, request);
    const text = await response.text().catch(away);
    return parse(schema, text, path);
  }

  /** Asks for something to be done. */
  async act(path: string, request: EngineRequest = {}): Promise<void> {
    const response = await this.ask(path, { method: "POST", ...request });
    await response.body?.cancel();
  }

  close(): void {
    this.#client.close();
  }

  async #version(signal?: AbortSignal): Promise<z.infer<typeof Version>> {
    const response = await this.#send("/version", signal === undefined ? {} : { signal });
    return parse(Version, await response.text().catch(away), "/version");
  }

  async #negotiate(): Promise<string> {
    const { ApiVersion, MinAPIVersion } = await this.#version();
    if (isOlder(ApiVersion, API)) {
      throw new EngineRefused(400, `The container engine speaks API ${ApiVersion}, and ${API} is needed`);
    }
    return `/v${isOlder(API, MinAPIVersion) ? MinAPIVersion : API}`;
  }

  async #send(path: string, { method = "GET", query = {}, body, headers, signal, also = [] }: EngineRequest) {
    const isBytes = body instanceof Uint8Array || body instanceof ReadableStream;
    const response = await this.#fetch(`http://engine${path}${queryText(query)}`, {
      client: this.#client,
      method,
      headers: {
        ...(body === undefined || isBytes ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isBytes ? body as BodyInit : JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    }).catch(away);
    if (response.ok || also.includes(response.status)) return response;
    throw new EngineRefused(response.status, messageOf(await response.text().catch(away)));
  }
}

function away(cause: unknown): never {
  throw new EngineAway(
    `Cannot reach the container engine: ${cause instanceof Error ? cause.message : cause}`,
    { cause },
  );
}

function parse<T extends z.ZodType>(schema: T, text: string, path: string): z.infer<T> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new EngineRefused(500, `The container engine answered ${path} with "${text.slice(0, 200)}"`, {
      cause,
    });
  }
}

function queryText(query: Query): string {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]]
  );
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

/** Docker says `message`; Podman `cause` and `message`, of which the second says more. */
function messageOf(body: string): string {
  try {
    return String(JSON.parse(body).message);
  } catch {
    return body.trim() || "no reason given";
  }
}

function isOlder(a: string, b: string): boolean {
  const [major, minor] = a.split(".").map(Number), [otherMajor, otherMinor] = b.split(".").map(Number);
  return major! < otherMajor! || major === otherMajor && minor! < otherMinor!;
}
