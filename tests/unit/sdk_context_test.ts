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
