/** A runner as a process of its own, joined to a fake api. */
import { FakeApi } from "./fake_api.ts";
import { untilTrue } from "./until.ts";

export const MAIN = new URL("../../runner/main.ts", import.meta.url).pathname;

/** A runner as a process of its own, with its data folder. */
export class RunnerProcess implements AsyncDisposable {
  #child: Deno.ChildProcess;

  private constructor(readonly api: FakeApi, readonly data: string, readonly args: readonly string[]) {
    this.#child = this.#spawn();
  }

  static async start(...args: string[]): Promise<RunnerProcess> {
    return new RunnerProcess(FakeApi.start(), await Deno.makeTempDir({ prefix: "berth-runner-" }), args);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get #log(): string {
    return `${this.data}/said`;
  }

  /** All that it has logged. */
  said(): Promise<string> {
    return Deno.readTextFile(this.#log).catch(() => "");
  }

  get status(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }

  /** Starts another one on the same data. */
  async restart(): Promise<void> {
    const before = this.api.joins.length;
    this.#child = this.#spawn();
    await untilTrue("the runner has joined", () => this.api.joins.length > before);
  }

  /** Lets it leave in order. */
  async stop(): Promise<void> {
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#child.status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.api[Symbol.asyncDispose]();
    await Deno.remove(this.data, { recursive: true });
  }

  #spawn(): Deno.ChildProcess {
    const args = ["run", "-A", MAIN, "--api", this.api.origin, "--data", this.data, ...this.args];
    const env = { BERTH_JOIN_TOKEN: "join_token" };
    // Its output must go to a file, which takes what it says while nobody reads.
    const command = ["-c", `exec "$0" "$@" >>'${this.#log}' 2>&1`, Deno.execPath(), ...args];
    return new Deno.Command("sh", { args: command, env, stdin: "null", stdout: "null", stderr: "null" })
      .spawn();
  }
}
