/** Which GPUs a node has: asked of nvidia-smi, or declared for machines without. */
import type { Gpu } from "../sdk/protocol.ts";
import type { Spawn } from "./engine.ts";

const QUERY = ["--query-gpu=index,name,memory.total,uuid", "--format=csv,noheader,nounits"];
const GPUS_MAX = 1_024;

/** VRAM of models whose declaration does not say it, GiB. */
const VRAM_GIB: Readonly<Record<string, number>> = {
  B200: 192,
  H200: 141,
  H100: 80,
  A100: 80,
  L40S: 48,
  A10: 24,
  A10G: 24,
  L4: 24,
  T4: 16,
  V100: 16,
};

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

const PART = /^(\d+)x([A-Za-z][A-Za-z0-9-]{0,63})(?::(\d+(?:\.\d+)?)(GiB|MiB))?$/;
const EXPECTED =
  `expected COUNTxMODEL:MEMORY, comma-separated, such as "8xH100:80GiB" or "4xH100:80GiB,2xL4:24GiB"`;

/**
 * Reads `--simulate-gpus`: GPUs that are counted and given away, though there are none.
 *
 * @throws TypeError naming the part that makes no sense
 */
export function parseSimulatedGpus(text: string): Gpu[] {
  const gpus = text.split(",").flatMap((part) => {
    const { count, model, vramMiB } = readPart(text, part.trim());
    return Array.from({ length: count }, () => ({ model, vramMiB, simulated: true }));
  });
  if (gpus.length > GPUS_MAX) refuse(text, `${gpus.length} GPUs are more than ${GPUS_MAX}`);
  return gpus.map((gpu, index) => ({ index, ...gpu }));
}

function readPart(text: string, part: string): { count: number; model: string; vramMiB: number } {
  const [, count, model, amount, unit] = PART.exec(part) ??
    refuse(text, `"${part}" makes no sense, ${EXPECTED}`);
  if (Number(count) < 1 || Number(count) > GPUS_MAX) {
    refuse(text, `the count in "${part}" must be 1 to ${GPUS_MAX}`);
  }
  if (model!.toLowerCase() === "any") refuse(text, `"any" is not a model, ${EXPECTED}`);
  const gib = amount === undefined
    ? VRAM_GIB[model!.toUpperCase()]
    : Number(amount) / (unit === "MiB" ? 1_024 : 1);
  if (gib === undefined) refuse(text, `the memory of "${model}" is not known, write it as "${part}:24GiB"`);
  const vramMiB = Math.round(gib * 1_024);
  if (vramMiB < 1 || vramMiB > 4 * 1_024 * 1_024) {
    refuse(text, `the memory in "${part}" must be 1MiB to 4096GiB`);
  }
  return { count: Number(count), model: model!, vramMiB };
}

function refuse(text: string, why: string): never {
  throw new TypeError(`Cannot read simulated GPUs "${text}": ${why}`);
}
