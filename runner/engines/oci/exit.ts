/** How a container ended, from what its engine says. Pure. */
import type { GuestExit } from "../../engine.ts";

export interface Ended {
  readonly code: number;
  readonly outOfMemory: boolean;
  /** The engine went away while it ran. */
  readonly bereft: boolean;
  readonly memoryMiB: number;
}

/** A first process that ended by a signal, or whose child did, exits with this and the signal's number. */
const SIGNALLED = 128;
const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  5: "SIGTRAP",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  15: "SIGTERM",
};

export function exitOf({ code, outOfMemory, bereft, memoryMiB }: Ended): GuestExit {
  const exit = { code, signal: SIGNALS[code - SIGNALLED] ?? null };
  if (outOfMemory) {
    const message = `The container ran out of memory: it may use ${memoryMiB} MiB`;
    return { ...exit, known: { kind: "out_of_memory", message } };
  }
  return bereft && code !== 0 ? { ...exit, known: LOST } : exit;
}

const LOST = {
  kind: "node_lost",
  message: "The container engine was restarted, and ended the container",
} as const;

/** The engine does not know it any more. */
export const GONE: GuestExit = {
  code: -1,
  signal: "SIGKILL",
  known: { kind: "node_lost", message: "The container was removed by somebody else" },
};
