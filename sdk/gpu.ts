/**
 * The GPU request grammar, in one place:
 *
 * | text | meaning |
 * |---|---|
 * | `"any"` | one whole GPU of any model |
 * | `"H100"` | one whole H100 |
 * | `"H100:4"` | four whole H100 on one node |
 * | `"L4:0.5"` | half of one L4 |
 * | `["H100", "A100:2"]` | the first choice that fits, in this order |
 *
 * A share below one is counted in milli-GPU: 0.5 GPU = 500.
 */

/** One acceptable way to satisfy a GPU request. */
export interface GpuChoice {
  /** Model name as the runner reports it, or `"any"`. Compared without regard to case. */
  readonly model: string;
  /** Whole GPUs needed on one node; 1 when `milli` is below 1000. */
  readonly count: number;
  /** Milli-GPU needed of each of them, 1 to 1000. */
  readonly milli: number;
}

const SHAPE = /^([A-Za-z][A-Za-z0-9-]*)(?::(\d+(?:\.\d{1,3})?))?$/;

/** What is wrong with a GPU request, or null when nothing is. */
export function gpuProblem(text: string): string | null {
  const parts = SHAPE.exec(text);
  if (parts === null) {
    return `expected MODEL, MODEL:COUNT or MODEL:SHARE such as "H100", "H100:4" or "L4:0.5"`;
  }
  const amount = Number(parts[2] ?? 1);
  if (amount <= 0) return "the amount must be above 0";
  if (amount > 1 && !Number.isInteger(amount)) return "more than one GPU must be a whole number";
  return amount > 64 ? "at most 64 GPUs per container" : null;
}

/**
 * Reads a GPU request into its choices, most wanted first.
 *
 * @example
 * ```ts
 * import { parseGpu } from "./gpu.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(parseGpu(["H100:2", "L4:0.5"]), [
 *   { model: "H100", count: 2, milli: 1000 },
 *   { model: "L4", count: 1, milli: 500 },
 * ]);
 * ```
 */
export function parseGpu(request: string | readonly string[]): GpuChoice[] {
  return [request].flat().map((text) => {
    const problem = gpuProblem(text);
    if (problem !== null) throw new TypeError(`Cannot read GPU request "${text}": ${problem}`);
    const [, model, amount = "1"] = SHAPE.exec(text)!;
    const n = Number(amount);
    return { model: model!, count: Math.max(1, Math.floor(n)), milli: n < 1 ? Math.round(n * 1000) : 1000 };
  });
}
