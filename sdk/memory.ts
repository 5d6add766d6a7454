/** Memory as people write it ("2GiB") and as specs count it (MiB). Pure. */

const MIB_BY_UNIT = { MiB: 1, GiB: 1_024, TiB: 1_024 * 1_024 } as const;

/** MiB as a number, or a text such as `"512MiB"`, `"2GiB"` or `"1.5GiB"`. */
export type Memory = number | string;

const SHAPE = /^(\d+(?:\.\d+)?) ?(MiB|GiB|TiB)$/;

/**
 * MiB of an amount of memory.
 *
 * @example
 * ```ts
 * import { parseMemory } from "./memory.ts";
 * import assert from "node:assert/strict";
 * assert.equal(parseMemory("1.5GiB"), 1_536);
 * assert.equal(parseMemory(512), 512);
 * ```
 */
export function parseMemory(memory: Memory): number {
  if (typeof memory === "number") return memory;
  const parts = SHAPE.exec(memory);
  if (parts === null) {
    throw new TypeError(
      `Cannot read memory "${memory}": expected MiB as a number, or a text such as "512MiB" or "2GiB"`,
    );
  }
  return Math.ceil(Number(parts[1]) * MIB_BY_UNIT[parts[2] as keyof typeof MIB_BY_UNIT]);
}
