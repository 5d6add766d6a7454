/** Which GPUs a node has: asked of nvidia-smi, or declared for machines without. */
import { parseGpuList } from "../sdk/gpu_list.ts";
import type { Gpu } from "../sdk/protocol.ts";
import type { Spawn } from "./engine.ts";

const QUERY = ["--query-gpu=index,name,memory.total,uuid", "--format=csv,noheader,nounits"];
/** The GPUs of this machine; none when nvidia-smi is absent or finds none. */
export async function probeGpus(spawn: Spawn, visible: string | undefined): Promise<Gpu[]> {
  try {
    const { code, stdout } = await spawn.output({ command: "nvidia-smi", args: QUERY });
    return code === 0 ? visibleGpus(parseNvidiaSmi(stdout), visible) : [];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Reads nvidia-smi's answer; lines that make no sense are left out. */
export function parseNvidiaSmi(csv: string): Gpu[] {
  return csv.split("\n").flatMap((line) => {
    const [index, name, mib, uuid] = line.split(",").map((field) => field.trim());
    if (!/^\d+$/.test(index ?? "") || name === undefined || name === "") return [];
    // Machines with unified memory answer "[N/A]".
    const vramMiB = /^\d+$/.test(mib ?? "") ? Number(mib) : 0;
    const gpu = { index: Number(index), model: normaliseModel(name), vramMiB, simulated: false };
    return [uuid?.startsWith("GPU-") ? { ...gpu, uuid } : gpu];
  });
}

/** Those that CUDA_VISIBLE_DEVICES lets this process use; a batch system gives a runner its share that way. */
export function visibleGpus(gpus: readonly Gpu[], visible: string | undefined): Gpu[] {
  if (visible === undefined) return [...gpus];
  const names = visible.split(",").map((name) => name.trim()).filter((name) => name !== "");
  return gpus.filter(({ index, uuid }) =>
    names.some((name) =>
      name === String(index) || (uuid !== undefined && name.length > 4 && uuid.startsWith(name))
    )
  );
}

/**
 * The name people use for a model: `NVIDIA A100-SXM4-80GB` → `A100`, `NVIDIA GeForce RTX 4090` → `RTX-4090`. It holds only
 * what a GPU request can name.
 */
export function normaliseModel(name: string): string {
  const bare = name.replace(/^NVIDIA\s+/i, "").replace(/^(GeForce|Tesla|Quadro|Graphics Device)\s+/i, "");
  const workstation = /^(?:GeForce\s+)?((?:RTX|GTX|TITAN)\b.*)$/i.exec(bare)?.[1];
  if (workstation !== undefined) return requestable(withoutNoise(workstation).toUpperCase());
  const dataCentre = /^[A-Z]{1,2}\d+[A-Z]{0,2}(?=$|[\s-])/.exec(bare)?.[0];
  return requestable(dataCentre ?? withoutNoise(bare));
}

const withoutNoise = (name: string): string =>
  name.replace(/\b\d+\s?GB\b|\bGeneration\b|\bLaptop GPU\b|\bGPU\b|\(.*?\)/gi, " ").trim();

function requestable(name: string): string {
  const text = name.replace(/[^A-Za-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64);
  return /^[A-Za-z]/.test(text) ? text : `GPU-${text}`.replace(/-$/, "");
}

/**
 * Reads `--simulate-gpus`: GPUs that are counted and given away, though there are none.
 *
 * @throws TypeError naming the part that makes no sense
 */
export const parseSimulatedGpus = (text: string): Gpu[] =>
  parseGpuList(text).map((gpu, index) => ({ index, ...gpu, simulated: true }));
