/** The environments of what a runner starts: nothing is inherited but what is named here. Pure. */
import { volumeVariable } from "../../sdk/mount_paths.ts";
import type { Gang, Gpu, GpuShare } from "../../sdk/protocol.ts";

type Env = Readonly<Record<string, string>>;

/** What every program needs to find libraries, certificates and proxies. */
const SHARED = [
  "PATH",
  "LANG",
  "LC_ALL",
  "TZ",
  "LD_LIBRARY_PATH",
  "SSL_CERT_FILE",
  "SSL_CERT_DIR",
  "DENO_CERT",
  "DENO_TLS_CA_STORE",
  "NODE_EXTRA_CA_CERTS",
  "REQUESTS_CA_BUNDLE",
  "CURL_CA_BUNDLE",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
];
/** What tools that install packages need besides: where from, where to. */
const TOOLS = /^(HOME|XDG_CACHE_HOME|DENO_\w+|PIP_\w+|npm_config_\w+|NPM_CONFIG_\w+)$/;

/** For programs of ours that install packages. */
export const toolEnv = (own: Env): Env => ({
  ...Object.fromEntries(Object.entries(own).filter(([name]) => SHARED.includes(name) || TOOLS.test(name))),
  NO_COLOR: "1",
});

/** Where packages come from, for what installs them in a container: no path of this machine means anything there. */
const SOURCES =
  /^(PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|NO_INDEX|FIND_LINKS)|npm_config_registry|(https?|no)_proxy)$/i;

export const packageSources = (own: Env): Env =>
  Object.fromEntries(Object.entries(own).filter(([name]) => SOURCES.test(name)));

/** Which registry npm packages came from. Deno's cache is by registry: who looks into it must know. */
export const npmRegistry = (own: Env): Env =>
  Object.fromEntries(Object.entries(own).filter(([name]) => /^npm_config_registry$/i.test(name)));

export interface GuestEnv {
  readonly slot: string;
  readonly denoDir: string;
  /** As the function declares it. */
  readonly declared: Env;
  /** Values of secrets that come as variables. */
  readonly secrets: Env;
  readonly gpus: Env;
  readonly gang: Env;
  readonly volumes: Env;
  /** Where its packages are found. @default nothing of the runner's */
  readonly packages?: Env;
}

export const guestEnv = (
  own: Env,
  { slot, denoDir, declared, secrets, gpus, gang, volumes, packages = {} }: GuestEnv,
): Env => ({
  ...Object.fromEntries(Object.entries(own).filter(([name]) => SHARED.includes(name))),
  HOME: slot,
  NO_COLOR: "1",
  PYTHONUNBUFFERED: "1",
  DENO_NO_UPDATE_CHECK: "1",
  ...packages,
  ...gpus,
  ...gang,
  ...declared,
  ...secrets,
  ...volumes,
  DENO_DIR: denoDir,
  BERTH_SLOT: slot,
});

/** Says where volumes are, for programs that know nothing of `ctx`. */
export const volumeEnv = (volumes: readonly { readonly path: string; readonly place: string }[]): Env =>
  Object.fromEntries(volumes.map(({ path, place }) => [volumeVariable(path), place]));

/** Shows a process the GPUs it was given, and no others. */
export function gpuEnv(shares: readonly GpuShare[], gpus: readonly Gpu[]): Env {
  const given = shares.map(({ index }) => gpus.find((gpu) => gpu.index === index)).filter((gpu) =>
    gpu !== undefined
  );
  const simulated = given.some((gpu) => gpu.simulated);
  return {
    CUDA_VISIBLE_DEVICES: given.map(({ uuid, index }) => uuid ?? String(index)).join(","),
    // Numbers as nvidia-smi counts, not as CUDA ranks.
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    ...(simulated ? { BERTH_GPUS_SIMULATED: "1" } : mpsEnv(shares, given)),
  };
}

/** What NVIDIA's MPS, where it runs, holds a process with a part of a GPU to: that part of the cores and of the memory. */
function mpsEnv(shares: readonly GpuShare[], gpus: readonly Gpu[]): Env {
  const parts = shares.filter(({ milli }) => milli < 1_000);
  if (parts.length === 0) return {};
  const limits = shares.map(({ index, milli }, at) => {
    const vramMiB = gpus.find((gpu) => gpu.index === index)?.vramMiB ?? 0;
    return `${at}=${Math.floor(vramMiB * milli / 1_000)}M`;
  });
  return {
    CUDA_MPS_ACTIVE_THREAD_PERCENTAGE: String(Math.max(...parts.map(({ milli }) => Math.ceil(milli / 10)))),
    CUDA_MPS_PINNED_DEVICE_MEM_LIMIT: limits.join(","),
  };
}

/** What a rank of a gang finds in its environment, as torchrun and its like name it. Where rank 0 listens comes with each call. */
export const GANG_VARIABLES = [
  "RANK",
  "WORLD_SIZE",
  "LOCAL_RANK",
  "LOCAL_WORLD_SIZE",
  "NODE_RANK",
  "NNODES",
  "MASTER_ADDR",
  "MASTER_PORT",
] as const;

/**
 * One process for each node.
 *
 * @param nic the interface by which ranks on other nodes come. Libraries take one themselves when none is named: that of the machine's
 * own name, which may mean the machine itself and nobody else, or a bridge of containers.
 */
export const gangEnv = (gang: Pick<Gang, "rank" | "size"> | undefined, nic: string | null = null): Env =>
  gang === undefined ? {} : {
    RANK: String(gang.rank),
    WORLD_SIZE: String(gang.size),
    LOCAL_RANK: "0",
    LOCAL_WORLD_SIZE: "1",
    NODE_RANK: String(gang.rank),
    NNODES: String(gang.size),
    ...(nic === null
      ? {}
      : { GLOO_SOCKET_IFNAME: nic, TP_SOCKET_IFNAME: nic, NCCL_SOCKET_IFNAME: `=${nic}` }),
  };
