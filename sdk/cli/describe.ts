/**
 * What a bundle declares, found by loading it in a subprocess that may touch nothing: no files, no network, no environment.
 * A module that needs more at import, never finishes, or ends the process is refused with the place it happened at.
 */
import { z } from "zod";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Manifest } from "../protocol/apps.ts";
import type { Description } from "../describe.ts";
import type { DenoResult, RunDeno } from "./deno_process.ts";
import { type Place, SourceError } from "./failure.ts";

export interface Described {
  readonly app: string;
  readonly manifest: Manifest;
  readonly files: readonly string[];
  readonly images: Description["images"];
  readonly warnings: readonly string[];
}

export interface DescribeOptions {
  /** Folder that holds `app.js`. */
  readonly dir: string;
  /** Name of the user's file, for messages. */
  readonly file: string;
  /** Unguessable, so that the module's own output cannot be taken for the answer. */
  readonly nonce: string;
  /** Ours, of which the subprocess gets what Deno needs to find its cache. */
  readonly env: Readonly<Record<string, string>>;
  /** Of `app.js`. */
  readonly bytes: number;
  /** @default 5000, and 500 more for each MiB that must be parsed */
  readonly timeoutMs?: number;
}

interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}
type Answer = { readonly description: Description } | { readonly thrown: Thrown };

const MIB = 1024 * 1024;
const CONFIG = new URL("../../deno.json", import.meta.url);
const DESCRIBE = new URL("../describe.ts", import.meta.url);

/** Loads and describes a bundle. */
export async function describeBundle(run: RunDeno, options: DescribeOptions): Promise<Described> {
  const { timeoutMs = 5_000 + 500 * Math.floor(options.bytes / MIB) } = options;
  const result = await run({
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-lock",
      "--no-remote",
      "--cached-only",
      `--config=${fileURLToPath(CONFIG)}`,
      "--v8-flags=--max-old-space-size=1024",
      "-",
    ],
    cwd: options.dir,
    env: cacheEnv(options.env),
    stdin: program(pathToFileURL(join(options.dir, "app.js")).href, options.nonce),
    timeoutMs,
  });
  const answer = answerIn(result.stdout, options.nonce);
  if (answer === null) throw noAnswer(result, options, timeoutMs);
  if ("thrown" in answer) throw refusal(answer.thrown, options.file);
  const { app, manifest, files, images, warnings } = answer.description;
  return { app, files, images, warnings, manifest: checked(manifest, options.file) };
}

const CACHE_NAMES = ["HOME", "DENO_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA", "USERPROFILE"];

function cacheEnv(env: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => CACHE_NAMES.includes(name)));
}

/** The imports are literals: those need no read permission. */
function program(module: string, nonce: string): string {
  return `
    import { describeModule } from ${JSON.stringify(DESCRIBE.href)};
    const write = Deno.stdout.writeSync.bind(Deno.stdout), stringify = JSON.stringify, exit = Deno.exit.bind(Deno);
    const encoder = new TextEncoder(), encode = encoder.encode.bind(encoder);
    for (const name of ["log", "info", "debug", "dir", "table"]) console[name] = console.error;
    const say = (answer) => {
      let rest = encode("\\n${nonce}" + stringify(answer) + "\\n");
      while (rest.length > 0) rest = rest.subarray(write(rest));
    };
    try {
      say({ description: describeModule(await import(${JSON.stringify(module)})) });
    } catch (error) {
      const { name = "Error", message = String(error), stack = "" } = error instanceof Error ? error : {};
      say({ thrown: { name: String(name), message: String(message), stack: String(stack) } });
    }
    exit(0);
  `;
}

function answerIn(stdout: string, nonce: string): Answer | null {
  const line = stdout.split("\n").findLast((line) => line.startsWith(nonce));
  return line === undefined ? null : JSON.parse(line.slice(nonce.length)) as Answer;
}

/** The subprocess ended, or was ended, before it said anything. */
function noAnswer(
  { code, stderr, timedOut }: DenoResult,
  { file, bytes }: DescribeOptions,
  timeoutMs: number,
) {
  if (timedOut) {
    return new SourceError(`Cannot load ${file}: it did not finish loading in ${timeoutMs / 1_000} s`, {
      hint: bytes > 5 * MIB
        ? `Its bundle has ${
          Math.round(bytes / MIB)
        } MiB: leave large packages out, new App(NAME, { external: ["npm:PACKAGE"] }).`
        : "Look for an endless loop at the top level; long work belongs inside a function or @enter.",
    });
  }
  if (stderr.includes("Top-level await promise never resolved")) {
    return new SourceError(`Cannot load ${file}: it awaits something at the top level that never happens`, {
      hint: "Await inside a function or @enter.",
    });
  }
  if (code === 133 || code === 134) {
    return new SourceError(`Cannot load ${file}: it used more than 1 GiB of memory while loading`, {
      hint: "Load large data inside a function or @enter.",
    });
  }
  const said = stderr.trim().split("\n").slice(-12).join("\n");
  return new SourceError(`Cannot load ${file}: it ended the process with exit code ${code} while loading`, {
    ...(said === "" ? {} : { details: said }),
    hint: "Remove the call of Deno.exit or process.exit at the top level.",
  });
}

const DENIED = /^Requires (\w+) access(?: to (.+?))?, run again/;

function refusal({ name, message, stack }: Thrown, file: string): SourceError {
  const place = firstPlace(stack);
  const at = place === undefined ? {} : { place };
  const denied = name === "NotCapable" ? DENIED.exec(message) : null;
  if (denied !== null) {
    const [, kind, what] = denied;
    return new SourceError(
      `Cannot load ${file}: it needs ${kind} access${what ? ` to ${what}` : ""} while it is imported`,
      {
        ...at,
        hint: `Move it into a function or @enter, and declare it: permissions: { ${kind}: ${
          permissionOf(what)
        } }.`,
      },
    );
  }
  if (message.startsWith("Cannot deploy") || message.startsWith("Cannot declare")) {
    return new SourceError(message, at);
  }
  return new SourceError(`Cannot load ${file}: ${name === "Error" ? "" : `${name}: `}${message}`, at);
}

const permissionOf = (what: string | undefined): string => what === undefined ? "true" : `[${what}]`;

/** The first frame in the user's own source; the map in the bundle has already turned it into file and line. */
function firstPlace(stack: string): Place | undefined {
  const frame = /app:\/\/\/(\S+?):(\d+):(\d+)/.exec(stack);
  return frame === null ? undefined : { file: frame[1]!, line: Number(frame[2]), column: Number(frame[3]) };
}

function checked(manifest: unknown, file: string): Manifest {
  const parsed = Manifest.safeParse(manifest);
  if (parsed.success) return parsed.data;
  throw new SourceError(
    `Cannot deploy ${file}: ${parsed.error.issues.map((issue) => sentence(issue, manifest)).join("; ")}`,
  );
}

/** `function "train": timeout: must be a duration such as "90s"` */
function sentence({ path, message }: z.core.$ZodIssue, manifest: unknown): string {
  const [list, index, ...field] = path;
  const name = list === "functions" && typeof index === "number"
    ? (manifest as { functions: { name?: string }[] }).functions[index]?.name
    : undefined;
  if (name === undefined) return `${path.join(".")}: ${message}`;
  return `function "${name}": ${field.length === 0 ? "" : `${field.join(".")}: `}${message}`;
}
