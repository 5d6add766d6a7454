/**
 * The part of Berth that runs in containers, laid out for them: Python as it is, TypeScript as JavaScript. A Deno that starts where
 * nothing is cached would translate it each time, which is a third of its start.
 */
import { stripTypeScriptTypes } from "node:module";

const ENTRIES = ["runner/guests/guest.ts", "sdk/mod.ts"];
/** Imports of files beside it. In comments there are more, of files that are only examples. */
const IMPORT = /((?:\bfrom|\bimport)\s*\(?\s*)"(\.{1,2}\/[\w./-]+)\.ts"/g;
const IMPORT_MAP = { imports: { berth: "../../sdk/mod.js" } };

/**
 * Writes what `root`, the folder above `runner` and `sdk`, has of it to a new folder in `all`, under the same paths. Lines stay where
 * they are, so traces stay right.
 *
 * @param keepOthers folders of earlier runners are in use
 * @returns the folder
 */
export async function layHostFiles(
  root: string,
  all: string,
  { keepOthers = false }: { readonly keepOthers?: boolean } = {},
): Promise<string> {
  if (!keepOthers) await Deno.remove(all, { recursive: true }).catch(() => {});
  await Deno.mkdir(all, { recursive: true });
  const to = await Deno.makeTempDir({ dir: all });
  await Deno.chmod(to, 0o755);
  await copyPython(`${root}/runner/guests`, `${to}/runner/guests`);
  await Deno.writeTextFile(`${to}/runner/guests/import_map.json`, JSON.stringify(IMPORT_MAP));
  const left = new Set(ENTRIES);
  for (const path of left) { // what is added meanwhile comes up too
    const text = await Deno.readTextFile(`${root}/${path}`).catch(() => null);
    if (text === null) continue;
    const { code, imports } = translated(text, path);
    for (const one of imports) left.add(one);
    await write(`${to}/${path.replace(/\.ts$/, ".js")}`, code);
  }
  return to;
}

/** The same code in JavaScript, and the paths of what it imports. */
export function translated(text: string, path: string): { code: string; imports: string[] } {
  const imports: string[] = [];
  const code = stripTypeScriptTypes(text).replace(IMPORT, (_, before, file) => {
    imports.push(new URL(`${file}.ts`, `file:///${path}`).pathname.slice(1));
    return `${before}"${file}.js"`;
  });
  return { code, imports };
}

async function copyPython(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyPython(`${from}/${name}`, `${to}/${name}`);
    else if (name.endsWith(".py")) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await Deno.writeTextFile(path, text);
}
