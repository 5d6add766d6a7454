/** The `Range` header of HTTP, for one range of bytes: the only kind that those who read blobs send. Pure. */
import type { ByteRange } from "./blobs.ts";

/** A range within a blob, both ends known. */
export type Part = Required<ByteRange>;

/**
 * What a `Range` header asks for of `size` bytes. Null: nothing in particular, since what is no such header may be ignored.
 *
 * @returns "unsatisfiable" when nothing of the blob is in it
 */
export function parseRange(header: string | undefined, size: number): Part | null | "unsatisfiable" {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? [];
  if (first === undefined || last === undefined || first + last === "") return null;
  const part = first === ""
    ? { from: Math.max(0, size - Number(last)), to: size } // the last so many
    : { from: Number(first), to: last === "" ? size : Math.min(size, Number(last) + 1) };
  if (first !== "" && last !== "" && Number(last) < Number(first)) return null;
  return part.from < part.to ? part : "unsatisfiable";
}

/** The `Content-Range` of a part of `size` bytes. */
export const contentRange = ({ from, to }: Part, size: number): string => `bytes ${from}-${to - 1}/${size}`;
