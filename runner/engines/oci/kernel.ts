/** What the kernel has said of containers. */
import type { Spawn } from "../../engine.ts";

/**
 * Whether the kernel has killed something of this container for want of memory. Asked where the engine does not say: on machines
 * with cgroups of the first version Podman 4.3 answers that none ever was. The counter of the cgroup would say it too, but the
 * cgroup is gone when the container is.
 */
export async function ranOutOfMemory(spawn: Spawn, container: string): Promise<boolean> {
  const { code, stdout } = await spawn.output({ command: "dmesg", args: [] }).catch(() => ({
    code: 1,
    stdout: "",
  }));
  return code === 0 && saysOutOfMemory(stdout, container);
}

/** `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/libpod_parent/libpod-ID,…` */
export const saysOutOfMemory = (log: string, container: string): boolean =>
  log.split("\n").some((line) => line.includes("oom-kill:") && line.includes(container));
