import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Workload } from "../../scheduler/mix.ts";
import type { Need, Node } from "../../scheduler/model.ts";
import { roomOf } from "../../scheduler/room.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { dice, gpus, need, node } from "../setup/snapshots.ts";

interface World {
  readonly digest?: string;
  readonly mix?: readonly Workload[];
}

const bestOf = (wanted: Need, nodes: readonly Node[], { digest, mix }: World = {}): string | null =>
  roomOf(nodes, [], mix).find(wanted, digest ?? null)?.node.id ?? null;

const asks = (gpu: string, some: Partial<Need> = {}) => need({ gpu: parseGpu(gpu), ...some });
/** A third of each. */
const mixed = (...needs: Need[]): Workload[] => needs.map((need) => ({ need, weight: 1 }));

describe("Room.find() ranks", () => {
  it("nothing without nodes", () => assert.equal(bestOf(need(), []), null));

  it("first where the least of a GPU is left over", () => {
    const nodes = [node({ id: "a", gpus: gpus("L4", 1000) }), node({ id: "b", gpus: gpus("L4", 1000, 600) })];
    const found = roomOf(nodes, []).find(asks("L4:0.5"), null)!;
    assert.deepEqual([found.node.id, found.gpus], ["b", [{ index: 1, milli: 500 }]]);
  });

  it("a share where the rest of the mix can use what is left, though another GPU is fuller", () => {
    const nodes = [node({ id: "a", gpus: gpus("L4", 700) }), node({ id: "b", gpus: gpus("L4", 800) })];
    const mix = mixed(asks("L4:0.4"), asks("L4:0.5"));
    assert.equal(bestOf(asks("L4:0.4"), nodes, { mix }), "b");
  });

  it("last where the CPU would be gone and GPUs left", () => {
    const nodes = [
      node({ id: "a", cpuMilliFree: 8_000, gpus: gpus("L4", 1000, 1000) }),
      node({ id: "b", cpuMilliFree: 64_000, cpuMilli: 64_000, gpus: gpus("L4", 1000, 1000) }),
    ];
    const hungry = asks("L4", { cpuMilli: 7_000 });
    assert.equal(bestOf(hungry, nodes, { mix: mixed(hungry, asks("L4", { cpuMilli: 3_000 })) }), "b");
  });

  it("last GPUs that other work can't do without", () => {
    const nodes = [
      node({ id: "a", gpus: gpus("T4", 1000, 0, 0, 0) }),
      node({ id: "b", gpus: gpus("L4", 1000, 0, 0, 0) }),
    ];
    assert.equal(bestOf(asks("any"), nodes, { mix: mixed(asks("any"), asks("any"), asks("T4")) }), "b");
  });

  it("the node with many idle GPUs last, so that it stays whole", () => {
    const nodes = [
      node({ id: "a", gpus: gpus("H100", 1000, 1000, 1000) }),
      node({ id: "b", gpus: gpus("H100", 1000, 0, 0) }),
    ];
    assert.equal(bestOf(asks("H100"), nodes), "b");
  });

  it("work without a GPU off nodes with GPUs, and then off idle ones", () => {
    const nodes = [node({ id: "a", gpus: gpus("H100", 1000) }), node({ id: "b" })];
    assert.equal(bestOf(need(), nodes), "b");
    const onlyGpus = [node({ id: "a", gpus: gpus("H100", 1000) }), node({ id: "b", gpus: gpus("H100", 0) })];
    assert.equal(bestOf(need(), onlyGpus), "b");
  });

  it("a GPU node for work without a GPU when there is no other", () => {
    assert.equal(bestOf(need(), [node({ id: "a", gpus: gpus("H100", 1000) })]), "a");
  });

  it("the node that has the bundle first among equals, then the cheaper, the one in use, and by id", () => {
    const all = gpus("L4", 1000);
    const plain = node({ id: "b", gpus: all });
    const cached = node({ id: "d", gpus: all, cached: ["sha"], costPerHour: 3 });
    const cheap = node({ id: "c", gpus: all, costPerHour: -1 });
    const used = node({ id: "e", gpus: all, cpuMilliFree: 7_999 });
    assert.equal(bestOf(asks("L4"), [plain, cached, cheap, used], { digest: "sha" }), "d");
    assert.equal(bestOf(asks("L4"), [plain, cheap, used], { digest: "sha" }), "c");
    assert.equal(bestOf(asks("L4"), [plain, used]), "e");
    assert.equal(bestOf(asks("L4"), [plain, node({ id: "a", gpus: all })]), "a");
  });

  it("the fuller node first for work without a GPU", () => {
    assert.equal(bestOf(need(), [node({ id: "a" }), node({ id: "b", cpuMilliFree: 200 })]), "b");
  });

  it("the same, in whatever order nodes are named (200 seeds)", () => {
    for (let seed = 0; seed < 200; seed++) {
      const { upTo, pick, next } = dice(seed);
      const nodes = Array.from({ length: 1 + upTo(6) }, (_, i) =>
        node({
          id: `n${i}`,
          cpuMilliFree: upTo(3) * 100,
          gpus: gpus(pick(["L4", "H100"]), ...Array.from({ length: upTo(3) }, () => upTo(2) * 500)),
        }));
      const wanted = pick([need(), asks("L4"), asks("L4:0.5"), asks("any")]);
      const keyed = nodes.map((one) => ({ one, key: next() }));
      const shuffled = keyed.sort((a, b) => a.key - b.key).map(({ one }) => one);
      assert.equal(bestOf(wanted, nodes), bestOf(wanted, shuffled), `seed ${seed}`);
    }
  });
});
