import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  AttemptPlace,
  CallPlace,
  decodeCursor,
  encodeCursor,
  IdPlace,
  pageFrom,
  TimePlace,
} from "../../api/cursor.ts";
import { PlatformError } from "../../sdk/errors.ts";

describe("decodeCursor()", () => {
  it("reads what encodeCursor() wrote, in characters that a URL takes as they are", () => {
    const place = [Date.UTC(2026, 0, 1), "ctr_~?>"] as const;
    const cursor = encodeCursor(place);
    assert.match(cursor, /^[A-Za-z0-9_-]+$/);
    assert.deepEqual(decodeCursor(cursor, TimePlace), place);
    assert.equal(decodeCursor(undefined, IdPlace), undefined);
  });

  it("refuses what it did not write, and what the database could not take", () => {
    const refused: [string, Parameters<typeof decodeCursor>[1]][] = [
      ["", IdPlace],
      ["%%%", IdPlace],
      [encodeCursor([1]), IdPlace],
      [encodeCursor(["a", "b"]), IdPlace],
      [encodeCursor([1, 2 ** 31]), CallPlace],
      [encodeCursor([-1, 0]), CallPlace],
      [encodeCursor([2 ** 31]), AttemptPlace],
      [encodeCursor([9e15, "a"]), TimePlace],
    ];
    for (const [cursor, place] of refused) {
      assert.throws(
        () => decodeCursor(cursor, place),
        (error) => error instanceof PlatformError && error.field === "cursor",
        cursor,
      );
    }
  });
});

describe("pageFrom()", () => {
  it("gives a cursor only when there is more", () => {
    const place = (n: number) => [n];
    assert.deepEqual(pageFrom([1, 2], 2, place), { items: [1, 2] });
    assert.deepEqual(pageFrom([1, 2, 3], 2, place), { items: [1, 2], nextCursor: encodeCursor([2]) });
    assert.deepEqual(pageFrom([], 2, place), { items: [] });
  });
});
