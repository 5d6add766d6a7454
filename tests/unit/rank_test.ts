import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { fit } from "../../scheduler/fit.ts";
import type { Need, Node } from "../../scheduler/model.ts";
import { best } from "../../scheduler/rank.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { dice, gpus, need, node } from "../setup/snapshots.ts";

function bestOf(wanted: Need, nodes: readonly Node[], warm: readonly string[] = []): string | null {
  const candidates = nodes.flatMap((where) => {
    const shares = fit(wanted, wanted.gpu[0] ?? null, where);
    return shares === null ? [] : [{ node: where, gpus: shares, hasBundle: warm.includes(where.id) }];
  });
  return best(wanted, candidates)?.node.id ?? null;
}

const asks = (gpu: string) => need({ gpu: parseGpu(gpu) });

describe("best()", () => {
  it("is null without candidates", () => assert.equal(best(need(), []), null));

  it("puts a share where the least of a GPU is left over", () => {
    const nodes = [node({ id: "a", gpus: gpus("L4", 1000) }), node({ id: "b", gpus: gpus("L4", 1000, 600) })];
    assert.equal(bestOf(asks("L4:0.5"), nodes), "b");
  });

  it("keeps the node with many idle GPUs whole", () => {
    const nodes = [
      node({ id: "a", gpus: gpus("H100", 1000, 1000, 1000) }),
      node({ id: "b", gpus: gpus("H100", 1000, 0, 0) }),
    ];
    assert.equal(bestOf(asks("H100"), nodes), "b");
  });

  it("keeps work without a GPU off nodes with idle GPUs", () => {
    const nodes = [node({ id: "a", gpus: gpus("H100", 1000) }), node({ id: "b" })];
    assert.equal(bestOf(need(), nodes), "b");
    const onlyGpus = [node({ id: "a", gpus: gpus("H100", 1000) }), node({ id: "b", gpus: gpus("H100", 0) })];
    assert.equal(bestOf(need(), onlyGpus), "b");
  });

  it("uses a GPU node for work without a GPU when there is no other", () => {
    assert.equal(bestOf(need(), [node({ id: "a", gpus: gpus("H100", 1000) })]), "a");
  });

  it("prefers the node that has the bundle among equals", () => {
    const nodes = [node({ id: "a" }), node({ id: "b" })];
    assert.equal(bestOf(need(), nodes, ["b"]), "b");
  });

  it("fills the fuller node, then goes by id", () => {
    assert.equal(bestOf(need(), [node({ id: "a" }), node({ id: "b", cpuMilliFree: 200 })]), "b");
    assert.equal(bestOf(need(), [node({ id: "b" }), node({ id: "a" })]), "a");
  });

  it("does not depend on the order of the candidates (200 seeds)", () => {
    for (let seed = 0; seed < 200; seed++) {
      const { upTo, pick, next } = dice(seed);
      const nodes = Array.from({ length: 1 + upTo(6) }, (_, i) =>
        node({
          id: `n${i}`,
          cpuMilliFree: upTo(3) * 100,
          gpus: gpus("L4", ...Array.from({ length: upTo(3) }, () => upTo(2) * 500)),
        }));
      const wanted = pick([need(), asks("L4"), asks("L4:0.5")]);
      const shuffled = nodes.map((one) => ({ one, key: next() })).sort((a, b) => a.key - b.key).map((
        { one },
      ) => one);
      assert.equal(bestOf(wanted, nodes), bestOf(wanted, shuffled), `seed ${seed}`);
    }
  });
});
