/** GPUs in containers: how an engine is asked for them, what code is told of them, and whether they are really there. */
import { readdirSync, readFileSync } from "node:fs";
import type { Gpu, GpuShare } from "../../../sdk/protocol.ts";
import { StartError } from "../../engine.ts";
import { gpuEnv } from "../environment.ts";
import type { Info } from "./client.ts";
import type { EngineVersion } from "./http.ts";

/**
 * How an engine takes GPUs: `request`, by Docker's device requests, which NVIDIA's toolkit answers; `cdi`, by the names of CDI in
 * such requests; `libpod`, by those names in Podman's own API, since Podman takes a request in the shared one and forgets it.
 */
export type GpuWay = "request" | "cdi" | "libpod";

export function gpuWay({ name }: Pick<EngineVersion, "name">, { Runtimes, CDISpecDirs }: Info): GpuWay {
  if (name === "podman") return "libpod";
  const hasToolkit = Runtimes?.nvidia !== undefined;
  return !hasToolkit && (CDISpecDirs ?? []).length > 0 ? "cdi" : "request";
}

export interface WantedGpus {
  readonly way: GpuWay;
  /** As the engine is to be asked for them; simulated ones are not. */
  readonly names: readonly string[];
}

/** Where tools leave descriptions of devices, and engines look for them. */
const CDI_FOLDERS = ["/etc/cdi", "/var/run/cdi"];

/** By UUID, where there is one and, for CDI, where devices are named so; else by index. */
export function wantedGpus(way: GpuWay, shares: readonly GpuShare[], gpus: readonly Gpu[]): WantedGpus {
  const real = realGpus(shares, gpus);
  if (way === "request") return { way, names: real.map(({ uuid, index }) => uuid ?? String(index)) };
  const described = real.length === 0 ? "" : descriptions();
  const isNamed = (uuid: string | undefined) => uuid !== undefined && described.includes(uuid);
  return { way, names: real.map(({ uuid, index }) => `nvidia.com/gpu=${isNamed(uuid) ? uuid : index}`) };
}

/** What is written there, read for the names in it alone. */
function descriptions(): string {
  return CDI_FOLDERS.flatMap((folder) => {
    try {
      return readdirSync(folder).map((name) => readFileSync(`${folder}/${name}`, "utf8"));
    } catch {
      return []; // it has no such folder
    }
  }).join("\n");
}

/** Inside a container those without a UUID are counted anew. */
export function gpuEnvInside(
  shares: readonly GpuShare[],
  gpus: readonly Gpu[],
): Readonly<Record<string, string>> {
  const env = { ...gpuEnv(shares, gpus), ...visible(realGpus(shares, gpus)) };
  const real = realGpus(shares, gpus);
  if (real.length === 0 || real.some(({ uuid }) => uuid !== undefined)) return env;
  return { ...env, CUDA_VISIBLE_DEVICES: real.map((_, at) => at).join(",") };
}

/** Images of NVIDIA's ask for all GPUs, and where its runtime is the engine's own they would get them. */
const visible = (gpus: readonly Gpu[]) => ({
  NVIDIA_VISIBLE_DEVICES: gpus.length === 0
    ? "void"
    : gpus.map(({ uuid, index }) => uuid ?? String(index)).join(","),
});

/** Simulated ones are told to code, and not asked for. */
export const realGpus = (shares: readonly GpuShare[], gpus: readonly Gpu[]): Gpu[] =>
  shares.flatMap(({ index }) => gpus.filter((gpu) => gpu.index === index && !gpu.simulated));

/**
 * Looks into the container whether it has the GPUs that were asked for, and no others: engines forget requests, and a runtime may
 * add what an image asks for.
 *
 * @param pid the first process of the container
 */
export async function verifyGpus(pid: number, { names }: WantedGpus): Promise<void> {
  const found = await devicesOf(pid);
  if (found === null || found.length === names.length) return;
  if (found.length < names.length) {
    throw new StartError(
      `The container engine ignored the request for ${
        count(names.length)
      }: the container has ${found.length}`,
    );
  }
  throw new StartError(
    `The container engine gave the container ${found.join(", ")}, and ${count(names.length)} was asked for`,
  );
}

const count = (n: number): string => n === 0 ? "no GPU" : n === 1 ? "1 GPU" : `${n} GPUs`;

/** Null where a runner without the rights of root may not look, and when the container has ended already. */
async function devicesOf(pid: number): Promise<string[] | null> {
  try {
    const names = await Array.fromAsync(Deno.readDir(`/proc/${pid}/root/dev`), ({ name }) => name);
    return names.filter((name) => /^nvidia\d+$/.test(name)).sort();
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
