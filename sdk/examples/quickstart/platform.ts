/** A whole platform of one's own, as `berth up` starts it: a child process on a folder that nobody else uses. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../ports.ts";

const CLI = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const START_DEADLINE_MS = 90_000;
const STOP_DEADLINE_MS = 15_000;

export interface PlatformOptions {
  readonly clock: Clock;
  /** More arguments of `berth up`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface Platform {
  readonly url: string;
  readonly key: string;
  /** The process of `berth up`, which started all others. */
  readonly pid: number;
  /** Its folder; `log` in there is what it wrote to its standard error. */
  readonly dir: string;
  readonly log: string;
  /** Runs a `berth` command against it and reads the JSON that it prints. */
  berth(...args: string[]): Promise<unknown>;
  /** Ends it in good order. The folder stays. */
  stop(): Promise<void>;
}

/** Starts a platform in a temporary folder. The user's own profile is left alone: its home is in that folder too. */
export async function startPlatform({ clock, args = [], env = {} }: PlatformOptions): Promise<Platform> {
  const dir = await Deno.makeTempDir({ prefix: "berth-" });
  const log = join(dir, "berth.log");
  const settings = { HOME: dir, DENO_DIR: await denoDir(), ...env };
  const child = spawnDeno(["up", "--port", "0", "--data", join(dir, "data"), "--json", ...args], settings);
  const logged = child.stderr.pipeTo((await Deno.create(log)).writable);

  const first = await Promise.race([firstLine(child.stdout), clock.sleep(START_DEADLINE_MS)]);
  if (typeof first !== "string") {
    kill(child.pid, "SIGKILL");
    await logged;
    throw new Error(`Cannot start the platform: \`berth up\` did not say where it is\n${await tail(log)}`);
  }
  const { url, key } = JSON.parse(first) as { url: string; key: string };
  return {
    url,
    key,
    pid: child.pid,
    dir,
    log,
    berth: (...args) => runBerth(args, { ...settings, BERTH_URL: url, BERTH_KEY: key }),
    stop: async () => {
      kill(child.pid, "SIGTERM");
      const patience = new AbortController();
      const forced = clock.sleep(STOP_DEADLINE_MS, patience.signal).then(() => {
        if (!patience.signal.aborted) kill(child.pid, "SIGKILL");
      });
      await child.status;
      patience.abort();
      await Promise.all([forced, logged]);
    },
  };
}

async function runBerth(args: readonly string[], env: Readonly<Record<string, string>>): Promise<unknown> {
  const child = spawnDeno([...args, "--json"], env);
  const [status, out, said] = await Promise.all([
    child.status,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if (!status.success) throw new Error(`Cannot run \`berth ${args.join(" ")}\`: ${(said || out).trim()}`);
  return JSON.parse(out);
}

function spawnDeno(args: readonly string[], env: Readonly<Record<string, string>>): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", CLI, ...args],
    env: { ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** The first line, or null when the stream ends before one. What follows is read and dropped, so that nobody blocks on it. */
async function firstLine(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string | null> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) return null;
    text += value;
  }
  drain(reader);
  return text.slice(0, text.indexOf("\n"));
}

async function drain(reader: ReadableStreamDefaultReader<string>): Promise<void> {
  while (!(await reader.read()).done);
}

/** Deno keeps what it has downloaded under the home folder unless told where: with another home it would download again. */
async function denoDir(): Promise<string> {
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] }).output();
  return JSON.parse(new TextDecoder().decode(stdout)).denoDir;
}

function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}

const tail = async (file: string): Promise<string> =>
  (await Deno.readTextFile(file)).trim().split("\n").slice(-12).join("\n");
