/** One container: created, started, watched to its end. */
import type { Clock, Random } from "../../../sdk/ports.ts";
import { isExiting, kill, nameProcess, processesWith, safely, startedAt } from "../../../sdk/proc.ts";
import { backoffMs } from "../../api.ts";
import type { ExecCommand } from "../../../sdk/protocol.ts";
import type { Channel, Exec, GuestExit, Spawn, Usage } from "../../engine.ts";
import { StartError } from "../../engine.ts";
import type { Attached } from "./attach.ts";
import { type Meters, metersOf } from "./cgroup.ts";
import type { ContainerState, OciClient } from "./client.ts";
import type { Network } from "./egress.ts";
import { exitOf, GONE } from "./exit.ts";
import { execIn } from "./exec.ts";
import { type Folder, INSIDE } from "./folder.ts";
import { verifyGpus } from "./gpus.ts";
import { EngineRefused } from "./http.ts";
import { ranOutOfMemory } from "./kernel.ts";
import { Printed } from "./printed.ts";
import type { Sandbox } from "./sandbox.ts";

export interface ProgramDeps {
  readonly client: OciClient;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly random: Random;
}

/** A container that was created, and what it is started with. */
export interface Own {
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly folder: Folder;
  readonly network: Pick<Network, "seal" | "enter">;
}

/** An engine that stays away this long after a kill is believed to have heard of it. */
const KILL_MS = 10_000;
/** Its pipes are closed a moment before its first process has ended. */
const ENDING_MS = 10;
const LOOK_MS = 250;
const STDERR_MAX = 4_000;
const SIGKILL = 137;

export class Program {
  readonly id: string;
  readonly folder: Folder;
  readonly attached: Attached;
  readonly printed: Printed;
  readonly exited: Promise<GuestExit>;
  /** Its address on the network of its engine; null where it has none. */
  readonly address: string | null;
  channel!: Channel;
  readonly #deps: ProgramDeps;
  readonly #sandbox: Sandbox;
  /** Its first process, as this machine counts. */
  readonly pid: number;
  readonly #startedAt: number | null;
  readonly #meters: Meters;
  #execs = 0;
  #killedAt = Infinity;
  #isOver = false;

  private constructor(
    deps: ProgramDeps,
    own: Pick<Program, "id" | "pid" | "address" | "folder" | "attached" | "printed"> & { sandbox: Sandbox },
  ) {
    this.#deps = deps;
    this.id = own.id;
    this.folder = own.folder;
    this.address = own.address;
    this.attached = own.attached;
    this.printed = own.printed;
    this.#sandbox = own.sandbox;
    this.pid = own.pid;
    this.#startedAt = startedAt(own.pid);
    this.#meters = metersOf(own.pid);
    this.exited = this.#watch().finally(() => this.#isOver = true);
  }

  /** Starts one and waits for its guest to connect. Nothing else can connect after it: the socket takes one. What a failure leaves is the caller's. */
  static async launch(deps: ProgramDeps, own: Own & { readonly signal: AbortSignal }): Promise<Program> {
    const listener = await own.folder.listen();
    try {
      const program = await Program.start(deps, own);
      await program.#connected(listener, own.signal);
      return program;
    } finally {
      listener.close();
    }
  }

  /** Starts one that knows nothing of guests. */
  static async start(deps: ProgramDeps, { id, sandbox, folder, network }: Own): Promise<Program> {
    const { client } = deps;
    const printed = new Printed(deps);
    const attached = await client.attach(id, { marked: printed }); // before the start, so that nothing is missed
    try {
      await client.start(id);
      network.seal();
      const state = await client.inspect(id);
      const pid = state?.State.Pid ?? 0;
      nameProcess(`${folder.dir}/pid`, pid);
      printed.begin(pid);
      await network.enter(pid);
      await verifyGpus(pid, sandbox.gpus);
      return new Program(deps, { id, pid, address: addressOf(state), folder, attached, printed, sandbox });
    } catch (error) {
      attached.close();
      throw error;
    }
  }

  /** Takes over one that runs. Its guest, if it has one of ours, waits for that; commands that ran beside it have nobody any more. */
  static async adopt(
    deps: ProgramDeps,
    { id, sandbox, folder, hasGuest }: Omit<Own, "network"> & { readonly hasGuest: boolean },
  ): Promise<Program> {
    for (const pid of processesWith(`BERTH_EXEC=${folder.dir}/`)) kill(pid);
    await folder.emptySpool();
    const printed = new Printed(deps);
    const attached = await deps.client.attach(id, { marked: printed });
    try {
      const state = await deps.client.inspect(id);
      const pid = state?.State.Pid ?? 0;
      if (pid === 0) throw new StartError("It has ended meanwhile");
      printed.begin(pid);
      const channel = hasGuest ? await Deno.connect({ transport: "unix", path: folder.door }) : null;
      const own = { id, pid, address: addressOf(state), folder, attached, printed, sandbox };
      const program = new Program(deps, own);
      if (channel !== null) program.channel = channel;
      return program;
    } catch (error) {
      attached.close();
      throw error;
    }
  }

