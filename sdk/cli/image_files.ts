/** Reads what the chain of an image names on this machine: files to copy, requirements, a Containerfile; and packs them for the build. */
import dockerignore from "@balena/dockerignore";
import { basename, dirname, isAbsolute, join, normalize } from "node:path";
import { packTar, type TarEntry } from "modern-tar";
import type { LocalChain, LocalStep } from "../image.ts";
import { copiedPath, type ImageChain, type ImageStep, RULES } from "../image_steps.ts";
import { LIMITS } from "../protocol/limits.ts";
import { SourceError } from "./failure.ts";
import { size } from "./words.ts";

/** What a build copies: a tar, the same for the same files. */
export interface ImageContext {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: string;
}

export interface ReadChain {
  readonly chain: ImageChain;
  readonly context: ImageContext | null;
}

/** A file by its path in the context; a text is where a link leads, null stands for a folder. */
type Files = Map<string, File | string | null>;
interface File {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly executable: boolean;
}

/** Reads a chain; `folder` is that of the module. Throws a {@link SourceError} that names what cannot be read. */
export async function readChain(folder: string, { from, steps }: LocalChain): Promise<ReadChain> {
  const files: Files = new Map();
  const base = from.kind === "containerfile"
    ? { kind: from.kind, text: await readText(folder, from.path, "Containerfile") }
    : from;
  if (from.kind === "containerfile") {
    await addFolder(files, folder, plain(from.context ?? dirname(from.path)), "");
  }
  const read: ImageStep[] = [];
  for (const step of steps) read.push(await readStep(folder, step, read.length, files));
  return {
    chain: { from: base, steps: read },
    context: files.size === 0 ? null : await packed(files),
  };
}

async function readStep(folder: string, step: LocalStep, index: number, files: Files): Promise<ImageStep> {
  if (step.do === "pip" && step.file !== undefined) {
    return { do: "pip", packages: [], requirements: await requirementsIn(folder, step.file) };
  }
  if (step.do === "pip") return { do: "pip", packages: step.packages };
  if (step.do !== "copy") return step;
  const path = plain(step.local), place = copiedPath(index);
  const { isDirectory, isFile } = await stat(folder, path);
  if (!isDirectory && !isFile) throw unreadable(path, "it is neither a file nor a folder");
  if (isDirectory) {
    files.set(place, null);
    await addFolder(files, folder, path, `${place}/`);
    return { do: "copy", source: index, to: step.to };
  }
  files.set(place, await readFile(join(folder, path)));
  const to = step.to.endsWith("/") ? step.to + basename(path) : step.to;
  const broken = RULES.path(to);
  if (broken !== null) throw unreadable(path, `it would be ${to} in the image, which ${broken}`);
  return { do: "copy", source: index, to };
}

/** Lines without comments. Other files that they name would not be there. */
async function requirementsIn(folder: string, file: string): Promise<string[]> {
  const text = (await readText(folder, file, "requirements")).replaceAll(/\\\r?\n/g, " ");
  const lines = text.split(/\r?\n/).map((line) => line.replace(/(^|\s)#.*$/, "").trim());
  lines.forEach((line, i) => {
    const broken = line === "" ? null : RULES.requirement(line);
    const names = /^(-r|-c|-e|--requirement|--constraint|--editable)\b/.test(line);
    if (!names && broken === null) return;
    const why = names ? "it names another file, copy that with .copy() and install it with .run()" : broken;
    throw new SourceError(`Cannot read ${file}, line ${i + 1}: ${why}`);
  });
  return lines.filter((line) => line !== "");
}

const readText = async (folder: string, path: string, what: string): Promise<string> => {
  const { bytes } = await readFile(join(folder, plain(path))).catch((error) => {
    throw unreadable(path, whyNot(error), what);
  });
  return new TextDecoder().decode(bytes);
};

/** Adds all below a folder but what its ignore file names. */
async function addFolder(files: Files, root: string, path: string, prefix: string): Promise<void> {
  const folder = join(root, path);
  const filter = dockerignore.default({ ignorecase: false });
  for (const name of IGNORE_FILES) {
    const text = await Deno.readTextFile(join(folder, name)).catch(() => null);
    if (text === null) continue;
    filter.add(text.split(/\r?\n/));
    break;
  }
  let bytes = 0;
  const visit = async (inside: string): Promise<void> => {
    const entries = await Array.fromAsync(Deno.readDir(join(folder, inside))).catch((error) => {
      throw unreadable(path, whyNot(error));
    });
    for (const { name } of entries) {
      const at = `${inside}${name}`;
      if (IGNORE_FILES.includes(at)) continue;
      const { isDirectory, isFile, isSymlink } = await Deno.lstat(join(folder, at)).catch((error) => {
        throw unreadable(join(path, at), whyNot(error));
      });
      // A folder that is named may hold files that a later line takes back: each is asked for.
      if (isDirectory) {
        await visit(`${at}/`);
        if (!filter.ignores(at)) files.set(`${prefix}${at}`, null);
      } else if (isSymlink && !filter.ignores(at)) {
        files.set(`${prefix}${at}`, await Deno.readLink(join(folder, at)));
      } else if (isFile && !filter.ignores(at)) {
        const file = await readFile(join(folder, at));
        bytes += file.bytes.length;
        if (bytes > LIMITS.bundleBytes) throw tooLarge(path);
        files.set(`${prefix}${at}`, file);
      }
    }
  };
  await visit("");
}

const IGNORE_FILES = [".containerignore", ".dockerignore"];

async function readFile(path: string): Promise<File> {
  const [bytes, { mode }] = await Promise.all([Deno.readFile(path), Deno.stat(path)]);
  return { bytes, executable: ((mode ?? 0) & 0o100) !== 0 };
}

const stat = (folder: string, path: string): Promise<Deno.FileInfo> =>
  Deno.stat(join(folder, path)).catch((error) => {
    throw unreadable(path, whyNot(error));
  });

/** Sorted, without times and owners. */
async function packed(files: Files): Promise<ImageContext> {
  const entries = [...files.keys()].sort().map((name) => entryOf(name, files.get(name)!));
  const bytes = new Uint8Array(await packTar(entries));
  if (bytes.length > LIMITS.bundleBytes) throw tooLarge("the files of an image");
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { bytes, digest: hash.toHex() };
}

function entryOf(name: string, file: File | string | null): TarEntry {
  const mtime = new Date(0);
  if (file === null) return { header: { name, type: "directory", size: 0, mode: 0o755, mtime } };
  if (typeof file === "string") {
    return { header: { name, type: "symlink", linkname: file, size: 0, mode: 0o755, mtime } };
  }
  const mode = file.executable ? 0o755 : 0o644;
  return { header: { name, type: "file", size: file.bytes.length, mode, mtime }, body: file.bytes };
}

function plain(path: string): string {
  const normal = normalize(path).replace(/(?<=.)\/$/, "");
  if (!isAbsolute(path) && normal !== ".." && !normal.startsWith("../")) return normal;
  throw unreadable(path, "it must be a path below the folder of the module");
}

const tooLarge = (path: string): SourceError =>
  new SourceError(`Cannot copy ${path} into an image: it has more than ${size(LIMITS.bundleBytes)}`, {
    hint: "Name what should stay out in a .containerignore there, or download it in a step: .run(…).",
  });

const whyNot = (error: unknown): string =>
  error instanceof Deno.errors.NotFound ? "it is not there" : (error as Error).message;

const unreadable = (path: string, why: string, what = "file or folder"): SourceError =>
  new SourceError(`Cannot read the ${what} ${path} of an image: ${why}`, {
    hint: "Paths are relative to the folder of the module.",
  });
