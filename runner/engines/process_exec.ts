/** Commands beside a guest of the process engine: its environment and folder, and a terminal by way of `script` where one is asked for. */
import { kill, processesWith, safely } from "../../sdk/proc.ts";
import type { ExecCommand, TerminalSize } from "../../sdk/protocol.ts";
import { type Command, type Exec, type Spawn, StartError } from "../engine.ts";
import { childrenOf } from "../proc.ts";

export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** @param tag names the command among all of this machine: what it starts is found by it */
export function execIn({ cwd, env }: Surroundings, command: ExecCommand, spawn: Spawn, tag: string): Exec {
  const child = start(spawn, {
    ...lineOf(command),
    cwd,
    env: { ...env, ...terminalEnv(command), BERTH_EXEC: tag },
  });
  return {
    stdin: child.stdin!,
    stdout: child.stdout,
    stderr: child.stderr,
    exited: child.exited,
    resize: (size) => command.tty && resize(spawn, child.pid, size),
    kill: () => {
      child.kill();
      // What runs in a terminal is a session of its own, and so may be what it started.
      for (const pid of processesWith(`BERTH_EXEC=${tag}\0`)) kill(pid);
    },
  };
}

function start(spawn: Spawn, command: Command) {
  try {
    return spawn.start({ ...command, stdin: "piped" });
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound ? "there is no such program" : (cause as Error).message;
    throw new StartError(`Cannot run "${command.command}": ${why}`, { cause });
  }
}

function lineOf({ command, tty }: ExecCommand): Pick<Command, "command" | "args"> {
  if (tty === undefined) return { command: command[0]!, args: command.slice(1) };
  const line = `stty cols ${tty.columns} rows ${tty.rows}; exec ${command.map(quoted).join(" ")}`;
  return { command: "script", args: ["-qfec", line, "/dev/null"] };
}

const terminalEnv = ({ tty }: ExecCommand): Record<string, string> =>
  tty === undefined ? {} : { TERM: tty.term, SHELL: "/bin/sh" };

/** For a POSIX shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** The terminal is the one that the child of `script` reads from. */
function resize(spawn: Spawn, script: number, { columns, rows }: TerminalSize): void {
  const terminal = childrenOf(script).map((pid) => safely(() => Deno.readLinkSync(`/proc/${pid}/fd/0`)))
    .find((path) => path?.startsWith("/dev/pts/"));
  if (!terminal) return;
  const args = ["-F", terminal, "cols", String(columns), "rows", String(rows)];
  spawn.output({ command: "stty", args }).catch(() => {}); // it has just ended
}
