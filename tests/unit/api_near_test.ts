import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { nearest, suggestion } from "../../api/near.ts";

describe("nearest()", () => {
  it("finds a slip of the pen: a letter too many, too few, another, or two swapped", () => {
    for (const slip of ["trainn", "trin", "traim", "trian", "Train"]) {
      assert.equal(nearest(slip, ["count", "train"]), "train", slip);
    }
  });

  it("finds nothing that is merely short", () => {
    assert.equal(nearest("abc", ["xyz"]), undefined);
    assert.equal(nearest("a", ["bcd"]), undefined);
    assert.equal(nearest("train", []), undefined);
  });
});

describe("suggestion()", () => {
  it("names what there is when nothing is near, up to a few", () => {
    assert.equal(suggestion("zzzz", ["a"]), '; there is "a"');
    assert.equal(suggestion("zzzz", ["a", "b"]), '; there are "a", "b"');
    assert.match(suggestion("zzzz", [..."abcdefghij"]), /"h", …$/);
    assert.equal(suggestion("zzzz", []), "");
  });
});
