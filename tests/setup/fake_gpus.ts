/**
 * GPUs that are not there, as CDI describes real ones to an engine: device nodes that lead to /dev/null, and an nvidia-smi that tells
 * which of them a container was given.
 */
import type { Gpu } from "../../sdk/protocol.ts";
import { command } from "./components/daemon.ts";

const NVIDIA_SMI = `#!/bin/sh
env | sed -n 's/^FAKE_GPU_[0-9]*=//p' | sort
`;

export class FakeGpus implements AsyncDisposable {
  readonly gpus: readonly Gpu[];
  readonly #dir: string;
  readonly #description: string;

  private constructor(gpus: readonly Gpu[], dir: string, description: string) {
    this.gpus = gpus;
    this.#dir = dir;
    this.#description = description;
  }

  /** @param withNodes false for a description that brings no device, as one that is out of date does */
  static async make(count: number, { withNodes = true } = {}): Promise<FakeGpus> {
    const dir = await Deno.makeTempDir({ prefix: "berth-gpus-" });
    const gpus = Array.from({ length: count }, (_, index): Gpu => ({
      index,
      model: "L4",
      vramMiB: 24_576,
      uuid: `GPU-${crypto.randomUUID()}`,
      simulated: false,
    }));
    await Deno.writeTextFile(`${dir}/nvidia-smi`, NVIDIA_SMI, { mode: 0o755 });
    for (const { index } of gpus) await command("mknod", "-m", "666", `${dir}/nvidia${index}`, "c", "1", "3");
    const description = {
      cdiVersion: "0.5.0",
      kind: "nvidia.com/gpu",
      devices: gpus.map(({ index, uuid }) => ({
        name: uuid,
        containerEdits: {
          env: [`FAKE_GPU_${index}=${uuid}`],
          ...(withNodes
            ? { deviceNodes: [{ path: `/dev/nvidia${index}`, hostPath: `${dir}/nvidia${index}` }] }
            : {}),
        },
      })),
      containerEdits: {
        mounts: [{
          hostPath: `${dir}/nvidia-smi`,
          containerPath: "/usr/bin/nvidia-smi",
          options: ["ro", "bind"],
        }],
      },
    };
    const file = `/etc/cdi/${dir.slice(dir.lastIndexOf("/") + 1)}.json`;
    await Deno.mkdir("/etc/cdi", { recursive: true });
    await Deno.writeTextFile(file, JSON.stringify(description));
    return new FakeGpus(gpus, dir, file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#description);
    await Deno.remove(this.#dir, { recursive: true });
  }
}
