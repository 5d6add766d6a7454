/** GPUs in containers: which are asked for, what code is told of them, and whether they are really there. */
import type { Gpu, GpuShare } from "../../../sdk/protocol.ts";
import { StartError } from "../../engine.ts";
import { gpuEnv } from "../environment.ts";

/** Names for the engine, by UUID where there is one; simulated GPUs are not asked for. */
export const requestedGpus = (shares: readonly GpuShare[], gpus: readonly Gpu[]): string[] =>
  realGpus(shares, gpus).map(({ uuid, index }) => uuid ?? String(index));

/** Inside a container those without a UUID are counted anew. */
export function gpuEnvInside(
  shares: readonly GpuShare[],
  gpus: readonly Gpu[],
): Readonly<Record<string, string>> {
  const env = gpuEnv(shares, gpus);
  const real = realGpus(shares, gpus);
  if (real.length === 0 || real.some(({ uuid }) => uuid !== undefined)) return env;
  return { ...env, CUDA_VISIBLE_DEVICES: real.map((_, at) => at).join(",") };
}

const realGpus = (shares: readonly GpuShare[], gpus: readonly Gpu[]): Gpu[] =>
  shares.flatMap(({ index }) => gpus.filter((gpu) => gpu.index === index && !gpu.simulated));

/**
 * Looks into the container whether it has as many GPUs as were asked for: Podman 4.3 takes a request for GPUs and forgets it.
 *
 * @param pid the first process of the container
 */
export async function verifyGpus(pid: number, wanted: number): Promise<void> {
  if (wanted === 0) return;
  const found = await devicesOf(pid);
  if (found === null || found >= wanted) return;
  throw new StartError(
    `The container engine ignored the request for ${wanted} ${
      wanted === 1 ? "GPU" : "GPUs"
    }: the container has ${found}`,
  );
}

/** Null where a runner without the rights of root may not look, and when the container has ended already. */
async function devicesOf(pid: number): Promise<number | null> {
  try {
    const names = await Array.fromAsync(Deno.readDir(`/proc/${pid}/root/dev`), ({ name }) => name);
    return names.filter((name) => /^nvidia\d+$/.test(name)).length;
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
