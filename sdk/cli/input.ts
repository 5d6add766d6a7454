/** Reads what the user gives a call: JSON on the command line, in a file, or on standard input. */
import { resolve } from "node:path";
import { Json } from "../protocol/primitives.ts";
import { usageError } from "./failure.ts";
import type { Shell } from "./shell.ts";

/** `--input`: JSON, `@FILE` or `-`. Null when nothing was given. */
export async function readInput(shell: Shell, given: string | undefined): Promise<Json> {
  if (given === undefined) return null;
  const [text, source] = await textOf(shell, given);
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const hint = source === "--input"
      ? `Quote it for your shell: --input '{"epochs": 3}', or a string: --input '"text"'.`
      : undefined;
    throw usageError(`Cannot read ${source} as JSON: ${(error as Error).message}`, hint);
  }
}

async function textOf(shell: Shell, given: string): Promise<[text: string, source: string]> {
  if (given === "-") return [await shell.stdin(), "standard input"];
  if (!given.startsWith("@")) return [given, "--input"];
  const path = resolve(shell.cwd, given.slice(1));
  const text = await Deno.readTextFile(path).catch((error: Error) => {
    throw usageError(
      `Cannot read ${path}: ${
        error instanceof Deno.errors.NotFound ? "there is no such file" : error.message
      }`,
    );
  });
  return [text, path];
}
