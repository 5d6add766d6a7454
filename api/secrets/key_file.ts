/** Master keys in a file: one a line, the newest first. It must be readable by its owner alone. */
import { join } from "node:path";
import type { Random } from "../../sdk/ports.ts";
import { isMasterKey, KEY_RULE } from "./keyring.ts";

const KEY_BYTES = 32;

/** The keys in `root`, where one is made when there is none. Restarts on the same folder keep them. */
export async function keysIn(root: string, random: Random): Promise<string[]> {
  const path = join(root, "secrets.keys");
  try {
    const made = `${random.bytes(KEY_BYTES).toBase64()}\n`;
    await Deno.writeTextFile(path, made, { mode: 0o600, createNew: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  return await readKeyFile(path);
}

/** @throws TypeError that names the file and the rule that it breaks */
export async function readKeyFile(path: string): Promise<string[]> {
  const { mode } = await Deno.stat(path);
  if (((mode ?? 0) & 0o077) !== 0) refuse(path, `others may read it, \`chmod 600 ${path}\``);
  const keys = (await Deno.readTextFile(path)).split("\n").map((line) => line.trim()).filter(Boolean);
  if (keys.length === 0) refuse(path, "it holds no key");
  const wrong = keys.findIndex((key) => !isMasterKey(key));
  if (wrong >= 0) refuse(path, `line ${wrong + 1} ${KEY_RULE}`);
  return keys;
}

function refuse(path: string, rule: string): never {
  throw new TypeError(`Cannot use ${path} for the keys of secrets: ${rule}`);
}
