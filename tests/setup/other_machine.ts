/** A machine of its own for tests, as far as the network and mounts go: a namespace with one cable to this machine, and a runner in it. */
import { join } from "node:path";
import { command } from "./components/daemon.ts";
import type { Platform } from "./platform.ts";

const RUNNER = new URL("../../runner/main.ts", import.meta.url).pathname;

export class OtherMachine implements AsyncDisposable {
  /** Of this machine and of the other, on the cable. */
  readonly here: string;
  readonly there: string;
  readonly #name: string;
  #runner: Deno.ChildProcess | null = null;
  #said: Promise<string> = Promise.resolve("");

  private constructor(name: string, subnet: string) {
    this.#name = name;
    this.here = `${subnet}.1`;
    this.there = `${subnet}.2`;
  }

  static async create(): Promise<OtherMachine> {
    const [a, b, c] = crypto.getRandomValues(new Uint8Array(3));
    const machine = new OtherMachine(
      `bm${new Uint8Array([a!, b!, c!]).toHex()}`,
      `10.${120 + a! % 60}.${b!}`,
    );
    await machine.#cable();
    return machine;
  }

  async #cable(): Promise<void> {
    const [name, inside] = [this.#name, `${this.#name}x`];
    await command("ip", "netns", "add", name);
    await command("ip", "link", "add", name, "type", "veth", "peer", "name", inside, "netns", name);
    await command("ip", "addr", "add", `${this.here}/24`, "dev", name);
    await command("ip", "link", "set", name, "up");
    for (
      const words of [`addr add ${this.there}/24 dev ${inside}`, `link set ${inside} up`, "link set lo up"]
    ) {
      await command("ip", "-n", name, ...words.split(" "));
    }
  }

  /** Starts a runner there that joins a pool, or comes back to it. Resolves when it has started. */
  async join(platform: Platform, pool: string, ...args: string[]): Promise<void> {
    const { body } = await platform.post<{ token: string }>(`/v1/pools/${pool}/tokens`, {});
    const api = new URL(platform.url);
    api.hostname = this.here;
    this.#runner = new Deno.Command("ip", {
      args: [
        ...["netns", "exec", this.#name, Deno.execPath(), "run", "-A", RUNNER, "--api", api.origin],
        ...["--data", join(platform.dir, this.#name), "--name", this.#name, "--address", this.there],
        ...["--pool-size", "0", "--drain-ms", "200", ...args],
      ],
      env: { NO_COLOR: "1", BERTH_JOIN_TOKEN: body.token },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#said = new Response(this.#runner.stderr).text();
  }

  /** Kills the runner, as a machine that fails does. */
  async kill(): Promise<void> {
    this.#runner?.kill("SIGKILL");
    await this.#runner?.status;
    await this.#said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#runner?.kill("SIGTERM");
    } catch { /* it has ended */ }
    await this.#runner?.status;
    await this.#said;
    await command("ip", "netns", "del", this.#name); // the cable goes with it
  }
}
