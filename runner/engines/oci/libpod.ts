/**
 * A container in the words of Podman's own API, which alone takes CDI devices and runtimes. Made of the body for the shared one, so that
 * what a container may do is decided in one place. Pure.
 */
import type { CreateContainer } from "./sandbox.ts";

export type LibpodContainer = ReturnType<typeof libpodBody>;

const PERIOD_US = 100_000;
const NS_PER_S = 1e9;
const NETWORK_MODES = ["none", "bridge", "host"];

/** Body of `POST /libpod/containers/create`. @param devices `nvidia.com/gpu=NAME` */
export function libpodBody(name: string, body: CreateContainer, devices: readonly string[]) {
  const { Image, Entrypoint, Cmd, Env, Labels, User, WorkingDir, HostConfig } = body;
  return {
    name,
    image: Image,
    // What is absent is as the image has it.
    entrypoint: Entrypoint,
    command: Cmd,
    env: Object.fromEntries(Env.map(pairOf("="))),
    labels: Labels,
    user: User,
    work_dir: WorkingDir,
    hostname: body.Hostname,
    stdin: body.OpenStdin ?? false,
    terminal: body.Tty ?? false,
    devices: [...devices, ...deviceFolders(HostConfig)].map((path) => ({ path })),
    ...hostOf(HostConfig),
  };
}

const deviceFolders = ({ Devices = [] }: CreateContainer["HostConfig"]): string[] =>
  Devices.map(({ PathOnHost }) => PathOnHost);

function hostOf(config: CreateContainer["HostConfig"]) {
  const { Init, ReadonlyRootfs, CapDrop, SecurityOpt, IpcMode, LogConfig, Runtime, Binds, Tmpfs, ...others } =
    config;
  const seccomp = SecurityOpt.find((option) => option.startsWith("seccomp="))?.slice("seccomp=".length);
  return {
    init: Init,
    read_only_filesystem: ReadonlyRootfs,
    cap_drop: CapDrop,
    no_new_privileges: SecurityOpt.includes("no-new-privileges"),
    ...(seccomp === undefined ? {} : { seccomp_profile_path: seccomp }),
    ipcns: { nsmode: IpcMode },
    log_configuration: { driver: LogConfig.Type },
    ...(Runtime === undefined ? {} : { oci_runtime: Runtime }),
    mounts: [...Binds.map(bindOf), ...Object.entries(Tmpfs ?? {}).map(tmpfsOf)],
    ...limitsOf(others),
  };
}

type Others = Omit<
  CreateContainer["HostConfig"],
  | "Init"
  | "ReadonlyRootfs"
  | "CapDrop"
  | "SecurityOpt"
  | "IpcMode"
  | "LogConfig"
  | "Runtime"
  | "Binds"
  | "Tmpfs"
>;

function limitsOf(
  {
    Memory,
    MemorySwap,
    CpuShares,
    NanoCpus,
    PidsLimit,
    ShmSize,
    Ulimits,
    Devices: _,
    DeviceRequests: __,
    ...network
  }: Others,
) {
  const quota = Math.round(NanoCpus / NS_PER_S * PERIOD_US);
  return {
    resource_limits: {
      memory: { limit: Memory, swap: MemorySwap },
      cpu: { shares: CpuShares, quota, period: PERIOD_US },
      pids: { limit: PidsLimit },
    },
    shm_size: ShmSize,
    r_limits: Ulimits.map(({ Name, Soft, Hard }) => ({
      type: Name.toUpperCase(),
      soft: Soft,
      hard: Hard,
    })),
    ...networkOf(network),
  };
}

/** Nothing else may be left over: then the compiler says so. */
function networkOf(
  { NetworkMode, ExtraHosts = [], Dns = [], DnsOptions = [], ...rest }: Pick<
    Others,
    "NetworkMode" | "ExtraHosts" | "Dns" | "DnsOptions"
  >,
) {
  rest satisfies Record<string, never>;
  const isNamed = !NETWORK_MODES.includes(NetworkMode);
  return {
    netns: { nsmode: isNamed ? "bridge" : NetworkMode },
    ...(isNamed ? { networks: { [NetworkMode]: {} } } : {}),
    hostadd: ExtraHosts,
    dns_server: Dns,
    dns_option: DnsOptions,
  };
}

/** `SOURCE:TARGET:ro` */
function bindOf(bind: string) {
  const [source, destination, mode] = bind.split(":") as [string, string, string];
  return { type: "bind", source, destination, options: ["rbind", mode] };
}

const tmpfsOf = ([destination, options]: [string, string]) => ({
  type: "tmpfs",
  source: "tmpfs",
  destination,
  options: options.split(","),
});

const pairOf = (separator: string) => (text: string): [string, string] => {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + separator.length)];
};
