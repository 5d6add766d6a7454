/** `berth exec`, `berth shell`: commands inside containers. */
import type { ExecCommand } from "../../protocol/exec.ts";
import { command, type Declare, type Job } from "../cli.ts";
import { runningContainer } from "../container_ref.ts";
import { usageError } from "../failure.ts";
import { collectInside, runInside } from "../inside.ts";
import type { Terminal } from "../shell.ts";

interface Options {
  readonly interactive?: boolean;
  readonly tty?: boolean;
}

const WHERE = "a container, the call that it runs, or APP/FUNCTION for its newest container";

export const exec: Declare = (program, cli) => {
  const examples = [
    "berth exec ctr_… -- nvidia-smi",
    "berth exec chat/vllm -i -- sh -c 'cat > notes' < notes",
  ];
  const summary = "Run a command inside a container, until it or the container ends; exits with its code";
  command(program, "exec", summary, examples)
    .argument("<container>", WHERE)
    .argument("<command...>", "program and arguments, after --")
    .option("-i, --interactive", "pass standard input on")
    .option("-t, --tty", "give it a terminal; implies -i")
    .action(cli.action<Options>(async (job, { interactive = false, tty = false }, of = "", ...rest) => {
      const line = rest.flat();
      const container = await runningContainer(job.wire(), of);
      if (tty) return await inTerminal(job, container, line);
      return job.output.json
        ? await collected(job, container, line)
        : await piped(job, container, line, interactive);
    }));
};

export const shell: Declare = (program, cli) => {
  const examples = ["berth shell ctr_…", "berth shell call_000000001z_0"];
  command(
    program,
    "shell",
    "Open a shell inside a container; reads commands from stdin where that is no terminal",
    examples,
  )
    .argument("<container>", WHERE)
    .action(cli.action(async (job, _, of = "") => {
      const container = await runningContainer(job.wire(), of);
      if (job.shell.terminal !== null) return await inTerminal(job, container, SHELL);
      return await piped(job, container, SHELL, true);
    }));
};

/** The better shell of the two, where there is one. */
const SHELL = ["sh", "-c", "command -v bash >/dev/null && exec bash; exec sh"];

/** Output as it comes, each stream where it belongs. */
async function piped(job: Job, container: string, line: string[], interactive: boolean): Promise<number> {
  const { out, err, input } = job.shell;
  const { code } = await runInside(job, container, { command: line }, {
    stdin: interactive ? input() : null,
    print: (stream, bytes) => (stream === "stderr" ? err : out).writeBytes(bytes),
  });
  return code;
}

async function collected(job: Job, container: string, line: string[]): Promise<number> {
  const result = await collectInside(job, container, line);
  job.output.print(JSON.stringify(result));
  return result.code;
}

/** This terminal, handed over: keys go there as they are typed, Ctrl-C too. */
async function inTerminal(job: Job, container: string, line: string[]): Promise<number> {
  const { terminal, input, out } = job.shell;
  if (terminal === null) {
    throw usageError("Cannot give it a terminal: standard input is none, leave out --tty");
  }
  const command: ExecCommand = { command: line, tty: { ...terminal.size(), term: terminal.term } };
  return await raw(terminal, async () => {
    const { code } = await runInside(job, container, command, {
      stdin: input(),
      print: (_, bytes) => out.writeBytes(bytes),
      onResize: (heard) => terminal.onResize(heard),
    });
    return code;
  });
}

async function raw<T>(terminal: Terminal, work: () => Promise<T>): Promise<T> {
  terminal.raw(true);
  try {
    return await work();
  } finally {
    terminal.raw(false);
  }
}
