/** The engines of a runner, put together from real things. */
import { type Log, realClock, realFetch, realRandom } from "../../sdk/ports.ts";
import type { Gpu } from "../../sdk/protocol.ts";
import { LABEL_OCI } from "../../sdk/labels.ts";
import { BundleCache } from "../cache.ts";
import type { RunnerConfig } from "../config.ts";
import type { Engine } from "../engine.ts";
import { Shelf } from "./shelf.ts";
import { Slots, slotsFolder } from "../slots.ts";
import type { Volumes } from "../volumes.ts";
import { Engines } from "./choice.ts";
import { packageSources, toolEnv } from "./environment.ts";
import { Installs } from "./installs.ts";
import { interfaceOf } from "./nic.ts";
import { OciClient } from "./oci/client.ts";
import { EngineAway } from "./oci/http.ts";
import { type OciDeps, openOciEngine, sweepEngineOf } from "./oci/open.ts";
import { ProcessEngine } from "./process.ts";
import { realSpawn } from "./spawn.ts";

type Env = Readonly<Record<string, string>>;

interface Surroundings {
  readonly data: string;
  readonly env: Env;
  readonly gpus: readonly Gpu[];
  readonly volumes: Volumes;
  readonly log: Log;
}

/** Where engines listen, when nobody says. */
const SOCKETS = ["/var/run/docker.sock", "/run/podman/podman.sock"];

const LOOK_MS = 1_000;
const SAY_MS = 10_000;

const here = (path: string): string => new URL(path, import.meta.url).pathname;
const GUESTS = here("../guests");
const SDK = here("../../sdk");
const ROOT = here("../..");

/** What runs containers here, and what the node is marked with for it. */
export async function openEngines(
  config: RunnerConfig,
  { data, env, gpus, volumes, log }: Surroundings,
): Promise<{ engine: Engine; labels: Env }> {
  const slots = new Slots(await slotsFolder(data, config.tmp), realRandom);
  const clock = realClock;
  const cache = new BundleCache(
    new Shelf({ folder: `${data}/bundles`, budgetMiB: packagesMiB(config), spawn: realSpawn, clock, log }),
  );
  const deps = { spawn: realSpawn, slots, cache, clock: realClock, random: realRandom, log, gpus, volumes };
  const oci = config.engine === "process" ? null : await openOci(config, data, env, deps);
  const killed = await slots.sweep();
  if (killed > 0) log("runner.swept", { killed });
  const process = config.engine === "oci" ? null : await openProcess(config, data, env, deps);
  const find = oci === null && config.engine === "auto"
    ? { find: () => tryOci(config, data, env, deps).catch(orNone) }
    : {};
  return {
    engine: new Engines({ oci, process, clock: realClock, ...find }),
    labels: oci === null ? {} : { [LABEL_OCI]: "yes" },
  };
}

/** The engine that the runner was told to use: it may come up after it does. Null when there is none, and need not be one. */
async function openOci(config: RunnerConfig, data: string, env: Env, deps: OciDeps): Promise<Engine | null> {
  const { clock, log } = deps;
  const until = clock.now() + config.engineWaitMs;
  for (let said = -Infinity;; await clock.sleep(LOOK_MS)) {
    try {
      return await tryOci(config, data, env, deps);
    } catch (error) {
      if (!(error instanceof AwayError)) throw error;
      if (config.engine === "auto" && config.ociSocket === undefined) {
        log("oci.none", { why: error.why });
        return null;
      }
      if (clock.now() >= until) throw error;
      if (clock.now() - said < SAY_MS) continue;
      said = clock.now();
      log("oci.waiting", { why: error.why, leftMs: until - said });
    }
  }
}

class AwayError extends TypeError {
  constructor(readonly why: string, options: ErrorOptions) {
    super(`Cannot start the runner: no container engine answers at ${why}`, options);
  }
}

function orNone(error: unknown): null {
  if (error instanceof AwayError) return null;
  throw error;
}

async function tryOci(config: RunnerConfig, data: string, env: Env, deps: OciDeps): Promise<Engine> {
  const socket = config.ociSocket ?? await firstSocket();
  try {
    if (socket === undefined) throw new EngineAway(SOCKETS.join(" or "));
    return await openOciEngine({
      socket,
      data,
      root: ROOT,
      defaults: {
        ...(config.denoImage === undefined ? {} : { ts: config.denoImage }),
        ...(config.pythonImage === undefined ? {} : { python: config.pythonImage }),
      },
      runtime: config.ociRuntime,
      ca: config.caBundle,
      sources: packageSources(env),
      imagesMiB: config.imagesDisk,
      packagesMiB: packagesMiB(config),
      poolMiB: config.poolMemory,
      registryAuth: config.registryAuth,
      hostPorts: config.hostPorts,
      containerAddresses: config.containerAddresses,
      nic: await interfaceOf(config.address),
    }, deps);
  } catch (error) {
    if (!(error instanceof EngineAway)) throw error;
    const why = socket === undefined ? error.message : `${socket}: ${await whyAway(socket)}`;
    throw new AwayError(why, { cause: error });
  }
}

/** Of packages that were installed for functions, in each of the two places where they lie, and of bundles. */
const packagesMiB = ({ imagesDisk }: RunnerConfig): number => Math.floor(imagesDisk / 4);

/** Often that this user may not, or that nothing is there. */
async function whyAway(socket: string): Promise<string> {
  try {
    (await Deno.connect({ transport: "unix", path: socket })).close();
    return "it does not speak Docker's API";
  } catch (error) {
    return (error as Error).message;
  }
}

async function firstSocket(): Promise<string | undefined> {
  for (const path of SOCKETS) if (await Deno.stat(path).then(() => true, () => false)) return path;
  return undefined;
}

async function openProcess(config: RunnerConfig, data: string, env: Env, deps: OciDeps): Promise<Engine> {
  const venvs = `${data}/venvs`;
  await Deno.mkdir(venvs, { recursive: true });
  const deno = Deno.execPath();
  return new ProcessEngine({
    ...deps,
    installs: new Installs({ ...deps, venvs, budgetMiB: packagesMiB(config), deno, env: toolEnv(env) }),
    paths: { guest: `${GUESTS}/guest.ts`, sdk: SDK, importMap: `${GUESTS}/import_map.json` },
    pythonGuest: `${GUESTS}/guest.py`,
    deno,
    denoDir: config.denoDir,
    env,
    poolSize: config.poolSize,
    nic: await interfaceOf(config.address),
  });
}

/** Removes the containers that a killed runner left behind, where there is an engine. */
export async function sweepEngine(config: RunnerConfig, data: string): Promise<void> {
  const socket = config.engine === "process" ? undefined : config.ociSocket ?? await firstSocket();
  if (socket === undefined) return;
  const client = new OciClient({ socket, fetch: realFetch });
  await sweepEngineOf({ client, spawn: realSpawn, clock: realClock }, data).catch((error) => {
    if (!(error instanceof EngineAway)) throw error;
  });
  client.close();
}
