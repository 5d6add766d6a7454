/** Daemons that tests start: each in a folder of its own, waited for until it answers, and cleaned up after whatever happens. */

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
const PATH = `${Deno.env.get("PATH")}:/usr/sbin:/sbin`;

export class Daemon {
  readonly #child: Deno.ChildProcess;
  readonly #log: string;

  private constructor(child: Deno.ChildProcess, log: string) {
    this.#child = child;
    this.#log = log;
  }

  static async start({ command, args, env = {}, dir, ready }: DaemonOptions): Promise<Daemon> {
    const log = `${dir}/log`;
    // Its output goes to a file, since nobody would read a pipe while the tests run; and its folder knows its pid.
    const script = `echo $$ >"${dir}/pid"; exec "$0" "$@" >>"${log}" 2>&1`;
    const child = new Deno.Command("sh", {
      args: ["-c", script, command, ...args],
      cwd: dir,
      env: { ...env, PATH },
      stdin: "null",
      detached: true,
    }).spawn();
    const daemon = new Daemon(child, log);
    await daemon.#until(ready);
    return daemon;
  }

  async kill(signal: Deno.Signal = "SIGKILL"): Promise<void> {
    this.#child.kill(signal);
    await this.#child.status;
  }

  async #until(ready: () => Promise<unknown>): Promise<void> {
    let isOver = false;
    this.#child.status.then(() => isOver = true);
    const deadline = performance.now() + READY_MS;
    for (;;) {
      const failure = await ready().then(() => null, (error) => error);
      if (failure === null) return;
      if (isOver || performance.now() > deadline) throw await this.#notReady(failure);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  async #notReady(failure: unknown): Promise<Error> {
    const said = await Deno.readTextFile(this.#log).catch(() => "");
    return new Error(`It did not come up: ${failure}\n${said.slice(-2_000)}`);
  }
}

/** Ends the daemon of a folder, and what else was started from there. The pid of one that was killed may be another's by now. */
const endDaemon = (dir: string): string => `
  pid=$(cat "${dir}/pid"); [ "$(readlink "/proc/$pid/fd/1")" = "${dir}/log" ] && kill "$pid" || pid=none
  for i in $(seq 200); do grep -q . "/proc/$pid/cmdline" || break; sleep 0.05; done
  for p in $(grep -al "${dir}" /proc/[0-9]*/cmdline); do p=\${p#/proc/}; p=\${p%/cmdline}; [ "$p" = $$ ] || kill -9 "$p"; done`;

const removeFolder = (dir: string): string => `
  grep "${dir}" /proc/mounts | cut -d" " -f2 | sort -r | xargs -r -n1 umount -l
  rm -rf "${dir}"`;

/**
 * Cleans up when it is told to, or when this process is gone, however it went: a shell that waits for the end of its input.
 */
export class Guard {
  readonly #shell: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  /** @param dirs of daemons, to end; @param remove folder to remove then; @param before what to do first, in shell */
  constructor(dirs: readonly string[], remove: string, before = "") {
    const script = ["cat >/dev/null", before, ...dirs.map(endDaemon), removeFolder(remove)].join("\n");
    this.#shell = new Deno.Command("sh", {
      args: ["-s"],
      env: { PATH },
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    this.#input = this.#shell.stdin.getWriter();
    this.#input.write(new TextEncoder().encode(`guard() {\n${script}\n}\nguard\n`));
  }

  async clean(): Promise<void> {
    await this.#input.close();
    await this.#shell.status;
  }
}

/** Runs a command to its end; its output, or an error that holds it. */
export async function command(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env: { PATH }, stdin: "null" })
    .output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (success) return text(stdout);
  throw new Error(`Cannot run ${program} ${args.join(" ")}: ${text(stderr).trim()}`);
}
