/** What processes use, as Linux tells in /proc. */
import { read, safely, statFields } from "../sdk/proc.ts";
import type { Usage } from "./engine.ts";

const TICK_US = 10_000;
const PAGE_KIB = 4;

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

/** Processes that a process has started itself. */
export function childrenOf(pid: number): number[] {
  const threads = safely(() => [...Deno.readDirSync(`/proc/${pid}/task`)]) ?? [];
  return threads.flatMap(({ name }) =>
    (read(`/proc/${pid}/task/${name}/children`) ?? "").split(" ").filter((child) => child !== "").map(Number)
  );
}
