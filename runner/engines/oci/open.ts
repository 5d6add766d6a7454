/** The oci engine put together: the engine found, what an earlier runner left there removed. */
import { type Clock, type Log, type Random, realFetch } from "../../../sdk/ports.ts";
import type { FunctionSpec, Gpu } from "../../../sdk/protocol.ts";
import type { BundleCache } from "../../cache.ts";
import type { Spawn } from "../../engine.ts";
import type { Slots } from "../../slots.ts";
import type { Volumes } from "../../volumes.ts";
import { type Info, OciClient } from "./client.ts";
import { Compiled } from "./compiled.ts";
import { type Block, USUAL_BLOCK } from "./addresses.ts";
import { closeNetwork, Networks, removeRules, tableOfLinks } from "./egress.ts";
import { OciEngine } from "./engine.ts";
import type { Premises } from "./guest_sandbox.ts";
import { layHostFiles } from "./host_files.ts";
import { memoryFolder, ownerOfGuests, removeMemoryFolder } from "./folder.ts";
import { credentialsOf, trustedIn } from "./given_files.ts";
import { gpuWay } from "./gpus.ts";
import { Images } from "./images.ts";
import { Installs } from "./installs.ts";
import { networkName, slotName } from "./launch.ts";
import { findLeft, type LeftContainer } from "./left.ts";
import { Links } from "./links.ts";
import { tables } from "./nft.ts";
import { rankFilter } from "./rank_filter.ts";
import { patiently } from "./removal.ts";
import { parseLimits, RDMA } from "./sandbox.ts";
import { Vacated } from "./vacated.ts";
import { PODMAN_FILTERS, stricterFilter } from "./seccomp.ts";

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
  /** MiB of packages that were installed for functions. @default as much as of images */
  readonly packagesMiB?: number | undefined;
  /** MiB for containers that were started before anybody wants them. */
  readonly poolMiB: number;
  /** A file as `docker login` writes it. */
  readonly registryAuth?: string | undefined;
  /** Ports of this machine that containers may connect to. @default none */
  readonly hostPorts?: readonly number[] | undefined;
  /** Addresses for containers that the runner connects itself; null leaves that to the engine. @default {@link USUAL_BLOCK} */
  readonly containerAddresses?: Block | null;
  /** The network interface at which other nodes reach this one. @default unknown */
  readonly nic?: string | null;
}

export interface OciDeps {
  readonly slots: Slots;
  readonly cache: BundleCache;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly gpus: readonly Gpu[];
  readonly volumes: Pick<Volumes, "open">;
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
  const { name, version } = await client.version().catch((error) => {
    client.close();
    throw error;
  });
  const info = name === "docker" ? await client.info() : {}; // Podman's takes long, and says nothing of use
  log("oci.engine", { name, version, socket: options.socket });
  checkRuntime(options.runtime, info);
  const engineIds = (await client.containers(`${LABEL}=${options.data}`)).map(({ Id }) => Id);
  const left = await findLeft({ client, slots: deps.slots }, engineIds);
  for (const { slot } of left) deps.slots.spare(slot);
  const removed = await sweepEngineOf({ ...deps, client }, options.data, left);
  if (removed > 0) log("oci.swept", { removed });
  const host = await layHostFiles(options.root, `${options.data}/host`, { keepOthers: left.length > 0 });
  const credentials = await credentialsOf(options.registryAuth);
  const images = await Images.open({
    client,
    credentials,
    file: `${options.data}/images.json`,
    budgetMiB: options.imagesMiB,
    clock,
    log,
  });
  const labels = { [LABEL]: options.data };
  const shared = await shortName(options.data);
  const guarded = await tables(deps.spawn) !== null;
  if (!guarded) {
    log("oci.unguarded", { why: "containers can connect to this machine's ports: rules take root and nft" });
  }
  const networks = new Networks({
    client,
    spawn: deps.spawn,
    log,
    labels,
    shared,
    guarded,
    links: guarded ? linksOf(options, shared, deps) : null,
    folder: options.data,
    hostPorts: options.hostPorts ?? [],
  });
  const premises: Premises = {
    guests: `${host}/runner/guests`,
    sdk: `${host}/sdk`,
    owner: ownerOfGuests(),
    rlimits: parseLimits(await Deno.readTextFile("/proc/self/limits")),
    labels,
    gpuWay: gpuWay({ name }, info),
    sockets: await memoryFolder(shared, left.map(({ slot }) => slotName(slot.dir))),
    seccomp: name === "podman" ? await writeFilter(`${options.data}/seccomp.json`, log) : undefined,
    rankSeccomp: name === "podman" ? await laidFilter(`${options.data}/rank_seccomp.json`) : rankFilter(),
    nic: options.nic ?? null,
    rdma: await Deno.stat(RDMA).then(() => true, () => false),
    runtime: options.runtime,
    ca: await trustedIn(options.data, options.ca),
  };
  return new OciEngine({
    ...deps,
    client,
    fetch: realFetch,
    socket: options.socket,
    images,
    compiled: new Compiled(`${host}/deno`),
    networks,
    vacated: new Vacated(clock),
    installs: new Installs({
      client,
      premises,
      networks,
      spawn: deps.spawn,
      clock,
      log,
      folder: `${options.data}/packages`,
      budgetMiB: options.packagesMiB ?? options.imagesMiB,
      env: options.sources,
    }),
    credentials,
    ca: options.ca,
    sources: options.sources,
    defaults: options.defaults,
    poolMiB: options.poolMiB,
    left,
    premises,
  });
}

