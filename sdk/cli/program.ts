/** The command line as a whole: every command, and what becomes of errors. */
import { Command, CommanderError } from "commander";
import { CallFailedError, PlatformError } from "../errors.ts";
import { VERSION } from "../version.ts";
import { Cli, type Declare } from "./cli.ts";
import { apps, open, remove } from "./commands/apps.ts";
import { artifact } from "./commands/artifact.ts";
import { call } from "./commands/call.ts";
import { calls, cancel } from "./commands/calls.ts";
import { cp } from "./commands/cp.ts";
import { deploy } from "./commands/deploy.ts";
import { exec, shell as openShell } from "./commands/exec.ts";
import { image } from "./commands/image.ts";
import { join } from "./commands/join.ts";
import { keys } from "./commands/keys.ts";
import { logs } from "./commands/logs.ts";
import { nodes } from "./commands/nodes.ts";
import { pools } from "./commands/pools.ts";
import { containers, ps } from "./commands/ps.ts";
import { pyPath } from "./commands/py_path.ts";
import { run } from "./commands/run.ts";
import { scaling } from "./commands/scaling.ts";
import { schedules } from "./commands/schedules.ts";
import { secret } from "./commands/secret.ts";
import { show } from "./commands/show.ts";
import { up } from "./commands/up.ts";
import { volume } from "./commands/volume.ts";
import { workspaces } from "./commands/workspaces.ts";
import { CliError, EXIT, formatPlace, SourceError } from "./failure.ts";
import { Output } from "./output.ts";
import type { Shell } from "./shell.ts";

/** Exit code for a fault in the CLI itself (`EX_SOFTWARE`). */
const BUG = 70;

const COMMANDS: readonly Declare[] = [
  up,
  join,
  deploy,
  run,
  call,
  logs,
  calls,
  show,
  cancel,
  ps,
  containers,
  exec,
  openShell,
  cp,
  apps,
  remove,
  nodes,
  pools,
  schedules,
  artifact,
  image,
  scaling,
  workspaces,
  keys,
  secret,
  volume,
  pyPath,
  open,
];

const EPILOG = `
Exit codes:
  0    all went well
  1    the call failed
  2    the command line is wrong
  3    the platform refused, or could not be reached
  4    the file cannot be deployed
  130  interrupted

The platform is the one of BERTH_URL and BERTH_KEY, else the one that the last \`berth up\` on this machine started.
NO_COLOR turns colours off.

Examples:
  berth up
  berth deploy app.ts
  berth call digits/train --input '{"epochs": 3}' --follow`;

/** Runs one command line and answers the exit code. */
export async function runCli(shell: Shell, args: readonly string[]): Promise<number> {
  const cli = new Cli(shell, asksForJson(args));
  const program = new Command("berth")
    .description("Berth turns machines with GPUs into a serverless platform")
    .version(VERSION, "-V, --version")
    .addHelpText("after", EPILOG)
    .configureOutput({ writeOut: shell.out.write, writeErr: shell.err.write })
    .exitOverride();
  for (const declare of COMMANDS) declare(program, cli);
  overrideExits(program);
  try {
    if (args.length === 0) program.help({ error: true });
    await program.parseAsync([...args], { from: "user" });
    return cli.exit;
  } catch (error) {
    return report(new Output(shell, cli.json), error);
  }
}

/** What comes after `--` is for a command elsewhere. */
function asksForJson(args: readonly string[]): boolean {
  const own = args.indexOf("--");
  return (own < 0 ? args : args.slice(0, own)).includes("--json");
}

/** A usage error is thrown, not an exit of the process; and it says where help is. */
function overrideExits(command: Command): void {
  for (const child of command.commands) {
    const path = [command.name() === "berth" ? "berth" : `berth ${command.name()}`, child.name()].join(" ");
    child.copyInheritedSettings(command).exitOverride().showHelpAfterError(`See: ${path} --help`);
    overrideExits(child);
  }
}

function report(output: Output, error: unknown): number {
  output.clearStatus();
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok; // --help, --version
  const { exit, code, lines } = explain(output, error);
  for (const line of lines) output.note(line);
  if (output.json) output.print(JSON.stringify({ error: { code, message: (error as Error).message } }));
  return exit;
}

/** Codes of our own errors in JSON; those of the platform come with them. */
const CODE_BY_EXIT: Readonly<Record<number, string>> = {
  [EXIT.usage]: "usage",
  [EXIT.platform]: "not_started",
  [EXIT.source]: "source_error",
};

function explain(output: Output, error: unknown): { exit: number; code: string; lines: string[] } {
  const head = output.tint("red", "error:");
  if (error instanceof CommanderError) return { exit: EXIT.usage, code: "usage", lines: [] }; // it has spoken already
  if (error instanceof CliError) {
    const lines = [`${head} ${error.message}`, ...sourceLines(output, error)];
    if (error.hint !== undefined) lines.push(output.tint("dim", error.hint));
    return { exit: error.exit, code: CODE_BY_EXIT[error.exit] ?? "usage", lines };
  }
  if (error instanceof PlatformError) {
    const field = error.field === undefined ? "" : ` (field ${error.field})`;
    const id = error.requestId === undefined ? [] : [output.tint("dim", `request ${error.requestId}`)];
    return { exit: EXIT.platform, code: error.code, lines: [`${head} ${error.message}${field}`, ...id] };
  }
  if (error instanceof CallFailedError) {
    return { exit: EXIT.callFailed, code: error.failure.kind, lines: [`${head} ${error.message}`] };
  }
  const stack = error instanceof Error ? error.stack ?? error.message : String(error);
  return { exit: BUG, code: "internal", lines: [`${head} this is a fault of the CLI itself`, stack] };
}

function sourceLines(output: Output, error: CliError): string[] {
  if (!(error instanceof SourceError)) return [];
  return [
    ...(error.place === undefined ? [] : [`  at ${output.tint("cyan", formatPlace(error.place))}`]),
    ...(error.details === undefined ? [] : [error.details]),
  ];
}
