/** What a container is to be, and how an engine is told so. The limits are the same for all; nothing is granted by default. Pure. */

import type { WantedGpus } from "./gpus.ts";
import { NO_PATIENCE } from "./resolver.ts";

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** Hard limits of this machine, which no container can be given more than. */
export interface Rlimits {
  readonly nofile: number;
  readonly nproc: number;
  /** Bytes that stay in memory; only what has devices of its own is given them. */
  readonly memlock: number;
}

export interface Sandbox {
  readonly image: string;
  /** Program and arguments; null for those of the image. */
  readonly command: readonly string[] | null;
  readonly env: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** `UID:GID`. */
  readonly user: string;
  /** Null for that of the image. */
  readonly workdir: string | null;
  readonly mounts: readonly Mount[];
  /** Cores it is sure of. */
  readonly cpu: number;
  readonly memoryMiB: number;
  /** `none`, `bridge`, or the name of a network. */
  readonly network: string;
  /** What it calls itself. @default what the engine calls it */
  readonly hostname?: string | undefined;
  /** Names it knows beside those of its name servers, as `NAME:ADDRESS`. */
  readonly hosts: readonly string[];
  /** Its name servers, that know nothing; those of the machine when empty. */
  readonly dns: readonly string[];
  /** A file with a filter of system calls other than the engine's own. */
  readonly seccomp?: string | undefined;
  /** Other than the engine's own: `runsc`. */
  readonly runtime?: string | undefined;
  readonly rlimits: Rlimits;
  /** As nvidia-smi names them; none when empty. */
  readonly gpus: WantedGpus;
  /** Folders of devices that it may use, and lock memory for. @default none */
  readonly devices?: readonly string[];
  /** Whether it reads, from whom is attached, and then whether by a terminal. @default not at all */
  readonly stdin?: "pipe" | "tty";
}

/** Network cards that read and write the memory of programs. */
export const RDMA = "/dev/infiniband";

const MIB = 1024 ** 2;
/** Enough for thread pools, too few for a fork bomb to be felt. For each GPU: trainings have a process and its loaders of data for each. */
const PIDS = 512;
/** A container is sure of its `cpu`; when the machine is idle it may have this many cores at least, so that starts are short. */
const CORES_MIN = 1;
const SHARES_PER_CORE = 1024;
const SHARES_MIN = 2;

/** Body of `POST /containers/create`. */
export function createBody(sandbox: Sandbox) {
  const { image, command, env, labels, user, workdir, hostname, stdin } = sandbox;
  return {
    Image: image,
    ...(command === null ? {} : { Entrypoint: command.slice(0, 1), Cmd: command.slice(1) }),
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    Labels: labels,
    User: user,
    ...(workdir === null ? {} : { WorkingDir: workdir }),
    ...(hostname === undefined ? {} : { Hostname: hostname }),
    ...(stdin === undefined
      ? {}
      : { AttachStdin: true, OpenStdin: true, StdinOnce: true, Tty: stdin === "tty" }),
    AttachStdout: true,
    AttachStderr: true,
    HostConfig: hostConfig(sandbox),
  };
}
export type CreateContainer = ReturnType<typeof createBody>;

/** All that a container can write to. */
export const SCRATCH = "/tmp";

function hostConfig(
  { mounts, network, hosts, dns, runtime, gpus, devices = [], seccomp, ...limits }: Sandbox,
) {
  const onDisk = mounts.some(({ target }) => target === SCRATCH);
  return {
    ...confinement(seccomp),
    ...resources(limits, { gpus: gpus.names.length, locksMemory: devices.length > 0 }),
    ...(onDisk ? {} : { Tmpfs: scratch(limits) }),
    Binds: mounts.map(({ source, target, readOnly }) => `${source}:${target}:${readOnly ? "ro" : "rw"}`),
    NetworkMode: network,
    ...(hosts.length === 0 ? {} : { ExtraHosts: hosts }),
    ...(dns.length === 0 ? {} : { Dns: dns, DnsOptions: NO_PATIENCE }),
    // What it prints is read from the attached stream; a copy on disk would grow without end.
    LogConfig: { Type: "none" },
    ...(runtime === undefined ? {} : { Runtime: runtime }),
    ...(devices.length === 0 ? {} : { Devices: devices.map(deviceOf) }),
    ...(gpus.names.length === 0 || gpus.way === "libpod" ? {} : { DeviceRequests: [requestOf(gpus)] }),
  };
}

