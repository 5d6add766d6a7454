/**
 * Nodes on this machine: each a runner process with a folder of its own, `FOLDER/PROVISION`, which holds what the runner keeps (in
 * `runner.pid` it names its process), its `log`, and `devices`, the GPUs that it was dealt. The processes outlive this one when
 * it is killed, and are found again by their folders.
 */
import { join } from "node:path";
import { formatGpuList } from "../../sdk/gpu_list.ts";
import type { Clock, Log } from "../../sdk/ports.ts";
import { kill, namedProcess, processesWith, startedAt } from "../../sdk/proc.ts";
import type { LocalConfig } from "../../sdk/protocol.ts";
import type { Machine, Order, Provider } from "./provider.ts";

export interface LocalOptions {
  /** Where the nodes' folders are. */
  readonly folder: string;
  /** The api, as runners take it: `unix:/PATH` or a URL. */
  readonly api: () => string;
  /** Path of `runner/main.ts`. */
  readonly runner: string;
  /** For the runners, beside what they are given here. */
  readonly env: Readonly<Record<string, string>>;
  readonly clock: Clock;
  readonly log: Log;
}

/** What runs may end, is told to, and is killed: a runner takes about 10 s at most. */
const STOP_MS = 20_000;
const STOP_STEP_MS = 20;
/** Of a log, what is told of an end. */
const TAIL_BYTES = 2_000;
const MESSAGE_MAX = 300;
/** Ours, and no business of what runs on nodes. */
const PRIVATE = /^(BERTH_|DATABASE_URL$|S3_|AWS_)/;

/** Names the node of a process in its environment. */
const MARK = "BERTH_NODE";

