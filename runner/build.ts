/** A runner put together from real things: this machine, its processes, the network. */
import { statfs } from "node:fs/promises";
import { resolve } from "node:path";
import { hostIdentity } from "../sdk/host.ts";
import { LABEL_VOLUMES } from "../sdk/labels.ts";
import { type Log, realClock, realFetch, realRandom } from "../sdk/ports.ts";
import { nameProcess, startedAt } from "../sdk/proc.ts";
import { Agent, type Machine } from "./agent.ts";
import { apiAddress } from "./address.ts";
import { type NodeApi, RunnerApi } from "./api.ts";
import type { RunnerConfig } from "./config.ts";
import { ownerOfGuests } from "./engines/oci/folder.ts";
import { openEngines, sweepEngine } from "./engines/open.ts";
import { realSpawn } from "./engines/spawn.ts";
import { probeGpus } from "./gpu.ts";
import { GpuHealth } from "./gpu_health.ts";
import { loadIdentity, saveIdentity } from "./identity.ts";
import { Relay } from "./relay.ts";
import { killNamed, Slots, slotsFolder } from "./slots.ts";
import { sharedPathId, Volumes } from "./volumes.ts";

export type Env = Readonly<Record<string, string>>;

export interface RunnerParts {
  readonly agent: Agent;
  readonly machine: Machine;
  /** Says that this runner is gone. Call it when the agent has run. */
  close(): Promise<void>;
}

/** Takes the data folder over, and makes the runner. `joined` hears of each session. */
export async function buildRunner(
  config: RunnerConfig,
  { env, log, joined }: { env: Env; log: Log; joined: (node: NodeApi["node"]) => void },
): Promise<RunnerParts> {
  await takeOver(config.data, log);
  const data = await Deno.realPath(config.data);
  const identity = `${data}/node.json`;
  const gpus = config.simulateGpus ?? await probeGpus(realSpawn, env.CUDA_VISIBLE_DEVICES);
  const { volumes, labels: ofVolumes } = await openVolumes(config, data, log);
  const { engine, labels } = await openEngines(config, { data, env, gpus, log, volumes });
  const machine = await machineOf({ ...config, labels: { ...config.labels, ...labels, ...ofVolumes } }, gpus);
  const relay = isNear(config.api) ? null : openRelay(config.relayPort, log, (id) => agent.addressOf(id));
  const agent: Agent = new Agent({
    api: new RunnerApi({ address: apiAddress(config.api), fetch: realFetch, clock: realClock }),
    engine,
    machine: relay === null ? machine : { ...machine, relay: { port: relay.port, key: relay.key } },
    volumes,
    clock: realClock,
    random: realRandom,
    log,
    health: new GpuHealth({
      gpus: machine.gpus,
      spawn: realSpawn,
      drill: () => Deno.readTextFile(`${data}/ailing-gpus`).catch(() => ""),
      clock: realClock,
      log,
    }),
    tokens: async () => {
      const known = await loadIdentity(identity, config.api);
      return [known?.credential, config.token].filter((token) => token !== undefined);
    },
    lastSession: async () => (await loadIdentity(identity, config.api))?.session,
    joined: async ({ node }, session) => {
      const { id, credential } = node;
      await saveIdentity(identity, { api: config.api, id, credential, session });
      joined(node);
      engine.settled();
    },
    orphaned: orphanWatch(config.parentPid),
    graceMs: config.graceMs,
    drainMs: config.drainMs,
  });
  const close = async () => {
    relay?.close();
    await Deno.remove(`${data}/runner.pid`);
  };
  return { agent, machine, close };
}

/** Its api is on this machine, and reaches containers without us. */
const isNear = (api: string): boolean =>
  api.startsWith("unix:") || ["localhost", "127.0.0.1", "[::1]"].includes(new URL(api).hostname);

function openRelay(port: number, log: Log, find: (container: string) => string | null): Relay {
  try {
    return new Relay({ port, clock: realClock, random: realRandom, log, find });
  } catch (error) {
    throw new TypeError(`Cannot start the runner: option --relay-port: ${(error as Error).message}`);
  }
}

/** The volumes of this node, and what it is marked with for those it shares. */
async function openVolumes(config: RunnerConfig, data: string, log: Log) {
  const own = `${data}/volumes`;
  await Deno.mkdir(own, { recursive: true, mode: 0o700 });
  const shared = config.volumes === undefined ? null : resolve(config.volumes);
  const deps = { spawn: realSpawn, clock: realClock, random: realRandom, log };
  return {
    volumes: new Volumes({ ...deps, roots: { node: own, shared }, owner: ownerOfGuests() }),
    labels: shared === null ? {} : { [LABEL_VOLUMES]: await sharedPathId(shared, deps) },
  };
}

/** Ends what a killed runner has left behind. */
export async function sweep(config: RunnerConfig): Promise<void> {
  killNamed(`${config.data}/runner.pid`, "process");
  const data = await Deno.realPath(config.data);
  await sweepEngine(config, data);
  await new Slots(await slotsFolder(data, config.tmp), realRandom).sweep();
}

async function machineOf(config: RunnerConfig, gpus: Machine["gpus"]): Promise<Machine> {
  return {
    name: config.name ?? Deno.hostname(),
    pool: config.pool,
    host: await hostIdentity(),
    cpu: config.cpu ?? navigator.hardwareConcurrency,
    memory: config.memory ?? Math.floor(Deno.systemMemoryInfo().total / 1024 ** 2),
    disk: config.disk ?? await freeDiskMiB(config.data),
    labels: config.labels,
    address: config.address ?? Deno.hostname(),
    gpus,
  };
}

async function freeDiskMiB(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return Math.floor(bavail * bsize / 1024 ** 2);
}

/** There is one runner for a data folder: the newest. One that its parent left behind gives way. */
async function takeOver(data: string, log: Log): Promise<void> {
  await Deno.mkdir(data, { recursive: true, mode: 0o700 });
  if (killNamed(`${data}/runner.pid`, "process")) log("runner.took_over");
  nameProcess(`${data}/runner.pid`, Deno.pid);
}

function orphanWatch(parent: number | undefined): () => boolean {
  if (parent === undefined) return () => false;
  const started = startedAt(parent);
  return () => started === null || startedAt(parent) !== started;
}
