/** The machine's process table: who started whom, and who works hardest. */

/** One process. */
export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  /** Processor time, its ended children not counted. */
  readonly cpuMs: number;
  /** Processor time of children that have ended and were waited for. */
  readonly endedChildrenCpuMs: number;
}

/** Linux counts in hundredths of a second wherever Deno runs. */
const MS_PER_TICK = 10;

/** All processes, from `/proc`. */
export async function processes(): Promise<Process[]> {
  const pids = [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter(Number.isInteger);
  return (await Promise.all(pids.map(readProcess))).filter((process) => process !== undefined);
}

async function readProcess(pid: number): Promise<Process | undefined> {
  try {
    const [stat, command] = await Promise.all([
      Deno.readTextFile(`/proc/${pid}/stat`),
      Deno.readTextFile(`/proc/${pid}/cmdline`),
    ]);
    // The second field is a name in parentheses that may hold anything; the numbers follow it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    const [, parent, , , , , , , , , , user, system, childrenUser, childrenSystem] = fields as number[];
    return {
      pid,
      parent: parent!,
      command: command.replaceAll("\0", " ").trim(),
      cpuMs: (user! + system!) * MS_PER_TICK,
      endedChildrenCpuMs: (childrenUser! + childrenSystem!) * MS_PER_TICK,
    };
  } catch {
    return undefined; // it has ended
  }
}

/** A process and all that it started, and they. */
export function family(root: number, all: readonly Process[]): Process[] {
  const own = all.filter(({ pid }) => pid === root);
  const children = all.filter(({ parent }) => parent === root);
  return [...own, ...children.flatMap(({ pid }) => family(pid, all))];
}

/** The guest that works hardest among those below `root`: the one that trains while the others are idle. */
export async function busiestGuest(root: number): Promise<number> {
  const guests = family(root, await processes()).filter(({ command }) => /guests?\/guest\./.test(command));
  const [busiest] = guests.sort((a, b) => b.cpuMs - a.cpuMs);
  if (busiest === undefined) throw new Error(`Cannot find the guest: process ${root} has none below it`);
  return busiest.pid;
}
