/** What machines have, as it is written on a command line. Pure. */
import { type ListedGpu, parseGpuList } from "../gpu_list.ts";
import { parseMemory } from "../memory.ts";
import { usageError } from "./failure.ts";

/** `8xH100:80GiB` */
export const gpusOf = (text: string): ListedGpu[] => read(() => parseGpuList(text));

/** `16GiB`, or a plain number of MiB. */
export const mibOf = (text: string): number =>
  read(() => parseMemory(/^\d+$/.test(text) ? Number(text) : text));

/** `zone=eu-1,rack=7` */
export function labelsOf(text: string): Record<string, string> {
  const pairs = text.split(",").filter((pair) => pair !== "").map((pair) => pair.split("="));
  if (pairs.every((pair) => pair.length === 2)) return Object.fromEntries(pairs);
  throw usageError(`Cannot read labels "${text}": expected NAME=VALUE, several of them joined by commas`);
}

/** A number for an option. */
export function numberOf(text: string): number {
  const n = Number(text);
  if (text.trim() !== "" && Number.isFinite(n)) return n;
  throw usageError(`Cannot read "${text}": it must be a number`);
}

function read<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw usageError((error as Error).message);
  }
}
