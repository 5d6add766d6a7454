/** The driver's side of the scheduler: pods as traces write them. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { firstFit, gradientDescent } from "../../bench/baselines.ts";
import { type NodeLine, type Pod, PodRoom } from "../../bench/pods.ts";
import { arrivals, classes, machines } from "../../bench/trace.ts";

const machine = (some: Partial<NodeLine>): NodeLine => ({
  id: "a",
  cpu_milli: 8_000,
  memory_mib: 32_768,
  gpus: 1,
  model: "T4",
  ...some,
});
const pod = (some: Partial<Pod>): Pod => ({
  id: 1,
  cpu_milli: 1_000,
  memory_mib: 1_024,
  num_gpu: 1,
  gpu_milli: 1000,
  gpu_spec: [],
  ...some,
});

describe("PodRoom", () => {
  it("names the node and its GPUs, until they are all taken", () => {
    const room = new PodRoom([machine({ gpus: 2 })], []);
    assert.deepEqual(room.place(pod({ num_gpu: 2 })), { node: "a", gpus: [0, 1] });
    assert.equal(room.place(pod({ id: 2 })), null);
    assert.deepEqual(room.place(pod({ id: 3, num_gpu: 0, gpu_milli: 0 })), { node: "a", gpus: [] });
  });

  it("takes only models that will do", () => {
    const room = new PodRoom([machine({}), machine({ id: "b", model: "A10" })], []);
    assert.equal(room.place(pod({ gpu_spec: ["P100"] })), null);
    assert.equal(room.place(pod({ gpu_spec: ["A10", "G2", "A10"] }))?.node, "b");
  });

  it("has the room again when a pod ends", () => {
    const room = new PodRoom([machine({})], []);
    room.place(pod({}));
    assert.equal(room.place(pod({ id: 2 })), null);
    room.end(1);
    room.end(2);
    assert.equal(room.place(pod({ id: 3 }))?.node, "a");
  });

  it("refuses only what fits nowhere, while the mix it was told turns out wrong", () => {
    const nodes = machines(5).slice(0, 40);
    const wrong = [{ ...pod({ gpu_milli: 100 }), count: 50 }];
    const room = new PodRoom(nodes, wrong);
    const left = new Map(nodes.map((one) => [one.id, { ...one, free: Array<number>(one.gpus).fill(1000) }]));
    for (const one of arrivals(nodes, 3, 5)) {
      const found = room.place(one);
      if (found === null) {
        for (const { cpu_milli, memory_mib, free } of left.values()) {
          const fits = cpu_milli >= one.cpu_milli && memory_mib >= one.memory_mib &&
            free.filter((milli) => milli >= one.gpu_milli).length >= one.num_gpu;
          assert.equal(fits, false);
        }
        continue;
      }
      const where = left.get(found.node)!;
      left.set(found.node, {
        ...where,
        cpu_milli: where.cpu_milli - one.cpu_milli,
        memory_mib: where.memory_mib - one.memory_mib,
        free: where.free.map((milli, g) => found.gpus.includes(g) ? milli - one.gpu_milli : milli),
      });
    }
  });
});

describe("machines()", () => {
  it("are those of the trace", () => {
    const nodes = machines(1);
    assert.deepEqual([nodes.length, nodes.reduce((sum, { gpus }) => sum + gpus, 0)], [1_213, 6_212]);
  });
});

describe("firstFit() and gradientDescent()", () => {
  it("place as much as fits", () => {
    const nodes = [machine({ gpus: 2 }), machine({ id: "b" })];
    for (const place of [firstFit(nodes), gradientDescent(nodes, classes)]) {
      assert.deepEqual([1, 2, 3, 4].map((id) => place(pod({ id }))), [true, true, true, false]);
      assert.equal(place(pod({ num_gpu: 0, gpu_milli: 0 })), true);
    }
  });
});
