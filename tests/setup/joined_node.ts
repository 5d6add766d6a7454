/** A node for end-to-end tests: a runner in a process of its own, joined to a platform with a token. */
import { join } from "node:path";
import type { Platform } from "./platform.ts";

const RUNNER = new URL("../../runner/main.ts", import.meta.url).pathname;

export class JoinedNode implements AsyncDisposable {
  readonly #platform: Platform;
  readonly #name: string;
  #child: Deno.ChildProcess;
  #said: Promise<string>;

  private constructor(platform: Platform, name: string, child: Deno.ChildProcess) {
    this.#platform = platform;
    this.#name = name;
    this.#child = child;
    this.#said = new Response(child.stderr).text();
  }

  /** Joins a pool; resolves when the process has started. */
  static async start(platform: Platform, pool: string, name: string): Promise<JoinedNode> {
    const { body } = await platform.post<{ token: string }>(`/v1/pools/${pool}/tokens`, {});
    return new JoinedNode(platform, name, spawn(platform, name, { BERTH_JOIN_TOKEN: body.token }));
  }

  /** Kills the runner as a machine that fails does; its guests go with it. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#said;
  }

  /** Starts it again, after a kill, in the same folder: the node comes back. */
  restart(): void {
    this.#child = spawn(this.#platform, this.#name, {});
    this.#said = new Response(this.#child.stderr).text();
  }

  /** What it said on stderr, once it has ended. */
  get said(): Promise<string> {
    return this.#said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch { /* it has ended */ }
    await this.#child.status;
    await this.#said;
  }
}

function spawn(platform: Platform, name: string, env: Readonly<Record<string, string>>): Deno.ChildProcess {
  const args = ["--api", platform.url, "--data", join(platform.dir, name), "--name", name];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", RUNNER, ...args, "--address", "127.0.0.1", "--pool-size", "0", "--drain-ms", "200"],
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}
