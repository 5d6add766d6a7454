/** What the container of a function is to be: its image, the command of its guest, what it sees. Pure. */
import type { Assignment, FunctionSpec } from "../../../sdk/protocol.ts";
import type { PlacedVolume } from "../../volumes.ts";
import { denoArgs, type DenoLimits, type GuestPaths, limitsOf, withVolumes } from "../deno_args.ts";
import { gangEnv, volumeEnv } from "../environment.ts";
import type { Network } from "./egress.ts";
import type { GpuWay, WantedGpus } from "./gpus.ts";
import { INSIDE, type Owner, SLOT_INSIDE } from "./folder.ts";
import type { Packages } from "./packages.ts";
import { type Mount, RDMA, type Rlimits, type Sandbox, SCRATCH, scratchOfMemory } from "./sandbox.ts";
import { serverCommand, serverEnv } from "./server_command.ts";

type Env = Readonly<Record<string, string>>;

/** Of the node: the same for all its containers. */
export interface Premises {
  /** Folders of this machine with what of Berth runs there: `runner/guests` and `sdk`, as JavaScript. */
  readonly guests: string;
  readonly sdk: string;
  readonly owner: Owner;
  readonly gpuWay: GpuWay;
  /** A folder in memory for the sockets of containers. */
  readonly sockets: string | null;
  readonly rlimits: Rlimits;
  readonly labels: Env;
  readonly seccomp: string | undefined;
  /** That of ranks whose sockets are guarded. */
  readonly rankSeccomp?: string;
  /** The network interface at which other nodes reach this one. @default unknown */
  readonly nic?: string | null;
  /** Whether it has network cards that reach into memory, see {@link RDMA}. @default false */
  readonly rdma?: boolean;
  readonly runtime: string | undefined;
  /** More certificates to trust, a file of this machine. */
  readonly ca: string | undefined;
}

export type NetworkOfPlace = Pick<Network, "mode" | "hostname" | "hosts" | "dns" | "mounts" | "group">;

/** Of one container. */
export interface Place {
  readonly image: string;
  /** Folders of this machine. */
  readonly run: string;
  readonly app: string;
  readonly scratch: string;
  readonly network: NetworkOfPlace;
  readonly gpus: WantedGpus;
  readonly gpuEnv: Env;
  /** Names of the variables that secrets come as, and the folders of the others. */
  readonly secrets: { readonly variables: readonly string[]; readonly mounts: readonly Mount[] };
  readonly packages: Packages;
  readonly volumes: readonly PlacedVolume[];
}

const PATHS: GuestPaths = {
  guest: `${INSIDE.host}/runner/guests/guest.js`,
  sdk: `${INSIDE.host}/sdk`,
  importMap: `${INSIDE.host}/runner/guests/import_map.json`,
};
const PYTHON_GUEST = `${INSIDE.host}/runner/guests/guest.py`;

export function guestSandbox(
  assignment: Assignment,
  premises: Premises,
  place: Place,
): Sandbox {
  const { spec, gang } = assignment;
  const { server } = spec;
  const { mounts, env, ...common } = { ...surroundings(premises), ...asRank(assignment, premises, place) };
  const own = {
    ...server === undefined ? {} : serverEnv(server),
    ...place.packages.env,
    ...isCompiled(assignment) ? { DENO_DIR: INSIDE.deno } : {},
    ...volumeEnv(place.volumes),
    BERTH_SLOT: INSIDE.slot,
  };
  return {
    ...common,
    image: place.image,
    network: place.network.mode,
    hostname: place.network.hostname,
    hosts: place.network.hosts,
    dns: place.network.dns,
    gpus: place.gpus,
    mounts: [...mountsOf(place), ...scratchOf(spec, place), ...mounts],
    command: commandOf(assignment, place),
    env: { ...env, ...place.gpuEnv, ...gangEnv(gang, premises.nic), ...spec.env, ...own },
    workdir: workdirOf(spec),
    cpu: spec.cpu,
    memoryMiB: spec.memory,
  };
}

