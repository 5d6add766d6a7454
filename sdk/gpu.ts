/**
 * The GPU request grammar, in one place:
 *
 * | request | meaning |
 * |---|---|
 * | `"any"` | one whole GPU of any model |
 * | `"H100"` | one whole H100 |
 * | `"H100:4"` | four whole H100 on one node |
 * | `"L4:0.5"` | half of one L4 |
 * | `"A10\|L4:0.5"` | half of one A10 or L4, wherever it packs best |
 * | `"A100>=80GiB:2"` | two whole A100 with at least 80 GiB of memory each |
 * | `{ vram: ">=24GiB", count: 2 }` | two whole GPUs of any model with at least 24 GiB each: `"any>=24GiB:2"` |
 * | `{ model: "L4", share: 0.5 }` | `"L4:0.5"` |
 * | `["H100", { vram: ">=24GiB", count: 2 }]` | the first choice that fits, in this order |
 *
 * A share below one is counted in milli-GPU: 0.5 GPU = 500.
 */
import { parseMemory } from "./memory.ts";

/** One acceptable way to satisfy a GPU request. */
export interface GpuChoice {
  /** Model name as the runner reports it, several with `|` between them, or `"any"`. Compared without regard to case. */
  readonly model: string;
  /** GPUs needed on one node; 1 when `milli` is below 1000. */
  readonly count: number;
  /** Milli-GPU needed of each of them, 1 to 1000. */
  readonly milli: number;
  /** Least memory that each of them must have, in MiB; 0 for no matter how much. */
  readonly vramMiB: number;
}

/** A choice spelled out; a text says the same in short. */
export interface GpuOptions {
  /**
   * Model name, or several with `|` between them.
   * @default "any"
   */
  readonly model?: string | undefined;
  /** Least memory of each GPU, such as `">=24GiB"`. By default any amount will do. */
  readonly vram?: string | undefined;
  /**
   * Whole GPUs on one node.
   * @default 1
   */
  readonly count?: number | undefined;
  /** Part of one GPU, above 0 and below 1. By default all of it. */
  readonly share?: number | undefined;
}

/** One choice, as a text or spelled out. */
export type GpuRequest = string | GpuOptions;

const MODEL = /^[A-Za-z][A-Za-z0-9-]*(?:\|[A-Za-z][A-Za-z0-9-]*)*$/;
const VRAM = /^>=\s*(\d+(?:\.\d+)?)\s*(MiB|GiB|TiB)$/;
const TEXT = /^([^:>]+)(>=[^:]+)?(?::(\d+(?:\.\d+)?))?$/;
const GPUS_MAX = 64;
const WHOLE = 1000;
const MIB_PER_GIB = 1024;

/** A request in its parts, none of them looked at. */
interface Parts {
  readonly model: string;
  readonly vram: string | undefined;
  readonly amount: number;
}

/**
 * What is wrong with a GPU request, or null when nothing is.
 *
 * @example
 * ```ts
 * import { gpuProblem } from "./gpu.ts";
 * import assert from "node:assert/strict";
 * assert.equal(gpuProblem("H100:4"), null);
 * assert.equal(gpuProblem("H100:1.5"), "more than one GPU must be a whole number");
 * ```
 */
export function gpuProblem(request: GpuRequest): string | null {
  if (typeof request !== "string") return optionsProblem(request);
  const parts = partsOf(request);
  return parts === null
    ? `expected MODEL, MODEL:COUNT or MODEL:SHARE such as "H100", "H100:4" or "L4:0.5"`
    : partsProblem(parts);
}

function optionsProblem(options: GpuOptions): string | null {
  const { count, share } = options;
  if (count !== undefined && (!Number.isInteger(count) || count < 1)) {
    return "`count` must be a whole number from 1";
  }
  if (share !== undefined && !(share > 0 && share < 1)) return "`share` must be above 0 and below 1";
  if (share !== undefined && (count ?? 1) > 1) return "a share is of one GPU: leave `count` or `share` out";
  return partsProblem(partsOf(options)!);
}

function partsProblem({ model, vram, amount }: Parts): string | null {
  if (!MODEL.test(model)) return `"${model}" is not the name of a model such as "H100"`;
  if (vram !== undefined && !VRAM.test(vram)) return `"${vram}" is not an amount of memory such as ">=24GiB"`;
  if (amount <= 0) return "the amount must be above 0";
  if (amount > 1 && !Number.isInteger(amount)) return "more than one GPU must be a whole number";
  if (Math.abs(amount * WHOLE - Math.round(amount * WHOLE)) > 1e-6) {
    return "a share has at most three decimals";
  }
  return amount > GPUS_MAX ? `at most ${GPUS_MAX} GPUs per container` : null;
}

function partsOf(request: GpuRequest): Parts | null {
  if (typeof request !== "string") {
    const { model = "any", vram, count = 1, share } = request;
    return { model, vram, amount: share ?? count };
  }
  const found = TEXT.exec(request);
  return found === null ? null : { model: found[1]!, vram: found[2], amount: Number(found[3] ?? 1) };
}

/**
 * Reads a GPU request into its choices, most wanted first.
 *
 * @example
 * ```ts
 * import { parseGpu } from "./gpu.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(parseGpu(["H100:2", { vram: ">=24GiB", share: 0.5 }]), [
 *   { model: "H100", count: 2, milli: 1000, vramMiB: 0 },
 *   { model: "any", count: 1, milli: 500, vramMiB: 24 * 1024 },
 * ]);
 * ```
 */
export function parseGpu(request: GpuRequest | readonly GpuRequest[]): GpuChoice[] {
  return [request].flat().map((one: GpuRequest) => {
    const problem = gpuProblem(one);
    if (problem !== null) {
      throw new TypeError(
        `Cannot read GPU request ${typeof one === "string" ? `"${one}"` : JSON.stringify(one)}: ${problem}`,
      );
    }
    const { model, vram, amount } = partsOf(one)!;
    return {
      model,
      count: Math.max(1, Math.floor(amount)),
      milli: amount < 1 ? Math.round(amount * WHOLE) : WHOLE,
      vramMiB: vram === undefined ? 0 : parseMemory(vram.replace(/>=|\s/g, "")),
    };
  });
}

/**
 * A choice as a text that {@link parseGpu} reads as the same choice.
 *
 * @example
 * ```ts
 * import { gpuText } from "./gpu.ts";
 * import assert from "node:assert/strict";
 * assert.equal(gpuText({ model: "any", count: 2, milli: 1000, vramMiB: 24 * 1024 }), "any>=24GiB:2");
 * ```
 */
export function gpuText({ model, count, milli, vramMiB }: GpuChoice): string {
  const vram = vramMiB === 0 ? "" : `>=${memoryText(vramMiB)}`;
  const amount = milli < WHOLE ? milli / WHOLE : count;
  return `${model}${vram}${amount === 1 ? "" : `:${amount}`}`;
}

/** `24GiB`, or MiB when that is not a whole number. */
const memoryText = (mib: number): string => mib % MIB_PER_GIB === 0 ? `${mib / MIB_PER_GIB}GiB` : `${mib}MiB`;

/** Whether a GPU is of a model and size that a choice accepts. */
export function isAccepted(
  { model, vramMiB }: GpuChoice,
  gpu: { readonly model: string; readonly vramMiB: number },
): boolean {
  if (gpu.vramMiB < vramMiB) return false;
  const wanted = model.toLowerCase();
  return wanted === "any" || wanted.split("|").includes(gpu.model.toLowerCase());
}
