/** Daemons that tests start: each in a folder of its own, waited for until it answers, ended with all that it started. */
import { familyOf, processes } from "../processes.ts";

export interface DaemonOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its working folder; its output goes to `log` there. */
  readonly dir: string;
  /** Resolves when it answers, and rejects while it does not. */
  readonly ready: () => Promise<unknown>;
}

const READY_MS = 60_000;
const LOOK_MS = 20;

export class Daemon {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #log: string;

  private constructor(child: Deno.ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
    this.pid = child.pid;
  }

  static async start({ command, args, env = {}, dir, ready }: DaemonOptions): Promise<Daemon> {
    const log = `${dir}/log`;
    // A shell of its own sends the output to a file: nobody would read a pipe while the tests run.
    const script = `exec "$0" "$@" >>"${log}" 2>&1`;
    const child = new Deno.Command("sh", {
      args: ["-c", script, command, ...args],
      cwd: dir,
      env: { ...env, PATH: `${Deno.env.get("PATH")}:/usr/sbin:/sbin` },
      stdin: "null",
      detached: true,
    }).spawn();
    const daemon = new Daemon(child, log);
    try {
      await daemon.#until(ready);
      return daemon;
    } catch (error) {
      daemon.kill("SIGKILL");
      throw error;
    }
  }

  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended.
    }
  }

  get ended(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /** Tells it to end, and ends what is left of it when it does not. */
  async stop(signal: Deno.Signal = "SIGTERM", patienceMs = 10_000): Promise<void> {
    const family = familyOf(this.pid);
    this.kill(signal);
    const late = setTimeout(() => this.kill("SIGKILL"), patienceMs);
    await this.ended;
    clearTimeout(late);
    const pids = new Set(processes().map(({ pid, command }) => `${pid} ${command}`));
    for (const { pid, command } of family) if (pids.has(`${pid} ${command}`)) Deno.kill(pid, "SIGKILL");
  }

  async #until(ready: () => Promise<unknown>): Promise<void> {
    let over: Deno.CommandStatus | null = null;
    this.ended.then((status) => over = status);
    const deadline = performance.now() + READY_MS;
    for (;;) {
      const failure = await ready().then(() => null, (error) => error);
      if (failure === null) return;
      if (over !== null || performance.now() > deadline) throw await this.#notReady(failure);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  async #notReady(failure: unknown): Promise<Error> {
    const said = await Deno.readTextFile(this.#log).catch(() => "");
    return new Error(`It did not come up: ${failure}\n${said.slice(-2_000)}`);
  }
}

/** Runs a command to its end; its output, or an error that holds it. */
export async function command(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    env: { PATH: `${Deno.env.get("PATH")}:/usr/sbin:/sbin` },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (success) return text(stdout);
  throw new Error(`Cannot run ${program} ${args.join(" ")}: ${text(stderr).trim()}`);
}

/** The same, where failing is nothing to speak of. */
export const attempt = (program: string, ...args: string[]): Promise<void> =>
  command(program, ...args).then(() => {}, () => {});
