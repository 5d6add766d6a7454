/** The CLI as a program: the real terminal, folder and platform. */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { readProfile } from "../config.ts";
import { realClock, realFetch, realRandom } from "../ports.ts";
import { denoRunner } from "./deno_process.ts";
import { EXIT } from "./failure.ts";
import { readHidden } from "./hidden_input.ts";
import { onInterrupt } from "./interrupts.ts";
import { runCli } from "./program.ts";
import type { Shell, Stream, Terminal } from "./shell.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The shell that the user sits at. */
export function realShell(): Shell {
  const env = Deno.env.toObject();
  return {
    cwd: callerFolder(env),
    out: streamOf(Deno.stdout, env),
    err: streamOf(Deno.stderr, env),
    stdin: () => new Response(Deno.stdin.readable).text(),
    hidden: (question) =>
      readHidden(Deno.stdin, question, (text) => writeAll(Deno.stderr, new TextEncoder().encode(text))),
    input: () => Deno.stdin.readable,
    terminal: realTerminal(env),
    connect: (url, headers) => new WebSocket(url, { headers }),
    profile: readProfile,
    fetch: realFetch,
    clock: realClock,
    random: realRandom,
    run: denoRunner(realClock),
    env,
    interrupted,
    browse,
  };
}

/** `deno task` changes to the folder of its configuration, and leaves the caller's own in INIT_CWD. */
function callerFolder({ INIT_CWD }: Record<string, string>): string {
  const cwd = Deno.cwd();
  return INIT_CWD !== undefined && resolve(cwd) === ROOT ? INIT_CWD : cwd;
}

function streamOf(stream: typeof Deno.stdout, { NO_COLOR, TERM }: Record<string, string>): Stream {
  const terminal = stream.isTerminal();
  return {
    terminal,
    colour: terminal && !NO_COLOR && TERM !== "dumb",
    columns: terminal ? Deno.consoleSize().columns : Infinity,
    write: (text) => writeAll(stream, new TextEncoder().encode(text)),
    writeBytes: (bytes) => writeAll(stream, bytes),
  };
}

function realTerminal({ TERM = "xterm" }: Record<string, string>): Terminal | null {
  if (!Deno.stdin.isTerminal() || !Deno.stdout.isTerminal()) return null;
  const size = () => {
    const { columns, rows } = Deno.consoleSize();
    return { columns: Math.max(1, columns), rows: Math.max(1, rows) };
  };
  return {
    term: TERM,
    size,
    raw: (on) => Deno.stdin.setRaw(on),
    onResize: (heard) => {
      const tell = () => heard(size());
      Deno.addSignalListener("SIGWINCH", tell);
      return () => Deno.removeSignalListener("SIGWINCH", tell);
    },
  };
}

function writeAll(stream: typeof Deno.stdout, bytes: Uint8Array): void {
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(stream.writeSync(rest));
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    Deno.exit(0); // `berth calls | head` has seen enough
  }
}

/** The second Ctrl-C ends the process at once. */
function interrupted(): AbortSignal {
  const controller = new AbortController();
  onInterrupt(realClock, () => controller.abort(), () => Deno.exit(EXIT.interrupted));
  return controller.signal;
}

const OPENERS: Readonly<Record<string, string>> = { linux: "xdg-open", darwin: "open", windows: "explorer" };

async function browse(url: string): Promise<boolean> {
  try {
    const opener = new Deno.Command(OPENERS[Deno.build.os] ?? "xdg-open", {
      args: [url],
      stdout: "null",
      stderr: "null",
    });
    return (await opener.output()).success;
  } catch {
    return false;
  }
}

if (import.meta.main) Deno.exit(await runCli(realShell(), Deno.args));
