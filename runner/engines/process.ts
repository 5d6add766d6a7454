/**
 * The process engine: guests are plain subprocesses of this machine. Deno guests have only the permissions that their function
 * declares; Python guests have those of the runner's user. For development and machines of one trusting team.
 */
import { setImmediate } from "node:timers";
import type { Assignment, FunctionSpec, Gpu } from "../../sdk/protocol.ts";
import type { Clock, Log } from "../../sdk/ports.ts";
import { nameProcess } from "../../sdk/proc.ts";
import { type BundleCache, copyBundle, type Unpacked } from "../cache.ts";
import {
  type Channel,
  type Child,
  type Command,
  type Engine,
  type Guest,
  type Spawn,
  type StartContext,
  StartError,
} from "../engine.ts";
import { Pool } from "../pool.ts";
import { usageOf } from "../proc.ts";
import type { Slots } from "../slots.ts";
import {
  declaresNothing,
  denoArgs,
  type DenoLimits,
  type GuestPaths,
  limitsOf,
  type SlotPaths,
  withEgress,
} from "./deno_args.ts";
import { gangEnv, gpuEnv, guestEnv } from "./environment.ts";
import type { Installs } from "./installs.ts";

export interface ProcessEngineDeps {
  readonly spawn: Spawn;
  readonly slots: Slots;
  readonly cache: BundleCache;
  readonly installs: Installs;
  readonly clock: Clock;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
  readonly paths: GuestPaths;
  /** `guest.py`. */
  readonly pythonGuest: string;
  readonly deno: string;
  readonly denoDir: string;
  /** The runner's own environment, of which guests see a named part. */
  readonly env: Readonly<Record<string, string>>;
  /** Guests kept started for functions that declare no permissions. */
  readonly poolSize: number;
}

/** A guest that has connected. */
interface Program {
  readonly slot: SlotPaths;
  readonly child: Child;
  readonly channel: Channel;
  readonly mayFork: boolean;
  readonly ended: Promise<unknown>;
  discard(): void;
}

/** Memory of prestarted guests, MiB: functions that may use more start afresh. */
const POOL_MEMORY = 512;
const STDERR_MAX = 4_000;

export class ProcessEngine implements Engine {
  readonly #deps: ProcessEngineDeps;
  readonly #pool: Pool<Program>;

  constructor(deps: ProcessEngineDeps) {
    this.#deps = deps;
    const { poolSize: size, clock, log } = deps;
    this.#pool = new Pool({ size, clock, log, make: (signal) => this.#prestart(signal) });
  }

  async start(assignment: Assignment, context: StartContext): Promise<Guest> {
    const { cache } = this.#deps;
    const bundle = await cache.get(assignment.bundle, () => context.bundle(assignment.bundle));
    const pooled = this.#poolable(assignment) ? this.#pool.take() : null;
    if (pooled === null) return await this.#startFresh(assignment, bundle, context);
    await copyBundle(bundle, appFolder(pooled.slot));
    return this.#guest(pooled, assignment.spec);
  }

  settled(): void {
    this.#pool.fill();
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  /** Prestarted guests know nothing of the function: neither permissions nor variables nor GPUs can be added. */
  #poolable({ spec, external, gpus, gang }: Assignment): boolean {
    const simulated = gpus.every(({ index }) =>
      this.#deps.gpus.find((gpu) => gpu.index === index)?.simulated
    );
    return spec.body === "ts" && spec.image === undefined && declaresNothing(spec.permissions) &&
      Object.keys(spec.env).length === 0 &&
      external.length === 0 && spec.memory <= POOL_MEMORY && simulated && gang === undefined;
  }

