/** The oci engine put together: the engine found, what an earlier runner left there removed. */
import { type Clock, type Log, type Random, realFetch } from "../../../sdk/ports.ts";
import type { FunctionSpec, Gpu } from "../../../sdk/protocol.ts";
import type { BundleCache } from "../../cache.ts";
import type { Spawn } from "../../engine.ts";
import type { Slots } from "../../slots.ts";
import { OciClient } from "./client.ts";
import { type Credentials, parseDockerConfig } from "./credentials.ts";
import { closeNetwork } from "./egress.ts";
import { OciEngine } from "./engine.ts";
import { ownerOfGuests } from "./folder.ts";
import type { Premises } from "./guest_sandbox.ts";
import { layHostFiles } from "./host_files.ts";
import { Images } from "./images.ts";
import { Installs } from "./installs.ts";
import { patiently } from "./removal.ts";
import { parseLimits } from "./sandbox.ts";

export interface OciOptions {
  /** Unix socket of the engine. */
  readonly socket: string;
  /** The runner's folder: names its containers, and keeps the list of its images. */
  readonly data: string;
  /** The folder above `runner` and `sdk`. */
  readonly root: string;
  readonly defaults: Readonly<Partial<Record<FunctionSpec["body"], string>>>;
  readonly runtime?: string | undefined;
  readonly ca?: string | undefined;
  /** Variables that say where packages come from. */
  readonly sources: Readonly<Record<string, string>>;
  readonly imagesMiB: number;
  /** MiB for containers that were started before anybody wants them. */
  readonly poolMiB: number;
  /** A file as `docker login` writes it. */
  readonly registryAuth?: string | undefined;
}

export interface OciDeps {
  readonly slots: Slots;
  readonly cache: BundleCache;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
}

export interface SweepDeps {
  readonly client: OciClient;
  readonly spawn: Spawn;
  readonly clock: Clock;
}

const LABEL = "berth.runner";

/** @throws EngineAway when there is no engine */
export async function openOciEngine(options: OciOptions, deps: OciDeps): Promise<OciEngine> {
  const client = new OciClient({ socket: options.socket, fetch: realFetch });
  const { clock, log } = deps;
  const { name, version } = await client.version();
  log("oci.engine", { name, version, socket: options.socket });
  const removed = await sweepEngineOf({ ...deps, client }, options.data);
  if (removed > 0) log("oci.swept", { removed });
  const host = `${options.data}/host`;
  await layHostFiles(options.root, host);
  const images = await Images.open({
    client,
    credentials: await credentialsOf(options.registryAuth),
    file: `${options.data}/images.json`,
    budgetMiB: options.imagesMiB,
    clock,
    log,
  });
  const premises: Premises = {
    guests: `${host}/runner/guests`,
    sdk: `${host}/sdk`,
    owner: ownerOfGuests(),
    rlimits: parseLimits(await Deno.readTextFile("/proc/self/limits")),
    labels: { [LABEL]: options.data },
    runtime: options.runtime,
    ca: options.ca,
  };
  return new OciEngine({
    ...deps,
    client,
    images,
    installs: new Installs({
      client,
      premises,
      clock,
      folder: `${options.data}/packages`,
      env: options.sources,
    }),
    defaults: options.defaults,
    poolMiB: options.poolMiB,
    premises,
  });
}

/** Removes what a killed runner of this data folder left in the engine: containers, and then their networks. */
export async function sweepEngineOf(deps: SweepDeps, data: string): Promise<number> {
  const { client } = deps;
  const containers = await client.containers(`${LABEL}=${data}`);
  await Promise.all(containers.map(({ Id }) => patiently(deps.clock, () => client.remove(Id))));
  for (const { Name } of await client.networks(`${LABEL}=${data}`)) {
    await patiently(deps.clock, () => closeNetwork(deps, Name));
  }
  return containers.length;
}

const credentialsOf = async (file: string | undefined): Promise<Credentials> =>
  file === undefined ? new Map() : parseDockerConfig(await Deno.readTextFile(file));
