import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { choices, fit, whyNot } from "../../scheduler/fit.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { dice, gpus, need, node } from "../setup/snapshots.ts";

const asks = (...gpu: string[]) => need({ gpu: parseGpu(gpu) });
const onto = (gpu: string, where: ReturnType<typeof node>) => {
  const wanted = asks(gpu);
  return fit(wanted, wanted.gpu[0]!, where);
};

describe("fit()", () => {
  it("needs no GPU when none is asked for", () => {
    assert.deepEqual(fit(need(), null, node({ gpus: gpus("H100", 1000) })), []);
  });

  it("refuses a node that lacks cpu or memory", () => {
    assert.equal(fit(need({ cpuMilli: 101 }), null, node({ cpuMilliFree: 100 })), null);
    assert.equal(fit(need({ memoryMiB: 513 }), null, node({ memoryMiBFree: 512 })), null);
  });

  it("takes cpu and memory to the last bit", () => {
    assert.deepEqual(
      fit(need({ cpuMilli: 100, memoryMiB: 512 }), null, node({ cpuMilliFree: 100, memoryMiBFree: 512 })),
      [],
    );
  });

  it("gives whole GPUs from those that are untouched, lowest index first", () => {
    assert.deepEqual(onto("H100:2", node({ gpus: gpus("H100", 500, 1000, 1000, 1000) })), [
      { index: 1, milli: 1000 },
      { index: 2, milli: 1000 },
    ]);
  });

  it("gives a share of the GPU with the least free that suffices", () => {
    const where = node({ gpus: gpus("L4", 1000, 300, 600, 700) });
    assert.deepEqual(onto("L4:0.5", where), [{ index: 2, milli: 500 }]);
  });

  it("never splits a whole GPU over two", () => {
    assert.equal(onto("L4", node({ gpus: gpus("L4", 500, 500) })), null);
  });

  it("compares models without regard to case, and takes any for any", () => {
    const where = node({ gpus: gpus("NVIDIA-L4", 1000) });
    assert.deepEqual(onto("nvidia-l4", where), [{ index: 0, milli: 1000 }]);
    assert.deepEqual(onto("any", where), [{ index: 0, milli: 1000 }]);
    assert.equal(onto("H100", where), null);
  });

  it("gives only what is free, exactly as much as asked, on distinct GPUs (500 seeds)", () => {
    for (let seed = 0; seed < 500; seed++) {
      const { upTo, pick } = dice(seed);
      const where = node({
        cpuMilliFree: upTo(400),
        memoryMiBFree: upTo(2_000),
        gpus: Array.from(
          { length: upTo(6) },
          (_, index) => ({ index, model: pick(["L4", "H100"]), milliFree: upTo(10) * 100 }),
        ),
      });
      const wanted = need({
        gpu: parseGpu(pick(["any", "H100", "H100:2", "L4:0.3", "L4:3"])),
        cpuMilli: upTo(400),
      });
      const choice = wanted.gpu[0]!;
      const shares = fit(wanted, choice, where);
      const enough = where.gpus.filter((gpu) =>
        (choice.model === "any" || gpu.model === choice.model) && gpu.milliFree >= choice.milli
      );
      const fits = enough.length >= choice.count && wanted.cpuMilli <= where.cpuMilliFree &&
        wanted.memoryMiB <= where.memoryMiBFree;
      assert.equal(shares !== null, fits, `seed ${seed}`);
      if (shares === null) continue;
      assert.equal(new Set(shares.map((share) => share.index)).size, choice.count);
      assert.ok(
        shares.every(({ index, milli }) =>
          milli === choice.milli && enough.some((gpu) => gpu.index === index)
        ),
      );
    }
  });
});

describe("choices()", () => {
  it("keeps the order of preference", () => {
    assert.deepEqual(choices(asks("H100", "A100:2")).map((choice) => choice?.model), ["H100", "A100"]);
  });
});

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
