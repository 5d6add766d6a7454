import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { ArtifactRef, parseArtifactRef } from "../../sdk/protocol.ts";

describe("parseArtifactRef()", () => {
  it("tells numbers, aliases and the newest version apart", () => {
    const cases: readonly [text: string, at: number | string | null][] = [
      ["model", null],
      ["model@latest", null],
      ["model@1", 1],
      ["model@2147483647", 2_147_483_647],
      ["model@production", "production"],
      ["model@v1-rc_2", "v1-rc_2"],
    ];
    for (const [text, at] of cases) assert.deepEqual(parseArtifactRef(text), { name: "model", at });
  });

  it("takes nothing else", () => {
    const refused = [
      "",
      "@",
      "@3",
      "3",
      "model@",
      "model@0",
      "model@01",
      "model@-1",
      "model@1.5",
      "model@1e3",
    ];
    refused.push("model@2147483648", "model@a@b", "mo del", "model@3 ", "model/3", `${"m".repeat(64)}`);
    for (const text of refused) {
      assert.equal(parseArtifactRef(text), null, text);
      assert.ok(!ArtifactRef.safeParse(text).success, text);
    }
  });
});
