/** What Linux tells of processes in /proc, and how to end them. Elsewhere there is nothing to read, and so it answers. */

/** When a process was started, in the kernel's ticks; null when there is none. With the pid it names a process for good. */
export function startedAt(pid: number): number | null {
  const fields = statFields(pid);
  return fields === null || fields[0] === "Z" ? null : Number(fields[19]);
}

/** PF_EXITING of the kernel's sched.h. */
const EXITING = 0x4;

/** Whether a process runs no more, though it may have to wait for its children before it is gone. */
export const isExiting = (pid: number): boolean => (Number(statFields(pid)?.[6]) & EXITING) !== 0;

/** Fields of /proc/PID/stat from the state on: the name before it may hold anything. */
export function statFields(pid: number): string[] | null {
  const text = read(`/proc/${pid}/stat`);
  return text === null ? null : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

/** Processes whose environment holds this text: those that were started with it, and what they started in turn. */
export function processesWith(text: string): number[] {
  const pids = safely(() => [...Deno.readDirSync("/proc")].map(({ name }) => Number(name))) ?? [];
  return pids.filter((pid) => pid > 1 && pid !== Deno.pid && read(`/proc/${pid}/environ`)?.includes(text));
}

/** Writes the name of a process: its pid, and when it was started, since pids are used again. */
export function nameProcess(file: string, pid: number): void {
  Deno.writeTextFileSync(file, `${pid} ${startedAt(pid)}`);
}

/** The process that a file names, if it still runs. */
export function namedProcess(file: string): number | null {
  const [pid, started] = (read(file) ?? "").split(" ").map(Number);
  if (!Number.isInteger(pid) || !Number.isInteger(started) || pid! < 2) return null;
  return startedAt(pid!) === started ? pid! : null;
}

/** Kills a process, or sends it another signal; no error when it is gone. */
export function kill(pid: number, signal: Deno.Signal = "SIGKILL"): void {
  safely(() => Deno.kill(pid, signal));
}

/** Kills a process group; no error when it is gone. */
export const killGroup = (pid: number): void => kill(-pid);

export const read = (path: string): string | null => safely(() => Deno.readTextFileSync(path));

/** Processes end while one looks at them. */
export function safely<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}
