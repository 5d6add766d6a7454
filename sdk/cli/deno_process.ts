/** Runs `deno` subcommands, and programs beside them, as child processes: bounded in time and output, killed when they exceed either. */
import type { Clock } from "../ports.ts";

export interface DenoRun {
  /** Another program. @default the executable that runs us */
  readonly command?: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly stdin?: string;
  /** The whole environment of the child; the caller's own when absent. */
  readonly env?: Readonly<Record<string, string>>;
  /** @default 10 minutes */
  readonly timeoutMs?: number;
}

export interface DenoResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export type RunDeno = (run: DenoRun) => Promise<DenoResult>;

const OUTPUT_BYTES_MAX = 512 * 1024 * 1024;
const TEN_MINUTES_MS = 600_000;

/** The real {@link RunDeno}: the same executable that runs us. */
export function denoRunner(clock: Clock): RunDeno {
  return async ({ command = Deno.execPath(), args, cwd, stdin, env, timeoutMs = TEN_MINUTES_MS }) => {
    const child = new Deno.Command(command, {
      args: [...args],
      cwd,
      clearEnv: env !== undefined,
      env: { ...env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const ended = new AbortController();
    let timedOut = false;
    const watch = clock.sleep(timeoutMs, ended.signal).then(() => {
      if (ended.signal.aborted) return;
      timedOut = true;
      kill(child);
    });
    const [stdout, stderr, { code }] = await Promise.all([
      collect(child.stdout, child),
      collect(child.stderr, child),
      child.status,
      feed(child, stdin),
    ]);
    ended.abort();
    await watch;
    return { code, stdout, stderr, timedOut };
  };
}

async function feed(child: Deno.ChildProcess, text: string | undefined): Promise<void> {
  if (text === undefined) return;
  const writer = child.stdin.getWriter();
  // A child that ends without reading its program shows in its exit code.
  await writer.write(new TextEncoder().encode(text)).then(() => writer.close()).catch(() => {});
}

async function collect(stream: ReadableStream<Uint8Array>, child: Deno.ChildProcess): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of stream) {
    if ((bytes += chunk.length) > OUTPUT_BYTES_MAX) kill(child);
    else text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It ended by itself in the meantime.
  }
}
