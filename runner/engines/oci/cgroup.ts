/** What a container uses, as the kernel counts for its cgroup: of the first version, a folder for each kind, or the second, one for all. */
import { read } from "../../../sdk/proc.ts";
import type { Usage } from "../../engine.ts";

const ROOT = "/sys/fs/cgroup";
const MIB = 1024 ** 2;
const NS_PER_US = 1_000;

/** Files to read; null where this machine does not show them. */
export type Meters = (() => Usage | null) | null;

/** @param pid the first process of the container */
export function metersOf(pid: number): Meters {
  const groups = parseCgroups(read(`/proc/${pid}/cgroup`) ?? "");
  const memory = groups.get("memory"), cpu = groups.get("cpuacct"), unified = groups.get("");
  if (isOwn(memory) && isOwn(cpu)) return () => first(`${ROOT}/memory${memory}`, `${ROOT}/cpuacct${cpu}`);
  return isOwn(unified) && memory === undefined ? () => second(`${ROOT}${unified}`) : null;
}

/** A process that has just ended is in the group of the whole machine. */
const isOwn = (path: string | undefined): path is string => path !== undefined && path !== "/";

/** Paths by the controllers of `/proc/PID/cgroup`: `4:memory:/docker/ID`; that of the second version has none. */
export function parseCgroups(text: string): Map<string, string> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
      return path === undefined ? [] : controllers!.split(",").map((name) => [name, path] as const);
    }),
  );
}

function first(memory: string, cpu: string): Usage | null {
  return usage(
    read(`${memory}/memory.usage_in_bytes`),
    field(read(`${memory}/memory.stat`), "total_inactive_file"),
    Number(read(`${cpu}/cpuacct.usage`)) / NS_PER_US,
  );
}

function second(folder: string): Usage | null {
  return usage(
    read(`${folder}/memory.current`),
    field(read(`${folder}/memory.stat`), "inactive_file"),
    field(read(`${folder}/cpu.stat`), "usage_usec"),
  );
}

/** Files that were read and can be read again are nobody's use. */
function usage(bytes: string | null, cachedBytes: number, cpuUs: number): Usage | null {
  if (bytes === null) return null;
  return { cpuUs: Math.round(cpuUs), memoryMiB: Math.round((Number(bytes) - cachedBytes) / MIB) };
}

const field = (text: string | null, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text ?? "")?.[1] ?? 0);
