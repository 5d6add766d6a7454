/** GPUs of a machine, as people write them down: `8xH100:80GiB`, several kinds joined by commas. Pure. */

/** A GPU, as far as packing is concerned. */
export interface ListedGpu {
  readonly model: string;
  readonly vramMiB: number;
}

const GPUS_MAX = 1_024;

/** VRAM of models that are written without, GiB. */
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

const PART = /^(\d+)x([A-Za-z][A-Za-z0-9-]{0,63})(?::(\d+(?:\.\d+)?)(GiB|MiB))?$/;
const EXPECTED =
  `expected COUNTxMODEL:MEMORY, comma-separated, such as "8xH100:80GiB" or "4xH100:80GiB,2xL4:24GiB"`;

/**
 * Reads a list of GPUs.
 *
 * @throws TypeError naming the part that makes no sense
 * @example
 * ```ts
 * import { parseGpuList } from "./gpu_list.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(parseGpuList("1xL4,1xH100:40GiB"), [
 *   { model: "L4", vramMiB: 24_576 },
 *   { model: "H100", vramMiB: 40_960 },
 * ]);
 * ```
 */
export function parseGpuList(text: string): ListedGpu[] {
  const gpus = text.split(",").flatMap((part) => {
    const { count, model, vramMiB } = readPart(text, part.trim());
    return Array.from({ length: count }, () => ({ model, vramMiB }));
  });
  if (gpus.length > GPUS_MAX) refuse(text, `${gpus.length} GPUs are more than ${GPUS_MAX}`);
  return gpus;
}

/** The text of a list of GPUs; reading it gives the same. */
export function formatGpuList(gpus: readonly ListedGpu[]): string {
  const runs: { model: string; vramMiB: number; count: number }[] = [];
  for (const { model, vramMiB } of gpus) {
    const last = runs.at(-1);
    if (last?.model === model && last.vramMiB === vramMiB) last.count++;
    else runs.push({ model, vramMiB, count: 1 });
  }
  return runs.map(({ model, vramMiB, count }) => `${count}x${model}:${amount(vramMiB)}`).join(",");
}

const amount = (mib: number): string => mib % 1_024 === 0 ? `${mib / 1_024}GiB` : `${mib}MiB`;

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
  throw new TypeError(`Cannot read GPUs "${text}": ${why}`);
}
