import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { choices, fit } from "../../scheduler/fit.ts";
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

  it("refuses a node that lacks disk or a label, or is cordoned", () => {
    assert.equal(fit(need({ diskMiB: 101 }), null, node({ diskMiBFree: 100 })), null);
    const inEurope = need({ labels: { zone: "eu" } });
    assert.equal(fit(inEurope, null, node({ labels: { zone: "us" } })), null);
    assert.deepEqual(fit(inEurope, null, node({ labels: { zone: "eu", rack: "1" } })), []);
    assert.equal(fit(need(), null, node({ cordoned: true })), null);
  });

  it("refuses what a container engine that is away would have to start", () => {
    const labels = { "berth.oci": "yes" }, withImage = need({ labels });
    assert.equal(fit(withImage, null, node({ labels, engineAway: "images" })), null);
    assert.deepEqual(fit(need(), null, node({ labels, engineAway: "images" })), []);
    assert.equal(fit(need(), null, node({ labels, engineAway: "all" })), null);
  });

  it("gives only GPUs that work and have the memory", () => {
    const [small, sick, good] = gpus("A100", 1000, 1000, 1000);
    const where = node({ gpus: [{ ...small!, vramMiB: 40_960 }, { ...sick!, healthy: false }, good!] });
    assert.deepEqual(onto("A100>=80GiB", where), [{ index: 2, milli: 1000 }]);
    assert.equal(onto("A100>=80GiB:2", where), null);
    assert.deepEqual(onto("A100:2", where)?.map(({ index }) => index), [0, 2]);
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
          (_, index) => ({
            index,
            model: pick(["L4", "H100"]),
            vramMiB: pick([40_960, 81_920]),
            milliFree: upTo(10) * 100,
            healthy: upTo(5) > 0,
          }),
        ),
      });
      const wanted = need({
        gpu: parseGpu(pick(["any", "H100", "H100:2", "L4:0.3", "L4:3", "any>=80GiB", "H100|L4:2"])),
        cpuMilli: upTo(400),
      });
      const choice = wanted.gpu[0]!;
      const shares = fit(wanted, choice, where);
      const enough = where.gpus.filter((gpu) =>
        (choice.model === "any" || choice.model.includes(gpu.model)) && gpu.milliFree >= choice.milli &&
        gpu.healthy && gpu.vramMiB >= choice.vramMiB
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
