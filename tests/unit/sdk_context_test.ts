import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { CallContext, containerContext } from "../../sdk/context.ts";
import { localContext, localOutlet } from "../../sdk/local.ts";

const ALONE = { app: "a", function: "f", container: "ctr_1" };
const RANK = { ...ALONE, gang: { rank: 2, size: 3 } };
const CALL = { number: 1, id: "call_1", attempt: 1 };
const signal = new AbortController().signal;

describe("ctx.rank, ctx.worldSize and ctx.gang", () => {
  it("are the place of the container, and where rank 0 listens for this call", () => {
    const master = { address: "node-1", port: 29_500 };
    const ctx = new CallContext(RANK, { ...CALL, master }, localOutlet);
    assert.deepEqual([ctx.rank, ctx.worldSize, ctx.gang], [2, 3, {
      masterAddress: "node-1",
      masterPort: 29_500,
    }]);
    const outside = containerContext(RANK, { outlet: localOutlet, signal, write: () => {} });
    assert.deepEqual([outside.rank, outside.worldSize, outside.container], [2, 3, "ctr_1"]);
  });

  it("say that a container alone is rank 0 of 1", () => {
    const outside = containerContext(ALONE, { outlet: localOutlet, signal, write: () => {} });
    for (
      const ctx of [
        new CallContext(ALONE, CALL, localOutlet),
        localContext({ app: "a", function: "f" }),
        outside,
      ]
    ) {
      assert.deepEqual([ctx.rank, ctx.worldSize, "gang" in ctx ? ctx.gang : undefined], [0, 1, undefined]);
    }
  });
});

describe("ctx.artifact() of a local call", () => {
  it("publishes to the memory of the process, and loads from there", async () => {
    const ctx = localContext({ app: "a", function: "f" });
    const bytes = (text: string) => new TextEncoder().encode(text);
    const first = await ctx.artifact("model", bytes("one"));
    assert.deepEqual([first.version, first.size, first.digest.slice(0, 8)], [1, 3, "7692c3ad"]);
    assert.equal((await ctx.artifact("model", bytes("one"))).version, 1);
    assert.equal((await ctx.artifact("model", bytes("two"))).version, 2);
    const outside = containerContext(ALONE, { outlet: localOutlet, signal, write: () => {} });
    for (const [ref, text] of [["model", "two"], ["model@1", "one"], ["model@production", "two"]] as const) {
      assert.equal(new TextDecoder().decode(await outside.artifact(ref)), text);
    }
    await assert.rejects(
      outside.artifact("model@3"),
      /^Error: Cannot find artifact model@3: none was published/,
    );
  });
});