/**
 * Removes what a killed runner of this data folder left in the engine: containers, and then their networks.
 *
 * @param spared may go on
 */
export async function sweepEngineOf(
  deps: SweepDeps,
  data: string,
  spared: readonly LeftContainer[] = [],
): Promise<number> {
  const { client } = deps;
  const shared = await shortName(data);
  const all = await client.containers(`${LABEL}=${data}`);
  const containers = all.filter(({ Id }) => !spared.some(({ engineId }) => engineId === Id));
  await Promise.all(containers.map(({ Id }) => patiently(deps.clock, () => client.remove(Id))));
  const used = spared.length === 0 ? [] : [shared, ...spared.map(({ slot }) => networkName(slot.dir))];
  for (const { Name } of await client.networks(`${LABEL}=${data}`)) {
    if (!used.includes(Name)) await patiently(deps.clock, () => closeNetwork(deps, Name));
  }
  await removeRules(deps.spawn, shared, spared.map(({ slot }) => networkName(slot.dir)));
  if (spared.length === 0) await removeMemoryFolder(shared);
  return containers.length;
}

/** Not for runtimes with a network of their own making, which look at their cards once, when they start. */
function linksOf(options: OciOptions, shared: string, { spawn, random, log }: OciDeps): Links | null {
  const { containerAddresses: block = USUAL_BLOCK, runtime, hostPorts = [] } = options;
  if (block === null || runtime !== undefined) return null;
  const group = parseInt(shared.slice(2, 9), 16); // 28 of its bits: groups have 31
  return new Links({ spawn, random, log, block, table: tableOfLinks(shared), group, hostPorts });
}

/** The same for every runner of this folder. */
async function shortName(data: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(data));
  return `be${new Uint8Array(digest).toHex().slice(0, 12)}`;
}

/** Undefined where Podman's own filter is not where it should be, and so stays as it is. */
async function writeFilter(file: string, log: Log): Promise<string | undefined> {
  for (const path of PODMAN_FILTERS) {
    const filter = await Deno.readTextFile(path).then(stricterFilter).catch(() => null);
    if (filter === null) continue;
    await Deno.writeTextFile(file, filter);
    return file;
  }
  log("oci.unfiltered", { why: `there is no filter of system calls at ${PODMAN_FILTERS.join(" or ")}` });
}

/** Docker takes what it says, Podman where it lies. */
async function laidFilter(file: string): Promise<string> {
  await Deno.writeTextFile(file, rankFilter());
  return file;
}

/** Podman does not tell what it has: there the first container fails. */
function checkRuntime(runtime: string | undefined, { Runtimes }: Info): void {
  if (runtime === undefined || !Runtimes || Runtimes[runtime] !== undefined) return;
  const known = Object.keys(Runtimes).join(", ");
  throw new TypeError(
    `Cannot start the runner: option --oci-runtime: the engine has no "${runtime}", it has ${known}`,
  );
}
