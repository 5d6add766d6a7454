/** Starting programs, for real. */
import type { Command, Spawn } from "../engine.ts";
import { kill, killGroup } from "../../sdk/proc.ts";

export const realSpawn: Spawn = {
  start: (command) => {
    // Detached: a session of its own, so that the whole group can be killed.
    const child = new Deno.Command(command.command, { ...options(command), detached: true }).spawn();
    return {
      pid: child.pid,
      stdin: command.stdin === "piped" ? child.stdin : null,
      stdout: child.stdout,
      stderr: child.stderr,
      exited: child.status,
      terminate: () => kill(child.pid, "SIGTERM"),
      kill: () => killGroup(child.pid),
    };
  },
  output: async (command) => {
    const child = new Deno.Command(command.command, options(command)).spawn();
    const told = command.input === undefined ? null : tell(child.stdin, command.input);
    const { code, stdout, stderr } = await child.output();
    await told;
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  },
};

/** One that has ended does not listen. */
const tell = (stdin: WritableStream<Uint8Array>, input: string): Promise<void> =>
  new Blob([input]).stream().pipeTo(stdin).catch(() => {});

const options = ({ args, cwd, env, stdin, input }: Command) => ({
  args: [...args],
  stdin: stdin ?? (input === undefined ? "null" as const : "piped" as const),
  stdout: "piped" as const,
  stderr: "piped" as const,
  ...(cwd === undefined ? {} : { cwd }),
  ...(env === undefined ? {} : { env: { ...env }, clearEnv: true }),
});
