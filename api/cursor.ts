/** Cursors of pages: where the page before ended, opaque to clients. Pure. */
import { z } from "zod";
import { PlatformError } from "../sdk/errors.ts";

export function encodeCursor(place: readonly (string | number)[]): string {
  return btoa(JSON.stringify(place)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The place that a cursor holds, or undefined without one. A cursor that we did not make is refused. */
export function decodeCursor<T extends z.ZodType>(
  cursor: string | undefined,
  place: T,
): z.output<T> | undefined {
  if (cursor === undefined) return undefined;
  try {
    return place.parse(JSON.parse(atob(cursor.replaceAll("-", "+").replaceAll("_", "/"))));
  } catch (cause) {
    const message =
      "Cannot read the page: the cursor is not the `nextCursor` of a page before, leave it out to start over";
    throw new PlatformError("invalid_request", message, { field: "cursor", cause });
  }
}

/** A page of at most `limit` items out of `limit + 1`, the last of which only says that there is more. */
export function pageFrom<T>(
  rows: readonly T[],
  limit: number,
  place: (last: T) => readonly (string | number)[],
): { items: T[]; nextCursor?: string } {
  const items = rows.slice(0, limit);
  return rows.length > limit ? { items, nextCursor: encodeCursor(place(items.at(-1)!)) } : { items };
}

const Int = z.number().int().min(0);
/** A 32-bit one: the database takes no larger for an index. */
const SmallInt = Int.max(2 ** 31 - 1);

export const SeqPlace = z.tuple([Int]);
export const AttemptPlace = z.tuple([SmallInt]);
export const CallPlace = z.tuple([Int, SmallInt]);
export const IdPlace = z.tuple([z.string()]);
/** Milliseconds up to the last instant that a Date can hold. */
export const TimePlace = z.tuple([Int.max(8.64e15), z.string()]);
