/** Scratch space on disk. No file system bounds a folder of many, so it is looked at now and then, and what takes more than it may is ended. */
import type { Clock } from "../sdk/ports.ts";
import type { Guest, Spawn } from "./engine.ts";

const LOOK_MS = 2_000;
/** A folder with many files takes long to look at: that should be a small part of the time. */
const PAUSE_SHARE = 20;

/** @param exceeded is told once, in a sentence */
export async function watchScratch(
  { scratch, exited }: Guest,
  clock: Clock,
  exceeded: (message: string) => void,
): Promise<void> {
  if (scratch === undefined) return;
  const over = new AbortController();
  exited.then(() => over.abort());
  while (!over.signal.aborted) {
    const began = clock.now();
    const usedMiB = await scratch.usedMiB();
    if (usedMiB > scratch.limitMiB) {
      return exceeded(`It used ${usedMiB} MiB of disk and may use ${scratch.limitMiB} MiB`);
    }
    await clock.sleep(Math.max(LOOK_MS, PAUSE_SHARE * (clock.now() - began)), over.signal);
  }
}

/** What lies in some folders, and in folders below them; 0 where that cannot be told. */
export async function usedMiB(spawn: Spawn, ...folders: readonly string[]): Promise<number> {
  const { stdout } = await spawn.output({ command: "du", args: ["-skxc", ...folders] });
  return Math.ceil((parseInt(stdout.trim().split("\n").at(-1)!) || 0) / 1_024);
}