/** Known by its group, and close to the network cards where it has GPUs. */
function asRank(
  { gang }: Assignment,
  { owner, rankSeccomp, rdma = false }: Premises,
  { network: { group }, gpus }: Place,
): Partial<Pick<Sandbox, "user" | "seccomp" | "devices">> {
  const isGuarded = group !== undefined;
  return {
    ...isGuarded ? { user: `${owner.uid}:${group}`, seccomp: rankSeccomp } : {},
    ...gang !== undefined && rdma && gpus.names.length > 0 ? { devices: [RDMA] } : {},
  };
}

function commandOf(
  { spec, external }: Assignment,
  { secrets, packages, volumes }: Place,
): string[] | null {
  if (spec.server !== undefined) return serverCommand(spec.server, volumeEnv(volumes));
  if (spec.body === "python") {
    const imports = spec.preload.length === 0 ? [] : ["--import", spec.preload.join(",")];
    return [packages.python, PYTHON_GUEST, ...imports];
  }
  const { variables, mounts } = secrets;
  const limits = limitsOf(spec, external.length > 0, { variables, folder: null });
  return denoCommand(withVolumes({ ...limits, read: mounts.map(({ target }) => target) }, volumes));
}

/** Whether it runs on a Deno that finds compiled what there is of {@link INSIDE.deno}; one with packages has their cache. */
export const isCompiled = ({ spec, external }: Pick<Assignment, "spec" | "external">): boolean =>
  spec.body === "ts" && external.length === 0;

/** What an image runs by itself, it runs where it likes. */
function workdirOf({ body, server }: FunctionSpec): string | null {
  if (server !== undefined && server.command === undefined) return null;
  return body === "ts" ? INSIDE.slot : INSIDE.app;
}

function denoCommand(limits: DenoLimits): string[] {
  const [run, ...flags] = denoArgs(PATHS, SLOT_INSIDE, limits);
  // Where packages are it could not be kept, and to make one delays the start.
  return ["deno", run!, ...limits.external ? ["--no-code-cache"] : [], ...flags];
}

/** What all containers of the node have. */
export const surroundings = ({ owner, rlimits, labels, runtime, seccomp, ...premises }: Premises) => ({
  runtime,
  seccomp,
  rlimits,
  labels,
  user: `${owner.uid}:${owner.gid}`,
  env: commonEnv(premises),
  mounts: [
    readOnly(premises.guests, `${INSIDE.host}/runner/guests`),
    readOnly(premises.sdk, PATHS.sdk),
    ...premises.ca === undefined ? [] : [readOnly(premises.ca, INSIDE.ca)],
  ],
});

const mountsOf = ({ run, app, network, secrets, packages, volumes }: Place): Mount[] => [
  { source: run, target: INSIDE.slot, readOnly: false },
  readOnly(app, INSIDE.app),
  ...secrets.mounts,
  ...packages.mounts,
  ...network.mounts,
  ...volumes.map(({ folder, path, readOnly }) => ({ source: folder, target: path, readOnly })),
];

const scratchOf = (spec: FunctionSpec, { scratch }: Place): Mount[] =>
  scratchMiB(spec) === null ? [] : [{ source: scratch, target: SCRATCH, readOnly: false }];

/** What may lie in /tmp, where that is on disk: its function asks for that, or for it to outlive the container. */
export function scratchMiB({ disk, memory, keepOnFailure }: FunctionSpec): number | null {
  if (disk > 0) return disk;
  return keepOnFailure === undefined ? null : scratchOfMemory(memory);
}

const readOnly = (source: string, target: string): Mount => ({ source, target, readOnly: true });

const commonEnv = ({ ca }: Pick<Premises, "ca">): Env => ({
  HOME: SCRATCH,
  NO_COLOR: "1",
  PYTHONUNBUFFERED: "1",
  DENO_NO_UPDATE_CHECK: "1",
  ...ca === undefined ? {} : {
    SSL_CERT_FILE: INSIDE.ca,
    DENO_CERT: INSIDE.ca,
    REQUESTS_CA_BUNDLE: INSIDE.ca,
    NODE_EXTRA_CA_CERTS: INSIDE.ca,
  },
});
