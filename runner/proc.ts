/** What Linux tells of processes in /proc: who they are, what they use. Elsewhere there is nothing to read, and so it answers. */
import type { Usage } from "./engine.ts";

const TICK_US = 10_000;
const PAGE_KIB = 4;

/** When a process was started, in the kernel's ticks; null when there is none. With the pid it names a process for good. */
export function startedAt(pid: number): number | null {
  const fields = statFields(pid);
  return fields === null || fields[0] === "Z" ? null : Number(fields[19]);
}

/**
 * CPU time and private memory of a process, and of its descendants when it may have any. Pages shared with others, such as
 * those of the Deno binary, are nobody's use.
 */
export function usageOf(pid: number, mayFork: boolean): Usage | null {
  const own = usageOfOne(pid);
  if (own === null || !mayFork) return own;
  return childrenOf(pid).reduce((sum, child) => {
    const usage = usageOf(child, true);
    return usage === null
      ? sum
      : { cpuUs: sum.cpuUs + usage.cpuUs, memoryMiB: sum.memoryMiB + usage.memoryMiB };
  }, own);
}

function usageOfOne(pid: number): Usage | null {
  const stat = statFields(pid);
  const memory = read(`/proc/${pid}/statm`)?.split(" ");
  if (stat === null || memory === undefined) return null;
  // utime, stime, and those of children that have ended
  const ticks = Number(stat[11]) + Number(stat[12]) + Number(stat[13]) + Number(stat[14]);
  const pages = Number(memory[1]) - Number(memory[2]);
  return { cpuUs: ticks * TICK_US, memoryMiB: Math.round(pages * PAGE_KIB / 1_024) };
}

/** Fields of /proc/PID/stat from the state on: the name before it may hold anything. */
function statFields(pid: number): string[] | null {
  const text = read(`/proc/${pid}/stat`);
  return text === null ? null : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function childrenOf(pid: number): number[] {
  const threads = safely(() => [...Deno.readDirSync(`/proc/${pid}/task`)]) ?? [];
  return threads.flatMap(({ name }) =>
    (read(`/proc/${pid}/task/${name}/children`) ?? "").split(" ").filter((child) => child !== "").map(Number)
  );
}

const read = (path: string): string | null => safely(() => Deno.readTextFileSync(path));

/** Processes end while one looks at them. */
function safely<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}

/** Processes whose environment holds this text: those that were started with it, and what they started in turn. */
export function processesWith(text: string): number[] {
  const pids = safely(() => [...Deno.readDirSync("/proc")].map(({ name }) => Number(name))) ?? [];
  return pids.filter((pid) => pid > 1 && pid !== Deno.pid && read(`/proc/${pid}/environ`)?.includes(text));
}

/** Kills a process; no error when it is gone. */
export function kill(pid: number): void {
  safely(() => Deno.kill(pid, "SIGKILL"));
}

/** Kills a process group; no error when it is gone. */
export const killGroup = (pid: number): void => kill(-pid);
