import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  normaliseModel,
  parseNvidiaSmi,
  parseSimulatedGpus,
  probeGpus,
  visibleGpus,
} from "../../runner/gpu.ts";
import type { Spawn } from "../../runner/engine.ts";
import { gpuProblem } from "../../sdk/gpu.ts";

const SMI = `0, NVIDIA H200, 143771, GPU-6f1e1c2a-0000-0000-0000-000000000001
1, NVIDIA A100-SXM4-80GB, 81920, GPU-aaaaaaaa-0000-0000-0000-000000000002
2, NVIDIA GB10, [N/A], GPU-bbbbbbbb-0000-0000-0000-000000000003
Failed to initialize NVML: Unknown Error
`;

describe("normaliseModel()", () => {
  it("gives the name people use, which a GPU request can name", () => {
    const names = {
      "NVIDIA H200": "H200",
      "NVIDIA H100 80GB HBM3": "H100",
      "NVIDIA H100 PCIe": "H100",
      "NVIDIA A100-SXM4-80GB": "A100",
      "NVIDIA A10G": "A10G",
      "NVIDIA L40S": "L40S",
      "NVIDIA L4": "L4",
      "Tesla T4": "T4",
      "Tesla V100-SXM2-16GB": "V100",
      "NVIDIA GH200 480GB": "GH200",
      "NVIDIA GeForce RTX 4090": "RTX-4090",
      "NVIDIA GeForce RTX 3080 Ti Laptop GPU": "RTX-3080-TI",
      "Quadro RTX 6000": "RTX-6000",
      "NVIDIA RTX A6000": "RTX-A6000",
      "NVIDIA RTX 6000 Ada Generation": "RTX-6000-ADA",
      "NVIDIA TITAN V": "TITAN-V",
      "4000 Series": "GPU-4000-Series",
    };
    for (const [name, model] of Object.entries(names)) {
      assert.equal(normaliseModel(name), model, name);
      assert.equal(gpuProblem(model), null);
    }
  });
});

describe("parseNvidiaSmi()", () => {
  it("reads index, model, memory and uuid, and leaves out what is no GPU", () => {
    assert.deepEqual(parseNvidiaSmi(SMI), [
      {
        index: 0,
        model: "H200",
        vramMiB: 143_771,
        simulated: false,
        uuid: "GPU-6f1e1c2a-0000-0000-0000-000000000001",
      },
      {
        index: 1,
        model: "A100",
        vramMiB: 81_920,
        simulated: false,
        uuid: "GPU-aaaaaaaa-0000-0000-0000-000000000002",
      },
      {
        index: 2,
        model: "GB10",
        vramMiB: 0,
        simulated: false,
        uuid: "GPU-bbbbbbbb-0000-0000-0000-000000000003",
      },
    ]);
  });
});

describe("visibleGpus()", () => {
  it("keeps those that a batch system gave to this process", () => {
    const gpus = parseNvidiaSmi(SMI);
    const indexes = (visible: string | undefined) => visibleGpus(gpus, visible).map(({ index }) => index);
    assert.deepEqual(indexes(undefined), [0, 1, 2]);
    assert.deepEqual(indexes("0,2"), [0, 2]);
    assert.deepEqual(indexes("GPU-aaaaaaaa"), [1]);
    assert.deepEqual(indexes(""), []);
  });
});

describe("probeGpus()", () => {
  const spawn = (output: Spawn["output"]): Spawn => ({
    output,
    start: () => {
      throw new Error("not asked for");
    },
  });

  it("finds none where nvidia-smi is absent or fails", async () => {
    const absent = spawn(() => Promise.reject(new Deno.errors.NotFound("nvidia-smi")));
    assert.deepEqual(await probeGpus(absent, undefined), []);
    const failing = spawn(() => Promise.resolve({ code: 9, stdout: SMI, stderr: "" }));
    assert.deepEqual(await probeGpus(failing, undefined), []);
  });

  it("asks for what it reads", async () => {
    const asked: (readonly string[])[] = [];
    const present = spawn(({ args }) => {
      asked.push(args);
      return Promise.resolve({ code: 0, stdout: SMI, stderr: "" });
    });
    assert.equal((await probeGpus(present, "1")).length, 1);
    assert.deepEqual(asked, [["--query-gpu=index,name,memory.total,uuid", "--format=csv,noheader,nounits"]]);
  });
});

describe("parseSimulatedGpus()", () => {
  it("reads counts, models and memory", () => {
    const gpus = parseSimulatedGpus("2xH100:80GiB, 1xRTX-4090:512MiB");
    assert.deepEqual(gpus, [
      { index: 0, model: "H100", vramMiB: 81_920, simulated: true },
      { index: 1, model: "H100", vramMiB: 81_920, simulated: true },
      { index: 2, model: "RTX-4090", vramMiB: 512, simulated: true },
    ]);
  });

  it("knows the memory of common models", () => {
    assert.equal(parseSimulatedGpus("1xL4")[0]!.vramMiB, 24 * 1_024);
  });

  it("refuses nonsense with the part and the rule", () => {
    const wrong = {
      "": /"" makes no sense, expected COUNTxMODEL:MEMORY/,
      "H100": /"H100" makes no sense/,
      "8xH100:80GiB,": /"" makes no sense/,
      "8xH100:80": /"8xH100:80" makes no sense/,
      "-1xH100:80GiB": /makes no sense/,
      "1.5xH100:80GiB": /makes no sense/,
      "0xH100:80GiB": /the count in "0xH100:80GiB" must be 1 to 1024/,
      "9999xH100:80GiB": /must be 1 to 1024/,
      "1000xH100:80GiB,1000xL4": /2000 GPUs are more than 1024/,
      "1xH100:0GiB": /the memory in "1xH100:0GiB" must be/,
      "1xWarp9": /the memory of "Warp9" is not known, write it as "1xWarp9:24GiB"/,
      "1xany:8GiB": /"any" is not a model/,
    };
    for (const [text, message] of Object.entries(wrong)) {
      assert.throws(
        () => parseSimulatedGpus(text),
        (error) => error instanceof TypeError && message.test(error.message),
        text,
      );
    }
  });
});
