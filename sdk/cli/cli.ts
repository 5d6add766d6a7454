/** What every command is handed: how to speak, how to reach the platform; and how each is declared. */
import type { Command, CommandOptions } from "commander";
import { httpTransport, type Wire } from "../transport.ts";
import { EXIT } from "./failure.ts";
import { Output } from "./output.ts";
import type { Shell } from "./shell.ts";

/** How long a command tries to reach the platform before it gives up. */
const PATIENCE_MS = 1_000;
/** How long one that follows a call waits for the platform to come back. */
const FOLLOW_PATIENCE_MS = 60_000;

/** A command at work. */
export class Job {
  readonly shell: Shell;
  readonly output: Output;

  constructor(shell: Shell, json: boolean) {
    this.shell = shell;
    this.output = new Output(shell, json);
  }

  /** The way to the platform that the profile names. */
  wire(): Wire {
    const { clock, random, fetch } = this.shell;
    const transport = httpTransport({ ...this.shell.profile(), fetch });
    return { transport, clock, random, patienceMs: PATIENCE_MS };
  }

  /** The same for what outlives a restart of the platform. */
  patientWire(): Wire {
    return { ...this.wire(), patienceMs: FOLLOW_PATIENCE_MS };
  }
}

/** The commands' common ground: whose shell, and with which code the process will end. */
export class Cli {
  readonly shell: Shell;
  exit: number = EXIT.ok;
  readonly json: boolean;

  constructor(shell: Shell, json: boolean) {
    this.shell = shell;
    this.json = json;
  }

  /**
   * The action of a command: `work` gets the job, the options and the arguments, and may return an exit code.
   *
   * Commander passes arguments, options and the command, in this order; an argument that is a list comes spread.
   */
  action<Options>(work: (job: Job, options: Options, ...args: string[]) => Promise<number | void>) {
    return async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1) as Command;
      const args = given.slice(0, -2).flat() as string[];
      this.exit = await work(
        new Job(this.shell, this.json),
        command.opts<Record<string, unknown>>() as Options,
        ...args,
      ) ?? EXIT.ok;
    };
  }
}

/** Adds one command to the program. */
export type Declare = (program: Command, cli: Cli) => void;

/** A command with `--json` and examples. */
export function command(
  program: Command,
  name: string,
  summary: string,
  examples: readonly string[] = [],
  options: CommandOptions = {},
): Command {
  const made = program.command(name, options).description(summary);
  made.option("--json", "print the result as JSON on stdout, everything else on stderr");
  if (examples.length > 0) {
    made.addHelpText(
      "after",
      `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}`,
    );
  }
  return made;
}
