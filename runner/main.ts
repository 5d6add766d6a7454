/** Builds a runner from its configuration and runs it: `deno run -A runner/main.ts --api URL --token TOKEN --data DIR`. */
import { realClock, realFetch, realLog, realRandom } from "../sdk/ports.ts";
import { Agent, type Machine } from "./agent.ts";
import { apiAddress, RunnerApi } from "./api.ts";
import { BundleCache } from "./cache.ts";
import { readConfig, type RunnerConfig, withoutSecrets } from "./config.ts";
import { toolEnv } from "./engines/environment.ts";
import { Installs } from "./engines/installs.ts";
import { ProcessEngine } from "./engines/process.ts";
import { realSpawn } from "./engines/spawn.ts";
import { probeGpus } from "./gpu.ts";
import { loadIdentity, saveIdentity } from "./identity.ts";
import { startedAt } from "./proc.ts";
import { killNamed, nameProcess, Slots, slotsFolder } from "./slots.ts";

type Env = Readonly<Record<string, string>>;

const here = (path: string): string => new URL(path, import.meta.url).pathname;

async function machineOf(config: RunnerConfig, env: Env): Promise<Machine> {
  return {
    name: config.name ?? Deno.hostname(),
    pool: config.pool,
    host: await hostIdentity(),
    cpu: config.cpu ?? navigator.hardwareConcurrency,
    memory: config.memory ?? Math.floor(Deno.systemMemoryInfo().total / 1024 ** 2),
    gpus: config.simulateGpus ?? await probeGpus(realSpawn, env.CUDA_VISIBLE_DEVICES),
  };
}

/** The same for all processes that see the same files, and so the same unix sockets. */
async function hostIdentity(): Promise<string> {
  const boot = await Deno.readTextFile("/proc/sys/kernel/random/boot_id").catch(() => Deno.hostname());
  const mounts = await Deno.readLink("/proc/self/ns/mnt").catch(() => "");
  return `${boot.trim()} ${mounts}`.trim();
}

async function engineOf(
  config: RunnerConfig,
  data: string,
  env: Env,
  gpus: Machine["gpus"],
): Promise<ProcessEngine> {
  const slots = new Slots(await slotsFolder(data, config.tmp), realRandom);
  const killed = await slots.sweep();
  if (killed > 0) realLog("runner.swept", { killed });
  const folders = { bundles: `${data}/bundles`, venvs: `${data}/venvs` };
  for (const folder of Object.values(folders)) await Deno.mkdir(folder, { recursive: true });
  const deno = Deno.execPath();
  return new ProcessEngine({
    spawn: realSpawn,
    slots,
    cache: new BundleCache(folders.bundles),
    installs: new Installs({ spawn: realSpawn, venvs: folders.venvs, deno, env: toolEnv(env) }),
    clock: realClock,
    log: realLog,
    gpus,
    paths: { guest: here("guests/guest.ts"), sdk: here("../sdk"), importMap: here("guests/import_map.json") },
    pythonGuest: here("guests/guest.py"),
    deno,
    denoDir: config.denoDir,
    env,
    poolSize: config.poolSize,
  });
}

/** There is one runner for a data folder: the newest. One that its parent left behind gives way. */
async function takeOver(data: string): Promise<void> {
  await Deno.mkdir(data, { recursive: true, mode: 0o700 });
  if (killNamed(`${data}/runner.pid`, "process")) realLog("runner.took_over");
  nameProcess(`${data}/runner.pid`, Deno.pid);
}

function orphanWatch(parent: number | undefined): () => boolean {
  if (parent === undefined) return () => false;
  const started = startedAt(parent);
  return () => started === null || startedAt(parent) !== started;
}

async function main(config: RunnerConfig, env: Env): Promise<void> {
  realLog("runner.starting", withoutSecrets(config));
  await takeOver(config.data);
  const data = await Deno.realPath(config.data);
  const identity = `${data}/node.json`;
  const machine = await machineOf(config, env);
  const engine = await engineOf(config, data, env, machine.gpus);
  const agent = new Agent({
    api: new RunnerApi({ address: apiAddress(config.api), fetch: realFetch, clock: realClock }),
    engine,
    machine,
    clock: realClock,
    random: realRandom,
    log: realLog,
    tokens: async () => {
      const known = await loadIdentity(identity, config.api);
      return [known?.credential, config.token].filter((token) => token !== undefined);
    },
    joined: async ({ node }) => {
      await saveIdentity(identity, config.api, node);
      if (config.json) console.log(JSON.stringify({ node: node.id, pid: Deno.pid }));
      engine.settled();
    },
    orphaned: orphanWatch(config.parentPid),
    graceMs: config.graceMs,
    drainMs: config.drainMs,
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => agent.stop());
  await agent.run();
}

if (import.meta.main) {
  const env = Deno.env.toObject();
  await main(readConfig(Deno.args, env), env);
  Deno.exit(0);
}
