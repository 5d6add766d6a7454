import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { whyNot } from "../../scheduler/why_not.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { LABEL_OCI } from "../../sdk/labels.ts";
import { gpus, need, node } from "../setup/snapshots.ts";

const asks = (...gpu: string[]) => need({ gpu: parseGpu(gpu) });
const sick = (model: string, n: number) =>
  gpus(model, ...Array<number>(n).fill(1000)).map((gpu) => ({ ...gpu, healthy: false }));

describe("whyNot()", () => {
  const reasons: [string, ReturnType<typeof need>, ReturnType<typeof node>[]][] = [
    ["no node is up", need(), []],
    ["needs 1 × H100; no node has one", asks("H100"), [node()]],
    ["needs 1 × any GPU; no node has a GPU", asks("any"), [node()]],
    ["needs 8 × H100; largest node has 4", asks("H100:8"), [node({ gpus: gpus("H100", 0, 0, 0, 0) })]],
    ["needs 2 × H100; largest free node has 1", asks("H100:2"), [
      node({ gpus: gpus("H100", 1000, 0) }),
      node({ id: "node_2", gpus: gpus("H100", 999, 1000) }),
    ]],
    ["needs 0.5 × L4; most free of one GPU is 0.25", asks("L4:0.5"), [node({ gpus: gpus("L4", 250, 100) })]],
    ["needs 4 CPU; largest free node has 2.5", need({ cpuMilli: 4_000 }), [node({ cpuMilliFree: 2_500 })]],
    ["needs 1024 MiB memory; largest free node has 512", need({ memoryMiB: 1024 }), [
      node({ memoryMiBFree: 512 }),
    ]],
    ["needs 2 × H100; no node has one; or needs 1 × L4; largest free node has 0", asks("H100:2", "L4"), [
      node({ gpus: gpus("L4", 900) }),
    ]],
    ["the only node is cordoned", need(), [node({ cordoned: true })]],
    [
      "the container engine of each node that it could run on is away",
      need({ labels: { [LABEL_OCI]: "yes" } }),
      [node({ labels: { [LABEL_OCI]: "yes" }, engineAway: "images" }), node()],
    ],
    [
      "the container engine of each node that it could run on is away",
      need(),
      [node({ engineAway: "all" })],
    ],
    ["needs an image; no node has a container engine", need({ labels: { [LABEL_OCI]: "yes" } }), [node()]],
    [
      "needs a node with zone=eu and a container engine; no node has that",
      need({ labels: { zone: "eu", [LABEL_OCI]: "yes" } }),
      [node({ labels: { [LABEL_OCI]: "yes" } })],
    ],
    ["needs a node with zone=eu; no node has that", need({ labels: { zone: "eu" } }), [node()]],
    ["needs 2048 MiB disk; largest free node has 512", need({ diskMiB: 2_048 }), [
      node({ diskMiBFree: 512 }),
    ]],
    ["needs port 8000, which another container has on each node", need({ port: 8_000 }), [
      node({ ports: [8_000, 8_001] }),
    ]],
    ["needs 1 × H100 of 94 GiB; no node has one", asks("H100>=94GiB"), [node({ gpus: gpus("H100", 1000) })]],
    ["needs 1 × any GPU of 94 GiB; no node has one", asks("any>=94GiB"), [
      node({ gpus: gpus("H100", 1000) }),
    ]],
    ["needs 2 × A10 or L4; largest free node has 1", asks("A10|L4:2"), [node({ gpus: gpus("L4", 1000, 0) })]],
    ["needs 1 × H100; no node has a healthy one, and 2 that are unhealthy", asks("H100"), [
      node({ gpus: sick("H100", 2) }),
    ]],
    [
      "needs 4 CPU, 1024 MiB memory together; no free node has that",
      need({ cpuMilli: 4_000, memoryMiB: 1_024 }),
      [
        node({ memoryMiBFree: 512 }),
        node({ id: "node_2", cpuMilliFree: 1_000 }),
      ],
    ],
  ];
  for (const [reason, wanted, nodes] of reasons) {
    it(`says "${reason}"`, () => assert.equal(whyNot(wanted, nodes), reason));
  }
});
