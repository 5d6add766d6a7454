import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { exitOf, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";

const source = "import os\ndef fn(name):\n  return os.environ.get(name)\n";
const gpu = { index: 0, model: "L4", vramMiB: 24_576, uuid: "GPU-5d5ba0d6" };

onEveryEngine("GPUs in a container", (world) => {
  it("are really there, or the start fails and says so", async () => {
    const here = await world();
    await using runner = await ociRunner(here, { gpus: [{ ...gpu, simulated: false }] });
    runner.api.want({
      ...await runner.assign(source, { body: "python" }),
      gpus: [{ index: 0, milli: 1_000 }],
    });
    const { kind, message } = await exitOf(runner, "ctr_1");
    assert.equal(kind, "start_failed");
    // This machine has none. Docker says so; Podman starts the container all the same.
    assert.match(
      message,
      here.at.name === "docker"
        ? /could not select device driver/
        : /ignored the request for 1 GPU: .* has 0/,
    );
  });

  it("are told to the code, simulated ones too", async () => {
    await using runner = await ociRunner(await world(), { gpus: [{ ...gpu, simulated: true }] });
    runner.api.want({ ...await runner.assign(source, { body: "python" }), gpus: [{ index: 0, milli: 500 }] });
    assert.equal(await value(runner, "CUDA_VISIBLE_DEVICES"), gpu.uuid);
    assert.equal(await value(runner, "BERTH_GPUS_SIMULATED"), "1");
  });
});
