/**
 * The process engine: guests are plain subprocesses of this machine. Deno guests have only the permissions that their function
 * declares; Python guests have those of the runner's user. For development and machines of one trusting team.
 */
import { setImmediate } from "node:timers";
import type { Assignment, DeliveredSecret, FunctionSpec, Gpu } from "../../sdk/protocol.ts";
import type { Clock, Log } from "../../sdk/ports.ts";
import { nameProcess } from "../../sdk/proc.ts";
import { type BundleCache, copyBundle, type Unpacked } from "../cache.ts";
import {
  type Channel,
  type Child,
  type Command,
  type Engine,
  type Guest,
  type Remains,
  type Spawn,
  type StartContext,
  StartError,
} from "../engine.ts";
import { WAIT } from "../frames.ts";
import { Pool } from "../pool.ts";
import { usageOf } from "../proc.ts";
import { writeSecretFiles } from "../secret_files.ts";
import { secretEnv } from "../secrets.ts";
import type { Slots } from "../slots.ts";
import { type PlacedVolume, placesOf, type Volumes } from "../volumes.ts";
import {
  declaresNothing,
  denoArgs,
  type DenoLimits,
  type GuestPaths,
  limitsOf,
  type SlotPaths,
  withEgress,
  withVolumes,
} from "./deno_args.ts";
import { gangEnv, gpuEnv, type GuestEnv, guestEnv, npmRegistry, volumeEnv } from "./environment.ts";
import { ForkServers, type Launched } from "./fork_servers.ts";
import { refuseUnhonoured } from "./honoured.ts";
import type { Installs } from "./installs.ts";
import { execIn, type Surroundings } from "./process_exec.ts";
import { appFolder, layScratch, scratchEnv, scratchOf, withScratch } from "./process_scratch.ts";
import { placeOf, Ports, startServer } from "./process_server.ts";

export interface ProcessEngineDeps {
  readonly spawn: Spawn;
  readonly slots: Slots;
  readonly cache: BundleCache;
  readonly installs: Installs;
  readonly clock: Clock;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
  readonly volumes: Pick<Volumes, "open">;
  readonly paths: GuestPaths;
  /** `guest.py`. */
  readonly pythonGuest: string;
  readonly deno: string;
  readonly denoDir: string;
  /** The runner's own environment, of which guests see a named part. */
  readonly env: Readonly<Record<string, string>>;
  /** Guests kept started for functions that declare no permissions. */
  readonly poolSize: number;
  /** The network interface at which other nodes reach this one. @default unknown */
  readonly nic?: string | null;
}

/** A guest that has connected. */
interface Program {
  readonly slot: SlotPaths;
  readonly child: Child;
  readonly channel: Channel;
  readonly mayFork: boolean;
  readonly env: Command["env"];
  readonly ended: Promise<unknown>;
  discard(): void;
}

/** Memory of prestarted guests, MiB: functions that may use more start afresh. */
const POOL_MEMORY = 512;
const STDERR_MAX = 4_000;

export class ProcessEngine implements Engine {
  readonly #deps: ProcessEngineDeps;
  readonly #pool: Pool<Program>;
  readonly #forks: ForkServers;
  readonly #ports = new Ports();
  #execs = 0;

  constructor(deps: ProcessEngineDeps) {
    this.#deps = deps;
    const { poolSize: size, clock, log } = deps;
    this.#pool = new Pool({ size, clock, log, make: (signal) => this.#prestart(signal) });
    this.#forks = new ForkServers({ spawn: deps.spawn, launch: (command) => this.#launchServer(command) });
  }

  async start(assignment: Assignment, given: StartContext): Promise<Guest> {
    refuseUnhonoured(assignment.spec);
    const { cache } = this.#deps;
    const bundle = await cache.get(assignment.bundle, given);
    const opened = await this.#deps.volumes.open(assignment.volumes);
    const context = { ...given, volumes: opened.map((one) => ({ ...one, place: one.folder })) };
    if (assignment.spec.server !== undefined) return await this.#startServer(assignment, bundle, context);
    const pooled = this.#poolable(assignment) ? this.#pool.take() : null;
    if (pooled === null) return await this.#startFresh(assignment, bundle, context);
    await copyBundle(bundle, appFolder(pooled.slot));
    return this.#guest(pooled, assignment.spec);
  }

  settled(): void {
    this.#pool.fill();
  }

  /** Prestarted guests that have connected and wait for code. */
  get prestarted(): number {
    return this.#pool.size;
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool.close(), this.#forks.close()]);
  }