export class LocalProvider implements Provider {
  readonly #options: LocalOptions;
  /** Started by this process, and not known to have ended. */
  readonly #children = new Map<string, Deno.ChildProcess>();
  /** When each was told to stop. */
  readonly #stopping = new Map<string, number>();
  #closed = false;
  #changed = (): void => {};

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  async list(): Promise<Machine[]> {
    this.#refuseIfClosed();
    return await Promise.all((await this.#provisions()).map((provision) => this.#look(provision)));
  }

  async start(order: Order): Promise<string> {
    this.#refuseIfClosed();
    if (startedAt(Deno.pid) === null) throw new Error("nodes on this machine need /proc, as on Linux");
    const dir = this.#dir(order.provision);
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    const pid = this.#pidOf(order.provision) ?? this.#spawn(order, await this.#deal(order));
    return name(pid, dir);
  }

  async stop({ provision }: Machine): Promise<void> {
    const pid = this.#pidOf(provision);
    if (pid === null) return await this.#clear(provision);
    const now = this.#options.clock.now();
    const since = this.#stopping.get(provision);
    if (since === undefined) {
      this.#stopping.set(provision, now);
      kill(pid, "SIGTERM");
    } else if (now - since >= STOP_MS) kill(pid);
  }

  watch(changed: () => void): void {
    this.#changed = changed;
  }

  /** Stops all nodes, and starts none any more: this machine goes down. What is left of them is cleared away at the next start. */
  async close(): Promise<void> {
    this.#closed = true;
    const { clock } = this.#options;
    const provisions = await this.#provisions();
    const alive = () => provisions.flatMap((provision) => this.#pidOf(provision) ?? []);
    for (const pid of alive()) kill(pid, "SIGTERM");
    for (const end = clock.now() + STOP_MS; alive().length > 0 && clock.now() < end;) {
      await clock.sleep(STOP_STEP_MS);
    }
    for (const pid of alive()) kill(pid);
  }

  /** Ends all nodes without ceremony. */
  kill(): void {
    for (const child of this.#children.values()) kill(child.pid);
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new Error("Cannot keep nodes on this machine: it goes down");
  }

  #dir = (provision: string): string => join(this.#options.folder, provision);

  async #provisions(): Promise<string[]> {
    const entries = await Array.fromAsync(Deno.readDir(this.#options.folder)).catch(() => []);
    return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name).sort();
  }

  async #look(provision: string): Promise<Machine> {
    const dir = this.#dir(provision);
    const pid = this.#pidOf(provision);
    if (pid !== null) return { provision, external: name(pid, dir), state: "there", message: "" };
    return { provision, external: dir, state: "gone", message: await lastWords(join(dir, "log")) };
  }

  /** The process of a node: as it names itself, or, before it has come to that, as we started it. */
  #pidOf(provision: string): number | null {
    const dir = this.#dir(provision);
    const child = this.#children.get(provision);
    return namedProcess(join(dir, "runner.pid")) ?? child?.pid ?? processesWith(`${MARK}=${dir}\0`)[0] ??
      null;
  }

  #spawn(order: Order, devices: readonly string[]): number {
    const { clock: _clock, log, env, api, runner } = this.#options;
    const dir = this.#dir(order.provision);
    const kept = Object.entries(env).filter(([name]) => !PRIVATE.test(name));
    const child = new Deno.Command("/bin/sh", {
      // The shell gives way to the runner at once: its output must go to a file that outlives us.
      args: [
        "-c",
        `exec "$0" "$@" >>"$${MARK}/log" 2>&1`,
        Deno.execPath(),
        "run",
        "--quiet",
        "-A",
        runner,
        ...flags(order, dir),
      ],
      env: {
        ...Object.fromEntries(kept),
        NO_COLOR: "1",
        [MARK]: dir,
        BERTH_API: api(),
        BERTH_JOIN_TOKEN: order.token,
        CUDA_VISIBLE_DEVICES: devices.join(","),
      },
      clearEnv: true,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    child.unref();
    this.#children.set(order.provision, child);
    child.status.then(({ code, signal }) => {
      this.#children.delete(order.provision);
      this.#changed();
      log("machine.ended", { provision: order.provision, code, ...(signal === null ? {} : { signal }) });
    });
    return child.pid;
  }

  /** GPUs of this machine that no other node has, as many as a node of the pool has; none for a pool that simulates them. */
  async #deal({ provision, config, shape }: Order): Promise<readonly string[]> {
    const { devices = [] } = config as LocalConfig;
    if (devices.length === 0) return [];
    const dealt = new Set(await this.#dealt());
    const own = devices.filter((device) => !dealt.has(device)).slice(0, shape.gpus.length);
    if (own.length < shape.gpus.length) {
      throw new Error(`all GPUs of this machine that the pool may use are dealt out: ${devices.join(", ")}`);
    }
    await Deno.writeTextFile(join(this.#dir(provision), "devices"), own.join("\n"));
    return own;
  }

  async #dealt(): Promise<string[]> {
    const files = (await this.#provisions()).map((provision) => join(this.#dir(provision), "devices"));
    const texts = await Promise.all(files.map((file) => Deno.readTextFile(file).catch(() => "")));
    return texts.flatMap((text) => text.split("\n")).filter((device) => device !== "");
  }

  /** What a runner that was killed has left running is ended by another that does only that; then the folder goes. */
  async #clear(provision: string): Promise<void> {
    const dir = this.#dir(provision);
    if (await exists(join(dir, "runner.pid"))) {
      const { runner, env } = this.#options;
      const args = ["run", "--quiet", "-A", runner, "--sweep", "--api", "none", "--data", dir];
      await new Deno.Command(Deno.execPath(), {
        args,
        env: { ...env },
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).output();
    }
    await Deno.remove(dir, { recursive: true }).catch(ifGone);
    this.#stopping.delete(provision);
  }
}

const name = (pid: number, dir: string): string => `process ${pid} in ${dir}`;

const flags = ({ provision, pool, shape, config }: Order, dir: string): string[] => {
  const { devices, poolSize } = config as LocalConfig;
  return [
    ...[
      "--data",
      dir,
      "--pool",
      pool,
      "--name",
      `${pool}-${provision.slice(-6)}`,
      "--parent-pid",
      String(Deno.pid),
    ],
    ...[
      "--cpu",
      String(shape.cpuMilli / 1000),
      "--memory",
      String(shape.memoryMiB),
      "--disk",
      String(shape.diskMiB),
    ],
    ...["--labels", JSON.stringify(shape.labels)],
    ...(devices === undefined && shape.gpus.length > 0 ? ["--simulate-gpus", formatGpuList(shape.gpus)] : []),
    ...(poolSize === undefined ? [] : ["--pool-size", String(poolSize)]),
  ];
};

/** What is at the end of a log that is no event: an error that ended the runner. Its first line says it. */
async function lastWords(file: string): Promise<string> {
  const text = await Deno.readTextFile(file).catch(() => "");
  const lines = text.slice(-TAIL_BYTES).trim().split("\n");
  const words = lines.slice(lines.findLastIndex((line) => line.startsWith("{")) + 1);
  return (words[0] ?? "").slice(0, MESSAGE_MAX);
}

const exists = (path: string): Promise<boolean> => Deno.lstat(path).then(() => true, () => false);

function ifGone(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
