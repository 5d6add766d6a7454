/** A whole platform for tests: the real command in a process of its own, on a temporary folder, driven over HTTP. */
import { homedir } from "node:os";
import { join } from "node:path";
import type { Call, PageOf } from "../../sdk/protocol.ts";
import { until } from "./until.ts";

export const CLI = new URL("../../sdk/cli/main.ts", import.meta.url).pathname;
const UP_DEADLINE_MS = 90_000;

export interface UpOptions {
  /** Folder to start in again; a fresh temporary one when absent. */
  readonly dir?: string;
  readonly port?: number;
  readonly simulateGpus?: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class Platform {
  readonly url: string;
  readonly key: string;
  readonly pid: number;
  /** Holds `data` and `home`. */
  readonly dir: string;
  readonly #child: Deno.ChildProcess;
  readonly #said: Promise<string>;

  private constructor(
    ready: { url: string; key: string; pid: number },
    dir: string,
    child: Deno.ChildProcess,
    said: Promise<string>,
  ) {
    ({ url: this.url, key: this.key, pid: this.pid } = ready);
    this.dir = dir;
    this.#child = child;
    this.#said = said;
  }

  /** `berth up`, until it says that it is ready. */
  static async up(options: UpOptions = {}): Promise<Platform> {
    const dir = options.dir ?? await Deno.makeTempDir({ prefix: "berth-" });
    await Deno.mkdir(join(dir, "home"), { recursive: true });
    const gpus = options.simulateGpus === undefined ? [] : ["--simulate-gpus", options.simulateGpus];
    const args = ["up", "--json", "--port", String(options.port ?? 0), "--data", join(dir, "data"), ...gpus];
    const child = berthCommand(dir, [...args, ...options.args ?? []], options.env).spawn();
    const said = new Response(child.stderr).text();
    const line = await firstLine(child.stdout);
    if (line === null) throw new Error(`Cannot start the platform: ${await said}`);
    return new Platform(JSON.parse(line), dir, child, said);
  }

  /** Asks the API; the answer's JSON, whatever its status. */
  async ask<T = Record<string, unknown>>(
    path: string,
    init: RequestInit = {},
  ): Promise<{ status: number; body: T }> {
    const response = await this.fetch(path, init);
    return { status: response.status, body: await response.json() as T };
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (!headers.has("authorization")) headers.set("authorization", `Bearer ${this.key}`);
    return fetch(new URL(path, this.url), { ...init, headers });
  }

  post<T = Record<string, unknown>>(path: string, body: unknown, headers: Record<string, string> = {}) {
    return this.ask<T>(path, { method: "POST", body: JSON.stringify(body), headers });
  }

  /** All items of a list, page by page. */
  async all<T>(path: string): Promise<T[]> {
    const items: T[] = [];
    let cursor: string | undefined;
    do {
      const page = new URL(path, this.url);
      page.searchParams.set("limit", "500");
      if (cursor !== undefined) page.searchParams.set("cursor", cursor);
      const { body }: { body: PageOf<T> } = await this.ask<PageOf<T>>(page.href);
      items.push(...body.items);
      cursor = body.nextCursor;
    } while (cursor !== undefined);
    return items;
  }

  /** Deploys source text as a file of its own, with others beside it; returns what the command prints. */
  async deploy(
    source: string,
    name = "app.ts",
    others: Readonly<Record<string, string>> = {},
  ): Promise<{ app: string; endpoints: { name: string; url: string }[]; images?: { ref: string }[] }> {
    const folder = await Deno.makeTempDir({ dir: this.dir });
    const file = join(folder, name);
    for (const [path, text] of Object.entries({ ...others, [name]: source })) {
      await Deno.writeTextFile(join(folder, path), text);
    }
    const { code, stdout, stderr } = await this.berth("deploy", file, "--json", "--no-check");
    if (code !== 0) throw new Error(`Cannot deploy: ${stderr}`);
    return JSON.parse(stdout);
  }

  /** Runs the command line against this platform. */
  async berth(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const { code, stdout, stderr } = await berthCommand(this.dir, args, {
      BERTH_URL: this.url,
      BERTH_KEY: this.key,
    }).output();
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  }

  /** Calls a function and waits for its end. */
  async call(callable: string, input: unknown, waitMs = 60_000): Promise<Call> {
    const [app, name] = callable.split("/") as [string, string];
    const { status, body } = await this.post<{ calls: { id: string }[] }>(
      `/v1/apps/${app}/functions/${name}/calls`,
      { input },
    );
    if (status !== 202) throw new Error(`Cannot call ${callable}: ${JSON.stringify(body)}`);
    return await this.ended(body.calls[0]!.id, waitMs);
  }

  /** The call, once it has ended. */
  async ended(id: string, waitMs = 60_000): Promise<Call> {
    return await until(`call ${id} ends`, async () => {
      const { body } = await this.ask<Call>(`/v1/calls/${id}`);
      return body.endedAt === null ? null : body;
    }, waitMs);
  }

  kill(signal: Deno.Signal): void {
    this.#child.kill(signal);
  }

  get status(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /** What it said on stderr, once it has ended. */
  get said(): Promise<string> {
    return this.#said;
  }

  /** Stops it as a user would, and removes its folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch { /* it has ended */ }
    await this.status;
    await this.#said;
    await Deno.remove(this.dir, { recursive: true });
  }
}

function berthCommand(
  dir: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CLI, ...args],
    env: { HOME: join(dir, "home"), DENO_DIR: denoDir(), NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

/** The cache of this user: a new HOME must not mean downloading everything again. */
/** Where the Deno of this machine keeps what it has loaded. */
export const denoDir = (): string => Deno.env.get("DENO_DIR") ?? join(homedir(), ".cache/deno");

async function firstLine(stdout: ReadableStream<Uint8Array>): Promise<string | null> {
  let text = "";
  const timeout = AbortSignal.timeout(UP_DEADLINE_MS);
  const reader = stdout.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
    .getReader();
  timeout.addEventListener("abort", () => reader.cancel());
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) return null;
    text += value;
  }
  (async () => {
    while (!(await reader.read()).done);
  })();
  return text.slice(0, text.indexOf("\n"));
}