  /** Prestarted guests know nothing of the function: neither permissions nor variables nor GPUs can be added. */
  #poolable({ spec, external, gpus, gang, volumes }: Assignment): boolean {
    const simulated = gpus.every(({ index }) =>
      this.#deps.gpus.find((gpu) => gpu.index === index)?.simulated
    );
    return spec.body === "ts" && spec.image === undefined && declaresNothing(spec.permissions) &&
      Object.keys(spec.env).length === 0 &&
      spec.secrets.length === 0 && external.length === 0 && spec.memory <= POOL_MEMORY && spec.disk === 0 &&
      simulated &&
      gang === undefined && volumes.length === 0;
  }

  async #startFresh(assignment: Assignment, bundle: Unpacked, context: Terms): Promise<Guest> {
    const { spec, external } = assignment;
    const { signal, secrets, volumes, say } = context;
    const slot = await this.#deps.slots.create();
    const over = Promise.withResolvers<unknown>();
    try {
      await layScratch(spec, slot);
      await this.#deps.installs.external(external, say);
      const command = await this.#command(assignment, slot, { ...context, over: over.promise });
      await writeSecretFiles(secrets, secretFolderOf(slot));
      if (spec.body === "python") await copyBundle(bundle, appFolder(slot)); // its working folder must be there
      const [program] = await Promise.all([
        this.#launch(slot, () => this.#begin(spec, command, say), {
          mayFork: mayFork(spec),
          env: command.env,
          signal,
        }),
        spec.body === "ts" ? copyBundle(bundle, appFolder(slot)) : null,
      ]);
      over.resolve(program.ended);
      return { ...this.#guest(program, spec), volumes: placesOf(volumes) };
    } catch (error) {
      over.resolve(null);
      await this.#deps.slots.remove(slot);
      throw error;
    }
  }

  /** A program of the user's own, which knows neither sockets nor frames of ours. */
  async #startServer(assignment: Assignment, bundle: Unpacked, { secrets, volumes }: Terms): Promise<Guest> {
    const { slots, spawn, clock } = this.#deps;
    const server = assignment.spec.server!;
    const slot = await slots.create();
    try {
      await copyBundle(bundle, appFolder(slot));
      await layScratch(assignment.spec, slot);
      await writeSecretFiles(secrets, secretFolderOf(slot));
      const place = placeOf(server, slot, this.#ports);
      const env = this.#env(assignment, slot, { secrets: secretEnv(secrets), volumes: volumeEnv(volumes) });
      const removeSlot = () => slots.remove(slot);
      const cwd = appFolder(slot);
      const surroundings = { cwd, env: { ...env, ...place.env } };
      const guest = startServer({ server, slot, place, cwd, env, spawn, clock, settle, removeSlot });
      const keep = () => {
        place.release();
        return this.#remains(slot, surroundings);
      };
      const scratch = scratchOf(assignment.spec, slot, spawn);
      return {
        ...guest,
        ...scratch,
        keep,
        exec: this.#execIn(surroundings),
        secretFolder: secretFolderOf(slot),
      };
    } catch (error) {
      await slots.remove(slot);
      throw error;
    }
  }

  #env(
    { spec, gpus, gang, external }: Assignment,
    slot: SlotPaths,
    more: Pick<GuestEnv, "secrets" | "volumes">,
  ): Readonly<Record<string, string>> {
    return guestEnv(this.#deps.env, {
      slot: slot.dir,
      denoDir: this.#deps.denoDir,
      declared: { ...scratchEnv(spec, slot), ...spec.env },
      ...external.length === 0 ? {} : { packages: npmRegistry(this.#deps.env) },
      ...more,
      gpus: gpuEnv(gpus, this.#deps.gpus),
      gang: gangEnv(gang, this.#deps.nic),
    });
  }

  async #command(
    assignment: Assignment,
    slot: SlotPaths,
    { secrets, volumes, say, over }: Terms & { readonly over: Promise<unknown> },
  ): Promise<Command> {
    const { spec, external } = assignment;
    const variables = secretEnv(secrets);
    const env = this.#env(assignment, slot, { secrets: variables, volumes: volumeEnv(volumes) });
    if (spec.body === "ts") {
      const folder = secrets.some(({ as }) => as === "files") ? secretsFolder(slot) : null;
      const limits = limitsOf({ ...spec, permissions: withEgress(spec) }, external.length > 0, {
        variables: Object.keys(variables),
        folder,
      });
      return this.#denoCommand(slot, withScratch(withVolumes(limits, volumes), spec, slot), env);
    }
    const command = await this.#deps.installs.python(spec.requirements, say, over);
    return { command, args: [this.#deps.pythonGuest], cwd: appFolder(slot), env };
  }

  #denoCommand(slot: SlotPaths, limits: DenoLimits, env: Readonly<Record<string, string>>): Command {
    const { deno, paths } = this.#deps;
    return { command: deno, args: denoArgs(paths, slot, limits), cwd: slot.dir, env };
  }

  /** Starts a container's program: forked from one that has its imports, where the function asks for that. */
  async #begin(spec: FunctionSpec, command: Command, say: (text: string) => void): Promise<Child> {
    if (spec.preload.length === 0) return this.#deps.spawn.start(command);
    const modules = spec.preload.join(",");
    const forked = await this.#forks.fork({
      command,
      key: JSON.stringify([command.command, spec.preload, spec.env]),
      server: (slot) => {
        const env = this.#bareEnv(slot, spec.env);
        return { ...command, args: [...command.args, "--preload", modules], cwd: slot, env };
      },
    });
    if (typeof forked !== "string") return forked;
    say(`Starting without preload of ${modules}: ${forked}`);
    return this.#deps.spawn.start(command);
  }

  /** A fork server has a slot like a guest, by which a later runner finds it. */
  async #launchServer(command: (slot: string) => Command): Promise<Launched> {
    const slot = await this.#deps.slots.create();
    const { signal } = new AbortController();
    const { spawn, installs } = this.#deps, asked = command(slot.dir);
    const program = await this.#launch(slot, () => spawn.start(asked), {
      mayFork: true,
      signal,
    }).catch(async (error) => {
      await this.#deps.slots.remove(slot);
      throw error;
    });
    installs.use(asked.command, program.ended);
    for (const stream of [program.child.stdout, program.child.stderr]) drop(stream);
    return program;
  }

  /** The environment of what knows nothing of a container. */
  #bareEnv(slot: string, declared: Readonly<Record<string, string>>) {
    const { env, denoDir } = this.#deps;
    const nothing = { secrets: {}, gpus: gpuEnv([], []), gang: {}, volumes: {} };
    return guestEnv(env, { slot, denoDir, declared, ...nothing });
  }

  async #prestart(signal: AbortSignal): Promise<Program> {
    const { slots } = this.#deps;
    const slot = await slots.create();
    const env = this.#bareEnv(slot.dir, {});
    const command = this.#denoCommand(slot, {
      permissions: {},
      env: [],
      memory: POOL_MEMORY,
      external: false,
    }, env);
    try {
      const options = { mayFork: false, env, signal };
      const program = await this.#launch(slot, () => this.#deps.spawn.start(command), options);
      await program.channel.write(WAIT).catch(() => {}); // one that has ended is found out
      return program;
    } catch (error) {
      await slots.remove(slot);
      throw error;
    }
  }

  /** Starts a program and waits for it to connect. Nothing else can connect after it: the socket takes one. */
  async #launch(slot: SlotPaths, begin: Begin, { mayFork, env, signal }: LaunchOptions): Promise<Program> {
    const listener = Deno.listen({ transport: "unix", path: slot.control });
    let child: Child | undefined;
    const kill = () => child?.kill();
    signal.addEventListener("abort", kill);
    try {
      child = await begin();
      if (signal.aborted) kill();
      nameProcess(`${slot.dir}/pid`, child.pid);
      const channel = await Promise.race([listener.accept(), child.exited.then(() => null)]);
      if (channel === null) throw await notConnected(child, signal);
      const discard = () => {
        kill();
        this.#deps.slots.remove(slot);
      };
      return { slot, child, channel, mayFork, env, ended: child.exited, discard };
    } finally {
      signal.removeEventListener("abort", kill);
      listener.close();
    }
  }

  #execIn(surroundings: Surroundings): NonNullable<Guest["exec"]> {
    return async (command) =>
      await execIn(surroundings, command, this.#deps.spawn, `${surroundings.cwd}/${this.#execs++}`);
  }

  /** The slot, without GPUs: others may have them. */
  #remains(slot: SlotPaths, { cwd, env }: Surroundings): Promise<Remains> {
    return Promise.resolve({
      exec: this.#execIn({ cwd, env: { ...env, CUDA_VISIBLE_DEVICES: "" } }),
      release: () => this.#deps.slots.remove(slot),
    });
  }

  #guest({ slot, child, channel, mayFork, env = {} }: Program, spec: FunctionSpec): Guest {
    const surroundings = { cwd: appFolder(slot), env };
    return {
      channel,
      stdout: child.stdout,
      stderr: child.stderr,
      exited: child.exited,
      path: spec.body === "ts" ? `${appFolder(slot)}/app.js` : appFolder(slot),
      address: slot.http,
      spool: slot.dir,
      secretFolder: secretFolderOf(slot),
      settle,
      usage: () => usageOf(child.pid, mayFork),
      ...scratchOf(spec, slot, this.#deps.spawn),
      exec: this.#execIn(surroundings),
      keep: () => this.#remains(slot, surroundings),
      kill: () => child.kill(),
      release: () => {
        this.#deps.slots.killStrays(slot);
        return this.#deps.slots.remove(slot);
      },
    };
  }
}

/** What a start is given, and the volumes that it has opened. */
type Terms = StartContext & { readonly volumes: readonly PlacedVolume[] };

/** Starts a program. */
type Begin = () => Child | Promise<Child>;

interface LaunchOptions {
  readonly mayFork: boolean;
  /** That of the program, for what else is to run there. */
  readonly env?: Command["env"];
  readonly signal: AbortSignal;
}

/** Reads what nobody wants to know, so that its writer is not held up. */
const drop = (stream: ReadableStream<Uint8Array>): Promise<void> =>
  stream.pipeTo(new WritableStream()).catch(() => {});

/** Two rounds of the event loop: one polls the pipes, one hands on what was in them. A timer would take a hundred times longer. */
async function settle(): Promise<void> {
  for (let round = 0; round < 2; round++) await new Promise<void>((resolve) => setImmediate(resolve));
}

const secretsFolder = (slot: SlotPaths): string => `${slot.dir}/secrets`;

const secretFolderOf = (slot: SlotPaths) => ({ name }: DeliveredSecret): string =>
  `${secretsFolder(slot)}/${name}`;

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