  async #connected(listener: Deno.Listener, signal: AbortSignal): Promise<void> {
    const stop = () => this.kill();
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop);
    try {
      const channel = await Promise.race([listener.accept(), this.exited.then(() => null)]);
      if (channel === null) throw await this.#notConnected(signal);
      this.channel = channel;
    } catch (error) {
      this.attached.close();
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  async #notConnected(signal: AbortSignal): Promise<StartError> {
    if (signal.aborted) return new StartError("It was stopped while it started");
    const { code, signal: by, known } = await this.exited;
    const { stdout, stderr } = this.attached;
    const [said] = await Promise.all([new Response(stderr).text(), stdout.pipeTo(new WritableStream())]);
    return new StartError(
      `The container ended before it connected (${known?.message ?? by ?? `exit code ${code}`}): ${
        said.trim().slice(-STDERR_MAX)
      }`,
    );
  }

  usage(): Usage | null {
    return this.#isOver ? null : this.#meters?.() ?? null;
  }

  /** Runs a command beside its guest. @param more of the environment, which the guest was told of after its start */
  exec(command: ExecCommand, more: Sandbox["env"]): Promise<Exec> {
    const { id, folder } = this;
    const env = { ...this.#sandbox.env, ...more };
    const tag = `${folder.dir}/${this.#execs++}`;
    const runs = () => this.#startedAt === null || this.runs && !isExiting(this.pid);
    return execIn(this.#deps, { id, workdir: INSIDE.app, env, tag, runs }, command);
  }

  /** Asks its program to end, by way of the first process. */
  terminate(): void {
    this.#signal("SIGTERM");
  }

  /** Kills all of it: the kernel ends a container whose first process ends. The engine is asked too, where we may not. */
  kill(): void {
    if (this.#isOver) return;
    this.#killedAt = Math.min(this.#killedAt, this.#deps.clock.now());
    this.#signal("SIGKILL");
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    const sent = this.runs && safely(() => (Deno.kill(this.pid, signal), true));
    if (!sent) this.#deps.client.kill(this.id, signal).catch(() => {}); // an engine that is away is no reason to wait
  }

  /** Whether its first process runs. */
  get runs(): boolean {
    return this.#startedAt !== null && startedAt(this.pid) === this.#startedAt;
  }

  #isGone(): boolean {
    return !this.runs || this.#deps.clock.now() > this.#killedAt + KILL_MS;
  }

  /**
   * Resolves when it has ended. The engine is not asked before: Podman would look every 250 ms then, for each container, and that takes
   * a tenth of a core. True when the engine went away while it ran.
   */
  async #untilOver(): Promise<boolean> {
    const { clock } = this.#deps;
    const closed = new AbortController();
    this.attached.ended.then(() => closed.abort());
    while (!closed.signal.aborted && !this.#isGone()) await clock.sleep(LOOK_MS, closed.signal);
    let looks = 0;
    for (; !this.#isGone(); looks++) await clock.sleep(looks === 0 ? ENDING_MS : LOOK_MS);
    return looks > 2;
  }

  /** An engine that is away does not end a container: it may come back and know it still. */
  async #watch(): Promise<GuestExit> {
    const { client, clock } = this.#deps;
    const bereft = await this.#untilOver();
    for (let failures = 0;; failures++) {
      try {
        const code = await client.wait(this.id);
        return await this.#explain(code, bereft || failures > 0);
      } catch (error) {
        if (error instanceof EngineRefused && error.status === 404) return GONE;
        if (failures > 0 && this.#isGone()) return exitOf(this.#ended(SIGKILL, false, true));
        await clock.sleep(backoffMs(failures));
      }
    }
  }

  async #explain(code: number, bereft: boolean): Promise<GuestExit> {
    const state = await this.#deps.client.inspect(this.id);
    if (state === null) return GONE;
    const outOfMemory = await this.#ranOut(code, state.State.OOMKilled);
    return exitOf(this.#ended(code, outOfMemory, bereft));
  }

  /** Where many run out at once the kernel does not log each: what the engine says of a killed one is believed. */
  async #ranOut(code: number, said: boolean): Promise<boolean> {
    if (code === SIGKILL ? said : !said) return said;
    return await ranOutOfMemory(this.#deps.spawn, this.id) ?? said;
  }

  #ended(code: number, outOfMemory: boolean, bereft: boolean) {
    return { code, outOfMemory, bereft, memoryMiB: this.#sandbox.memoryMiB };
  }
}

function addressOf(state: ContainerState | null): string | null {
  const networks = Object.values(state?.NetworkSettings?.Networks ?? {});
  return networks.map(({ IPAddress }) => IPAddress).find((address) => address) ?? null;
}
