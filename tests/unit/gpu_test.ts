import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type GpuChoice, gpuProblem, type GpuRequest, gpuText, isAccepted, parseGpu } from "../../sdk/gpu.ts";
import { GpuRequest as GpuRequestSchema } from "../../sdk/protocol/apps.ts";
import { dice } from "../setup/snapshots.ts";

const choice = (some: Partial<GpuChoice>): GpuChoice => ({
  model: "any",
  count: 1,
  milli: 1000,
  vramMiB: 0,
  ...some,
});

describe("parseGpu()", () => {
  const read: [GpuRequest, GpuChoice][] = [
    ["any", choice({})],
    ["H100", choice({ model: "H100" })],
    ["H100:4", choice({ model: "H100", count: 4 })],
    ["L4:0.5", choice({ model: "L4", milli: 500 })],
    ["L4:0.57", choice({ model: "L4", milli: 570 })],
    ["A10|L4:0.125", choice({ model: "A10|L4", milli: 125 })],
    ["A100>=80GiB:2", choice({ model: "A100", count: 2, vramMiB: 81_920 })],
    [{}, choice({})],
    [{ vram: ">=24GiB" }, choice({ vramMiB: 24_576 })],
    [{ vram: ">= 1.5 GiB", count: 2 }, choice({ count: 2, vramMiB: 1_536 })],
    [{ model: "A100", vram: ">=512MiB" }, choice({ model: "A100", vramMiB: 512 })],
    [{ model: "L4", share: 0.25 }, choice({ model: "L4", milli: 250 })],
  ];
  for (const [request, expected] of read) {
    it(`reads ${JSON.stringify(request)}`, () => assert.deepEqual(parseGpu(request), [expected]));
  }

  it("keeps the order of a list that mixes texts and options", () => {
    assert.deepEqual(parseGpu(["H100", { vram: ">=24GiB" }, "any:2"]), [
      choice({ model: "H100" }),
      choice({ vramMiB: 24_576 }),
      choice({ count: 2 }),
    ]);
  });

  it("says what it cannot read and why", () => {
    assert.throws(() => parseGpu(["H100", "L4:1.5"]), {
      message: 'Cannot read GPU request "L4:1.5": more than one GPU must be a whole number',
    });
    assert.throws(() => parseGpu({ vram: "24GiB" }), {
      message:
        `Cannot read GPU request {"vram":"24GiB"}: "24GiB" is not an amount of memory such as ">=24GiB"`,
    });
  });
});

describe("gpuProblem()", () => {
  const problems: [GpuRequest, RegExp][] = [
    ["", /expected MODEL/],
    ["H100:", /expected MODEL/],
    ["H100:x", /expected MODEL/],
    ["4090", /not the name of a model/],
    ["H100||L4", /not the name of a model/],
    ["H100>=80", /not an amount of memory/],
    ["H100:0", /above 0/],
    ["H100:65", /at most 64/],
    ["L4:0.0005", /three decimals/],
    [{ count: 0 }, /whole number from 1/],
    [{ count: 1.5 }, /whole number from 1/],
    [{ share: 1 }, /below 1/],
    [{ share: 0.5, count: 2 }, /leave `count` or `share` out/],
    [{ model: "" }, /not the name of a model/],
  ];
  for (const [request, problem] of problems) {
    it(`refuses ${JSON.stringify(request)}`, () => assert.match(gpuProblem(request) ?? "fine", problem));
  }
});

describe("gpuText()", () => {
  it("gives a text that parseGpu() reads as the same choice (300 seeds)", () => {
    for (let seed = 0; seed < 300; seed++) {
      const { pick, upTo } = dice(seed);
      const milli = pick([1000, 1 + upTo(998)]);
      const one = choice({
        model: pick(["any", "H100", "RTX-4090", "A10|L4"]),
        count: milli < 1000 ? 1 : 1 + upTo(63),
        milli,
        vramMiB: pick([0, 1 + upTo(200_000), 1_024 * upTo(200)]),
      });
      assert.deepEqual(parseGpu(gpuText(one)), [one]);
    }
  });
});

describe("isAccepted()", () => {
  const l4 = { model: "NVIDIA-L4", vramMiB: 24_576 };
  it("compares models without regard to case, and takes any for any", () => {
    assert.equal(isAccepted(choice({ model: "nvidia-l4" }), l4), true);
    assert.equal(isAccepted(choice({ model: "A10|NVIDIA-L4" }), l4), true);
    assert.equal(isAccepted(choice({ model: "ANY" }), l4), true);
    assert.equal(isAccepted(choice({ model: "L4" }), l4), false);
  });

  it("wants at least the memory that is asked for", () => {
    assert.equal(isAccepted(choice({ vramMiB: 24_576 }), l4), true);
    assert.equal(isAccepted(choice({ vramMiB: 24_577 }), l4), false);
  });
});

describe("GpuRequest", () => {
  it("takes what older clients send, and options, and tells what is wrong with others", () => {
    assert.equal(GpuRequestSchema.parse("H100:4"), "H100:4");
    assert.deepEqual(GpuRequestSchema.parse({ vram: ">=24GiB", count: 2 }), { vram: ">=24GiB", count: 2 });
    const bad = GpuRequestSchema.safeParse("H100:1.5");
    assert.equal(bad.error?.issues[0]?.message, "more than one GPU must be a whole number");
    assert.equal(GpuRequestSchema.safeParse({ size: 2 }).success, false);
  });
});
