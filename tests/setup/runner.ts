/** A runner in this process, with real guests, in a folder of its own, joined to a fake api. */
import { Agent } from "../../runner/agent.ts";
import { apiAddress } from "../../runner/address.ts";
import { RunnerApi } from "../../runner/api.ts";
import type { BundleCache } from "../../runner/cache.ts";
import { bundleCache } from "./bundle_cache.ts";
import { Installs } from "../../runner/engines/installs.ts";
import { ProcessEngine } from "../../runner/engines/process.ts";
import type { Engine, Spawn } from "../../runner/engine.ts";
import { realSpawn } from "../../runner/engines/spawn.ts";
import { GpuHealth } from "../../runner/gpu_health.ts";
import { ownerOfGuests } from "../../runner/engines/oci/folder.ts";
import { Slots } from "../../runner/slots.ts";
import { Volumes } from "../../runner/volumes.ts";
import { type Log, realClock, realFetch, realRandom, silentLog } from "../../sdk/ports.ts";
import { type Assignment, FunctionSpec, type Gpu } from "../../sdk/protocol.ts";
import type { z } from "zod";
import { FakeApi } from "./fake_api.ts";
import { denoDir } from "./platform.ts";

export const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

export interface RunnerOptions {
  readonly poolSize?: number;
  readonly graceMs?: number;
  readonly drainMs?: number;
  readonly log?: Log;
  /** MiB of virtual environments to keep. */
  readonly packagesMiB?: number;
  /** More of the environment of tools. */
  readonly env?: Readonly<Record<string, string>>;
  /** Another engine than that of processes, in this folder. */
  readonly engine?: (dir: string, deps: EngineDeps) => Promise<Engine & { readonly prestarted: number }>;
}

/** What engines of all kinds are made of. */
export interface EngineDeps {
  readonly spawn: Spawn;
  readonly slots: Slots;
  readonly cache: BundleCache;
  readonly clock: typeof realClock;
  readonly random: typeof realRandom;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
  readonly volumes: Volumes;
}

export class TestRunner implements AsyncDisposable {
  #containers = 0;

  private constructor(
    readonly api: FakeApi,
    readonly agent: Agent,
    readonly dir: string,
    readonly ran: Promise<void>,
    /** How many prestarted guests wait for code. */
    readonly prestarted: () => number,
    readonly volumes: Volumes,
  ) {}

  static async start(
    {
      poolSize = 0,
      graceMs = 300,
      drainMs = 300,
      log = silentLog,
      env: more = {},
      engine: make,
      packagesMiB = 1_024,
    }: RunnerOptions = {},
  ): Promise<TestRunner> {
    const dir = await Deno.makeTempDir({ prefix: "berth-runner-" });
    for (const folder of ["bundles", "venvs", "volumes"]) await Deno.mkdir(`${dir}/${folder}`);
    const slots = new Slots(`${dir}/slots`, realRandom);
    await slots.sweep();
    const api = FakeApi.start();
    const env = { ...Deno.env.toObject(), ...more };
    const deno = Deno.execPath();
    const volumes = new Volumes({
      roots: { node: `${dir}/volumes`, shared: null },
      owner: ownerOfGuests(),
      spawn: realSpawn,
      clock: realClock,
      random: realRandom,
      log,
    });
    const deps: EngineDeps = {
      spawn: realSpawn,
      slots,
      cache: bundleCache(`${dir}/bundles`),
      clock: realClock,
      random: realRandom,
      log,
      gpus: [{ index: 0, model: "L4", vramMiB: 24_576, simulated: true }],
      volumes,
    };
    const processes = new ProcessEngine({
      ...deps,
      installs: new Installs({ ...deps, venvs: `${dir}/venvs`, budgetMiB: packagesMiB, deno, env }),
      paths: {
        guest: `${ROOT}/runner/guests/guest.ts`,
        sdk: `${ROOT}/sdk`,
        importMap: `${ROOT}/runner/guests/import_map.json`,
      },
      pythonGuest: `${ROOT}/runner/guests/guest.py`,
      deno,
      denoDir: denoDir(),
      env,
      poolSize,
    });
    const engine = await make?.(dir, deps).catch(async (error) => {
      await api[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
      throw error;
    }) ?? processes;
    const agent = new Agent({
      api: new RunnerApi({ address: apiAddress(api.origin), fetch: realFetch, clock: realClock }),
      engine,
      machine: {
        name: "test",
        pool: "default",
        host: "here",
        cpu: 4,
        memory: 4_096,
        gpus: [],
        disk: 1_024,
        labels: {},
        address: "test",
      },
      clock: realClock,
      random: realRandom,
      log,
      health: new GpuHealth({
        gpus: [],
        spawn: realSpawn,
        drill: () => Promise.resolve(""),
        clock: realClock,
        log,
      }),
      volumes,
      tokens: () => Promise.resolve(["token"]),
      lastSession: () => Promise.resolve(undefined),
      joined: () => {
        engine.settled();
        return Promise.resolve();
      },
      orphaned: () => false,
      graceMs,
      drainMs,
    });
    return new TestRunner(api, agent, dir, agent.run(), () => engine.prestarted, volumes);
  }

  /** An assignment of a function whose module has this source. */
  assign(source: string, spec: SpecInput = {}): Promise<Assignment> {
    return assignmentOf(this.api, `ctr_${++this.#containers}`, source, spec);
  }

  /** The pids of guests that run now. */
  guests(): number[] {
    return [...Deno.readDirSync(`${this.dir}/slots`)].flatMap(({ name }) => {
      try {
        const pid = Number(Deno.readTextFileSync(`${this.dir}/slots/${name}/pid`).split(" ")[0]);
        return Deno.readTextFileSync(`/proc/${pid}/cmdline`) === "" ? [] : [pid];
      } catch {
        return [];
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.stop();
    await this.ran;
    await this.api[Symbol.asyncDispose]();
    await Deno.remove(this.dir, { recursive: true });
  }
}

type SpecInput = Partial<z.input<typeof FunctionSpec>>;

/** An assignment of a function whose module has this source; its bundle lies with the api. */
export async function assignmentOf(
  api: FakeApi,
  id: string,
  source: string,
  spec: SpecInput = {},
): Promise<Assignment> {
  const body = spec.body ?? "ts";
  const bundle = await storeBundle(api, { [FILES[body]]: source });
  const entry = body === "python" ? "app.py:fn" : "fn";
  return {
    id,
    desired: "run",
    app: "test",
    deployment: "dep_1",
    bundle,
    external: [],
    gpus: [],
    volumes: [],
    spec: FunctionSpec.parse({
      name: "fn",
      kind: "function",
      body,
      entry,
      methods: [{ name: "fn", kind: "call" }],
      ...spec,
    }),
  };
}

/** Where the source lies in the bundle. */
const FILES = { ts: "app.js", python: "app.py", server: "server.ts" } as const;

async function storeBundle(api: FakeApi, files: Record<string, string>): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify({ version: 1, files }));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
  api.bundles.set(digest, bytes);
  return digest;
}

/** A module that exports one function. */
export const tsFunction = (handler: string, options = "{}"): string =>
  `import { App } from "berth";\nconst app = new App("test");\nexport const fn = app.function(${options}, ${handler});\n`;
