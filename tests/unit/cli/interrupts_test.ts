import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Presses } from "../../../sdk/cli/interrupts.ts";

describe("Presses", () => {
  it("takes signals that come together for one press, and later ones for further presses", () => {
    const presses = new Presses();
    assert.deepEqual([1_000, 1_000, 1_499, 1_500, 1_600, 9_000].map((now) => presses.signal(now)), [
      "first",
      "same",
      "same",
      "again",
      "same",
      "again",
    ]);
  });
});
