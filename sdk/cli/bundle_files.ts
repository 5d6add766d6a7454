/** Reads the files that a module asks to have beside it in its bundle: Python sources and data. */
import { isAbsolute, join, normalize } from "node:path";
import type { BundleFile } from "./bundle_document.ts";
import { SourceError } from "./failure.ts";

/** `files` as the module names them, relative to `dir`, ready for the bundle. */
export async function readBesides(
  dir: string,
  files: readonly string[],
): Promise<Record<string, BundleFile>> {
  const entries = await Promise.all(files.map(async (file) => [file, await readBeside(dir, file)] as const));
  return Object.fromEntries(entries);
}

async function readBeside(dir: string, file: string): Promise<BundleFile> {
  if (isAbsolute(file) || normalize(file) !== file || file.startsWith("..")) {
    throw new SourceError(`Cannot bundle "${file}": it must be a plain path below the folder of the module`);
  }
  try {
    return textOrBytes(await Deno.readFile(join(dir, file)));
  } catch (error) {
    const why = error instanceof Deno.errors.NotFound
      ? "there is no such file beside the module"
      : (error as Error).message;
    throw new SourceError(`Cannot bundle "${file}": ${why}`, {
      hint: "Paths are relative to the folder of the module.",
    });
  }
}

function textOrBytes(bytes: Uint8Array<ArrayBuffer>): BundleFile {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: bytes.toBase64() };
  }
}
