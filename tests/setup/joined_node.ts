/** A node for end-to-end tests: a runner in a process of its own, joined to a platform with a token. */
import { join } from "node:path";
import type { Platform } from "./platform.ts";

const RUNNER = new URL("../../runner/main.ts", import.meta.url).pathname;

export interface NodeOptions {
  /** More of the runner's environment, such as `BERTH_ENGINE`. */
  readonly env?: Readonly<Record<string, string>>;
  /** More options of its command. */
  readonly args?: readonly string[];
  /** Words before its command, such as those that take it into another network namespace. */
  readonly through?: readonly string[];
}

export class JoinedNode implements AsyncDisposable {
  readonly name: string;
  readonly #platform: Pick<Platform, "url" | "dir">;
  readonly #options: NodeOptions;
  #child: Deno.ChildProcess;
  #said: Promise<string>;

  private constructor(platform: Platform, name: string, options: NodeOptions, token: string) {
    this.name = name;
    // As it is now: a platform that was killed comes back at the same place.
    this.#platform = { url: platform.url, dir: platform.dir };
    this.#options = options;
    this.#child = this.#spawn({ BERTH_JOIN_TOKEN: token });
    this.#said = new Response(this.#child.stderr).text();
  }

  /** Joins a pool; resolves when the process has started. */
  static async start(
    platform: Platform,
    pool: string,
    name: string,
    options: NodeOptions = {},
  ): Promise<JoinedNode> {
    const { body } = await platform.post<{ token: string }>(`/v1/pools/${pool}/tokens`, {});
    return new JoinedNode(platform, name, options, body.token);
  }

  /** Kills the runner as a machine that fails does. Guests that are processes go with it; containers stay. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#said;
  }

  /** Starts it again, after a kill, in the same folder: the node comes back. */
  restart(): void {
    this.#child = this.#spawn({});
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

  #spawn(token: Readonly<Record<string, string>>): Deno.ChildProcess {
    const { env = {}, args: more = [], through = [] } = this.#options;
    const { url, dir } = this.#platform;
    const [command, ...args] = [
      ...[...through, Deno.execPath(), "run", "-A", RUNNER],
      ...["--api", url, "--data", join(dir, this.name), "--name", this.name],
      ...["--address", "127.0.0.1", "--pool-size", "0", "--drain-ms", "200", ...more],
    ];
    return new Deno.Command(command!, {
      args,
      env: { NO_COLOR: "1", ...env, ...token },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
  }
}
