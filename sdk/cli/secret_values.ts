/** The values that `berth secret set` is given, from where nobody else sees them: a prompt, a file, standard input. */
import { resolve } from "node:path";
import { usageError } from "./failure.ts";
import type { Shell } from "./shell.ts";

/** `KEY=VALUE`, `KEY=@FILE`, `KEY=-` for standard input, or `KEY` for a prompt. Messages never repeat what is behind the sign. */
export async function readValues(shell: Shell, given: readonly string[]): Promise<Record<string, string>> {
  const values: Record<string, string> = {};
  const fromStdin = given.filter((one) => one.endsWith("=-"));
  if (fromStdin.length > 1) {
    throw usageError("Cannot read two values from standard input: give one of them with KEY=@FILE");
  }
  for (const one of given) {
    const sign = one.indexOf("=");
    const key = sign < 0 ? one : one.slice(0, sign);
    if (Object.hasOwn(values, key)) throw usageError(`Cannot set ${key} twice`);
    values[key] = sign < 0 ? await asked(shell, key) : await valueOf(shell, key, one.slice(sign + 1));
  }
  return values;
}

async function valueOf(shell: Shell, key: string, given: string): Promise<string> {
  if (given === "-") return trimmed(await shell.stdin());
  if (!given.startsWith("@")) return given;
  const path = resolve(shell.cwd, given.slice(1));
  const text = await Deno.readTextFile(path).catch((error: Error) => {
    const why = error instanceof Deno.errors.NotFound ? "there is no such file" : error.message;
    throw usageError(`Cannot read the value of ${key} from ${path}: ${why}`);
  });
  return trimmed(text);
}

async function asked(shell: Shell, key: string): Promise<string> {
  const typed = await shell.hidden(`${key}: `);
  if (typed !== null && typed !== "") return typed;
  throw usageError(
    `Cannot ask for ${key}: ${typed === null ? "there is no terminal, or you gave up" : "nothing was typed"}`,
    `Give it as ${key}=-, to read it from standard input, or ${key}=@FILE.`,
  );
}

/** Files and pipes end with a newline that is none of the value's. */
const trimmed = (text: string): string => text.replace(/\r?\n$/, "");
