/** What the kernel has said of containers. */
import type { Spawn } from "../../engine.ts";

/**
 * Whether the kernel has killed something of this container for want of memory; null where its log may not be read. Engines do not know
 * for sure: on machines with cgroups of the first version Podman 4.3 answers that none ever was, and Docker may take the end of a
 * short container for one. The counter of the cgroup would say it too, but the cgroup is gone when the container is.
 */
export async function ranOutOfMemory(spawn: Spawn, container: string): Promise<boolean | null> {
  const { code, stdout } = await spawn.output({ command: "dmesg", args: [] }).catch(() => ({
    code: 1,
    stdout: "",
  }));
  return code === 0 ? saysOutOfMemory(stdout, container) : null;
}

/** `oom-kill:constraint=CONSTRAINT_MEMCG,…,oom_memcg=/libpod_parent/libpod-ID,…` */
export const saysOutOfMemory = (log: string, container: string): boolean =>
  log.split("\n").some((line) => line.includes("oom-kill:") && line.includes(container));