const requestOf = ({ way, names }: WantedGpus) =>
  way === "cdi"
    ? { Driver: "cdi", DeviceIDs: names }
    : { Driver: "nvidia", DeviceIDs: names, Capabilities: [["gpu", "compute", "utility"]] };

const confinement = (seccomp: string | undefined) => ({
  // A first process that collects the dead and can be killed by its own signals, which a guest as pid 1 could not.
  Init: true,
  ReadonlyRootfs: true,
  CapDrop: ["ALL"],
  SecurityOpt: ["no-new-privileges", ...seccomp === undefined ? [] : [`seccomp=${seccomp}`]],
  IpcMode: "private",
});

const deviceOf = (path: string) => ({ PathOnHost: path, PathInContainer: path, CgroupPermissions: "rw" });

function resources(
  { cpu, memoryMiB, rlimits }: Pick<Sandbox, "cpu" | "memoryMiB" | "rlimits">,
  { gpus, locksMemory }: { readonly gpus: number; readonly locksMemory: boolean },
) {
  const memory = memoryMiB * MIB;
  return {
    Memory: memory,
    MemorySwap: memory, // the sum of both: no swap
    CpuShares: Math.max(SHARES_MIN, Math.round(cpu * SHARES_PER_CORE)),
    NanoCpus: Math.round(Math.max(cpu, CORES_MIN) * 1e9),
    PidsLimit: PIDS * Math.max(1, gpus),
    ShmSize: memory, // what lies in it counts as memory of the container
    // Podman takes these instead of its own, and fails when one of its own is missing.
    Ulimits: [
      { Name: "nofile", Soft: rlimits.nofile, Hard: rlimits.nofile },
      { Name: "nproc", Soft: rlimits.nproc, Hard: rlimits.nproc },
      { Name: "core", Soft: 0, Hard: 0 },
      ...locksMemory ? [{ Name: "memlock", Soft: rlimits.memlock, Hard: rlimits.memlock }] : [],
    ],
  };
}

/** In memory, and counted as such. Smaller than all of it, so that a full one is an error, not the end. */
const scratch = ({ memoryMiB }: Pick<Sandbox, "memoryMiB">) => ({
  [SCRATCH]: `rw,nosuid,nodev,size=${scratchOfMemory(memoryMiB)}m,mode=1777`,
});

/** MiB. */
export const scratchOfMemory = (memoryMiB: number): number => Math.floor(memoryMiB / 2);

const NOFILE_MAX = 65_536;
/** Podman lowers its own limit to this, and may not give more than it has. */
const NPROC_MAX = 32_768;
/** No limit: Podman's own API takes no -1. */
const MEMLOCK_MAX = Number.MAX_SAFE_INTEGER;

/** Reads `/proc/self/limits`. Processes count per user, and all containers share one: their own number is bounded by `PidsLimit`. */
export function parseLimits(text: string): Rlimits {
  const hard = (name: string, most: number) => {
    const value = new RegExp(`^Max ${name} +\\S+ +(\\d+)`, "m").exec(text)?.[1];
    return value === undefined ? most : Math.min(most, Number(value));
  };
  return {
    nofile: hard("open files", NOFILE_MAX),
    nproc: hard("processes", NPROC_MAX),
    memlock: hard("locked memory", MEMLOCK_MAX),
  };
}
