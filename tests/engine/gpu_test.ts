import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { testEngines } from "../setup/components/engines.ts";
import { FakeGpus } from "../setup/fake_gpus.ts";
import { withoutEngines } from "../setup/machine.ts";
import { end, exitOf, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";

const source = "import os\ndef fn(name):\n  return os.environ.get(name)\n";
const gpu = { index: 0, model: "L4", vramMiB: 24_576, uuid: "GPU-5d5ba0d6" };
const python = { body: "python" } as const;
const whole = (index: number) => ({ index, milli: 1_000 });

onEveryEngine("GPUs in a container", (world) => {
  it("are really there, or the start fails and says so", async () => {
    const here = await world();
    await using runner = await ociRunner(here, { gpus: [{ ...gpu, simulated: false }] });
    runner.api.want({ ...await runner.assign(source, python), gpus: [whole(0)] });
    const { kind, message } = await exitOf(runner, "ctr_1");
    assert.equal(kind, "start_failed");
    // This machine has none, and each engine says so in its words.
    assert.match(
      message,
      here.at.name === "docker"
        ? /could not select device driver/
        : /unresolvable CDI devices nvidia.com\/gpu=0/,
    );
  });

  it("are told to the code, simulated ones too, and parts of one to MPS", async () => {
    await using runner = await ociRunner(await world(), { gpus: [{ ...gpu, simulated: true }] });
    runner.api.want({ ...await runner.assign(source, python), gpus: [{ index: 0, milli: 500 }] });
    assert.equal(await value(runner, "CUDA_VISIBLE_DEVICES"), gpu.uuid);
    assert.equal(await value(runner, "BERTH_GPUS_SIMULATED"), "1");
    // An image that asks for all of them must not get any.
    assert.equal(await value(runner, "NVIDIA_VISIBLE_DEVICES"), "void");
  });
});

/** What a container sees of its GPUs and of its limits. */
const LOOK = `import os, re, subprocess
def fn(_):
  def read(path):
    with open(path) as file: return file.read()
  status = read("/proc/self/status")
  def field(name): return re.search("^" + name + r":\\s+(\\S+)", status, re.M).group(1)
  def opens(path):
    try:
      open(path, "w").close()
      return True
    except OSError as error: return error.strerror
  try: limit = int(read("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
  except OSError: limit = int(read("/sys/fs/cgroup/memory.max"))
  env = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE")}
  return {
    "nodes": sorted(name for name in os.listdir("/dev") if name.startswith("nvidia")),
    "smi": subprocess.run(["sh", "-c", "nvidia-smi"], stdout=subprocess.PIPE, text=True).stdout.split(),
    "status": [field("CapEff"), field("NoNewPrivs"), field("Seccomp"), field("Uid")],
    "root": opens("/etc/x"), "tmp": opens("/tmp/x"), "limit": limit // 1024 ** 2, **env,
    "mounts": sorted({line.split()[4] for line in read("/proc/self/mountinfo").splitlines() if "/berth" in line.split()[4]}),
    "net": os.listdir("/sys/class/net"),
  }
`;

describe("GPUs that CDI describes (podman)", { skip: withoutEngines }, () => {
  const world = async () => {
    const engines = await testEngines();
    return { ...engines, at: engines.engines.find(({ name }) => name === "podman")! };
  };

  it("are chosen by UUID, each container its own, in a container that is as closed as any", async () => {
    await using fake = await FakeGpus.make(2);
    await using runner = await ociRunner(await world(), { gpus: fake.gpus });
    const assign = (name: string) => runner.assign(LOOK, { ...python, name, memory: 200, egress: "deny" });
    runner.api.want(
      { ...await assign("second"), gpus: [whole(1)] },
      { ...await assign("first"), gpus: [{ index: 0, milli: 250 }] },
      { ...await assign("both"), gpus: [whole(0), whole(1)] },
      await assign("none"),
    );
    const seen = async (name: string) =>
      (await end(runner, runner.api.call(name, [null], "fn"))).value as Record<string, unknown>;
    const [none, first, second, both] = await Promise.all(["none", "first", "second", "both"].map(seen));
    const [a, b] = fake.gpus.map(({ uuid }) => uuid!) as [string, string];
    assert.deepEqual([first!.nodes, first!.smi], [["nvidia0"], [a]]);
    assert.deepEqual([second!.nodes, second!.smi], [["nvidia1"], [b]]);
    assert.deepEqual([both!.nodes, both!.smi], [["nvidia0", "nvidia1"], [a, b].sort()]);
    assert.deepEqual([none!.nodes, none!.smi], [[], []]);
    assert.deepEqual([first!.CUDA_VISIBLE_DEVICES, first!.CUDA_MPS_ACTIVE_THREAD_PERCENTAGE], [a, "25"]);
    for (const what of ["status", "root", "tmp", "limit", "mounts", "net"]) {
      assert.deepEqual(both![what], none![what], what);
    }
    assert.deepEqual(none!.status, ["0".repeat(16), "1", "2", "65534"]);
    assert.deepEqual([none!.limit, none!.net], [200, ["lo"]]);
  });

  it("fail the start when the engine brings a container without them", async () => {
    await using fake = await FakeGpus.make(1, { withNodes: false });
    await using runner = await ociRunner(await world(), { gpus: fake.gpus });
    runner.api.want({ ...await runner.assign(source, python), gpus: [whole(0)] });
    assert.match(
      (await exitOf(runner, "ctr_1")).message,
      /ignored the request for 1 GPU: the container has 0$/,
    );
  });
});
