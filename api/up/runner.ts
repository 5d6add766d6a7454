/** The runner of this machine, as a child process. */
import type { Clock, Log } from "../../sdk/ports.ts";
import { RUNNER_MAIN } from "../local_nodes.ts";
import type { Running } from "./keep.ts";
import { relayLog } from "./log.ts";

export interface RunnerOptions {
  /** Socket of the api. */
  readonly socket: string;
  readonly token: string;
  readonly data: string;
  readonly simulateGpus: string | undefined;
  readonly poolSize: number | undefined;
  /** More of its flags. */
  readonly more: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/** Joining takes a second at most on an idle machine. */
const JOIN_DEADLINE_MS = 30_000;
/** Of that, for a container engine that it was told to use. */
const ENGINE_WAIT_MS = 20_000;
/** What runs may end, is told to, and is killed: the runner takes about 10 s at most. */
const STOP_DEADLINE_MS = 20_000;

const NO_KEYS = { BERTH_SECRETS_KEY: "", BERTH_SECRETS_KEYS_OLD: "" };

/** Starts the runner; resolves when it has joined. */
export async function startRunner(options: RunnerOptions): Promise<Running> {
  const { socket, token, data, simulateGpus, poolSize, more, clock, log } = options;
  const gpus = simulateGpus === undefined ? [] : ["--simulate-gpus", simulateGpus];
  const pool = poolSize === undefined ? [] : ["--pool-size", String(poolSize)];
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "-A",
      RUNNER_MAIN,
      "--json",
      "--parent-pid",
      String(Deno.pid),
      "--data",
      data,
      "--engine-wait-ms",
      String(ENGINE_WAIT_MS),
      ...gpus,
      ...pool,
      ...more,
    ],
    // It is started by us, and has no business with our keys.
    env: { ...NO_KEYS, BERTH_API: `unix:${socket}`, BERTH_JOIN_TOKEN: token, NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    detached: true, // a Ctrl-C in the terminal is for us; we stop it in our own order
  }).spawn();
  const words: string[] = [];
  const relayed = relayLog(child.stderr, log, (text) => {
    words.push(text);
    log("runner.said", { text });
  });
  const exited = child.status;
  if (!await joined(child, clock)) {
    kill(child.pid, "SIGKILL");
    await relayed;
    const why = words.join("\n").trim().replace(/^Cannot start the runner: /, "");
    throw new Error(`Cannot start the runner: ${why || "it did not join in time"}`);
  }
  return { pid: child.pid, exited, stop: () => stop(child, clock) };
}

/** The runner says one line when it has joined; what it says later is read and forgotten. */
async function joined({ stdout }: Deno.ChildProcess, clock: Clock): Promise<boolean> {
  const first = Promise.withResolvers<boolean>();
  const reading = (async () => {
    for await (const _ of stdout) first.resolve(true);
    first.resolve(false);
  })();
  const waiting = new AbortController();
  const late = clock.sleep(JOIN_DEADLINE_MS, waiting.signal).then(() => false);
  const answer = await Promise.race([first.promise, late, reading.then(() => false)]);
  waiting.abort();
  return answer;
}

async function stop(child: Deno.ChildProcess, clock: Clock): Promise<void> {
  kill(child.pid, "SIGTERM");
  const waiting = new AbortController();
  const late = clock.sleep(STOP_DEADLINE_MS, waiting.signal).then(() => {
    if (!waiting.signal.aborted) kill(child.pid, "SIGKILL");
  });
  await child.status;
  waiting.abort();
  await late;
}

/** No error when it has ended. */
function kill(pid: number, signal: Deno.Signal): void {
  try {
    Deno.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