  async #startFresh(assignment: Assignment, bundle: Unpacked, { signal, say }: StartContext): Promise<Guest> {
    const { spec, external } = assignment;
    refuseUnhonoured(spec);
    const slot = await this.#deps.slots.create();
    try {
      await this.#deps.installs.external(external, say);
      const command = await this.#command(assignment, slot, say);
      if (spec.body === "python") await copyBundle(bundle, appFolder(slot)); // its working folder must be there
      const [program] = await Promise.all([
        this.#launch(slot, command, { mayFork: mayFork(spec), signal }),
        spec.body === "ts" ? copyBundle(bundle, appFolder(slot)) : null,
      ]);
      return this.#guest(program, spec);
    } catch (error) {
      await this.#deps.slots.remove(slot);
      throw error;
    }
  }

  async #command(
    { spec, gpus, external, gang }: Assignment,
    slot: SlotPaths,
    say: (text: string) => void,
  ): Promise<Command> {
    const env = guestEnv(this.#deps.env, {
      slot: slot.dir,
      denoDir: this.#deps.denoDir,
      declared: spec.env,
      gpus: gpuEnv(gpus, this.#deps.gpus),
      gang: gangEnv(gang),
    });
    if (spec.body === "ts") {
      const limits = limitsOf({ ...spec, permissions: withEgress(spec) }, external.length > 0);
      return this.#denoCommand(slot, limits, env);
    }
    const command = await this.#deps.installs.python(spec.requirements, say);
    return { command, args: [this.#deps.pythonGuest], cwd: appFolder(slot), env };
  }

  #denoCommand(slot: SlotPaths, limits: DenoLimits, env: Readonly<Record<string, string>>): Command {
    const { deno, paths } = this.#deps;
    return { command: deno, args: denoArgs(paths, slot, limits), cwd: slot.dir, env };
  }

  async #prestart(signal: AbortSignal): Promise<Program> {
    const { env: own, denoDir, slots } = this.#deps;
    const slot = await slots.create();
    const env = guestEnv(own, { slot: slot.dir, denoDir, declared: {}, gpus: gpuEnv([], []), gang: {} });
    const command = this.#denoCommand(slot, {
      permissions: {},
      env: [],
      memory: POOL_MEMORY,
      external: false,
    }, env);
    try {
      return await this.#launch(slot, command, { mayFork: false, signal });
    } catch (error) {
      await slots.remove(slot);
      throw error;
    }
  }

  /** Starts a program and waits for it to connect. Nothing else can connect after it: the socket takes one. */
  async #launch(slot: SlotPaths, command: Command, { mayFork, signal }: LaunchOptions): Promise<Program> {
    const listener = Deno.listen({ transport: "unix", path: slot.control });
    const child = this.#deps.spawn.start(command);
    nameProcess(`${slot.dir}/pid`, child.pid);
    const kill = () => child.kill();
    signal.addEventListener("abort", kill);
    try {
      const channel = await Promise.race([listener.accept(), child.exited.then(() => null)]);
      if (channel === null) throw await notConnected(child, signal);
      const discard = () => {
        child.kill();
        this.#deps.slots.remove(slot);
      };
      return { slot, child, channel, mayFork, ended: child.exited, discard };
    } finally {
      signal.removeEventListener("abort", kill);
      listener.close();
    }
  }

  #guest({ slot, child, channel, mayFork }: Program, spec: FunctionSpec): Guest {
    return {
      channel,
      stdout: child.stdout,
      stderr: child.stderr,
      exited: child.exited,
      path: spec.body === "ts" ? `${appFolder(slot)}/app.js` : appFolder(slot),
      address: slot.http,
      spool: slot.dir,
      settle,
      usage: () => usageOf(child.pid, mayFork),
      kill: () => child.kill(),
      release: () => this.#deps.slots.remove(slot),
    };
  }
}

interface LaunchOptions {
  readonly mayFork: boolean;
  readonly signal: AbortSignal;
}

/** Two rounds of the event loop: one polls the pipes, one hands on what was in them. A timer would take a hundred times longer. */
async function settle(): Promise<void> {
  for (let round = 0; round < 2; round++) await new Promise<void>((resolve) => setImmediate(resolve));
}

const appFolder = (slot: SlotPaths): string => `${slot.dir}/app`;

/** What takes a container. */
function refuseUnhonoured({ body, image, egress }: FunctionSpec): void {
  if (image !== undefined) {
    throw new StartError(`Cannot run image ${image.ref}: this node has no container engine`);
  }
  if (egress !== "open" && body === "python") {
    throw new StartError(
      "Cannot restrict the egress of a Python function: it takes a node with a container engine",
    );
  }
}

const mayFork = ({ body, permissions: { run, ffi } }: FunctionSpec): boolean =>
  body === "python" || run !== undefined && run !== false || ffi !== undefined && ffi !== false;

async function notConnected(child: Child, signal: AbortSignal): Promise<StartError> {
  if (signal.aborted) return new StartError("It was stopped while it started");
  const [{ code, signal: by }, stderr] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  return new StartError(
    `The process ended before it connected (${by ?? `exit code ${code}`}): ${
      stderr.trim().slice(-STDERR_MAX)
    }`,
  );
}
