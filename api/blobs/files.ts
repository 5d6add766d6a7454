/** Blobs as files in a folder, one each: the default on a single machine. Several processes may share the folder. */
import { dirname, join } from "node:path";
import type { Clock } from "../../sdk/ports.ts";
import { type Blobs, type Bytes, checkKey, type PutOptions, type Stored } from "./blobs.ts";

/** Files are written here, under names nobody asks for, and moved when they are whole. Begins with a dot, as no key does. */
const UNFINISHED = ".unfinished";
/** An unfinished file this old is from a process that died. */
const ABANDONED_MS = 24 * 3_600_000;

export interface FileBlobsOptions {
  readonly folder: string;
  readonly clock: Clock;
}

export class FileBlobs implements Blobs {
  readonly #folder: string;
  /** Folders that are there for good: made, and their names written to disk. */
  readonly #made = new Set<string>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Makes the folder when there is none, and clears away what processes left unfinished when they died. */
  static async open({ folder, clock }: FileBlobsOptions): Promise<FileBlobs> {
    const unfinished = join(folder, UNFINISHED);
    await Deno.mkdir(unfinished, { recursive: true, mode: 0o700 });
    for await (const { name } of Deno.readDir(unfinished)) {
      const path = join(unfinished, name);
      const mtime = (await ignoreAbsent(Deno.stat(path)))?.mtime ?? null;
      if (mtime !== null && clock.now() - mtime.getTime() > ABANDONED_MS) {
        await ignoreAbsent(Deno.remove(path));
      }
    }
    return new FileBlobs(folder);
  }

  async put(
    key: string,
    bytes: Bytes | ReadableStream<Bytes>,
    { ifAbsent = false }: PutOptions = {},
  ): Promise<Stored> {
    const path = this.#pathOf(key);
    const temporary = await Deno.makeTempFile({ dir: join(this.#folder, UNFINISHED) }); // with mode 0600
    try {
      const size = await writeDurably(temporary, bytes);
      await this.#makeFolder(dirname(path));
      const created = ifAbsent ? await linked(temporary, path) : await renamed(temporary, path);
      await sync(dirname(path));
      return { size: created ? size : (await Deno.stat(path)).size, created };
    } finally {
      await ignoreAbsent(Deno.remove(temporary));
    }
  }

  async get(key: string): Promise<ReadableStream<Bytes> | null> {
    const file = await ignoreAbsent(Deno.open(this.#pathOf(key)));
    if (file === undefined || (await file.stat()).isFile) return file?.readable ?? null;
    file.close();
    return null;
  }

  async head(key: string): Promise<{ size: number } | null> {
    const found = await ignoreAbsent(Deno.stat(this.#pathOf(key)));
    return found?.isFile ? { size: found.size } : null;
  }

  async delete(key: string): Promise<void> {
    await ignoreAbsent(Deno.remove(this.#pathOf(key)));
  }

  async *list(prefix: string): AsyncIterable<string> {
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    if (folder !== "") checkKey(folder.slice(0, -1));
    for await (const key of this.#keysIn(folder)) if (key.startsWith(prefix)) yield key;
  }

  /** @param folder empty, or with a slash at its end */
  async *#keysIn(folder: string): AsyncIterable<string> {
    try {
      for await (const { name, isDirectory } of Deno.readDir(join(this.#folder, folder))) {
        if (name === UNFINISHED) continue;
        if (isDirectory) yield* this.#keysIn(`${folder}${name}/`);
        else yield folder + name;
      }
    } catch (error) {
      if (!isAbsence(error)) throw error;
    }
  }

  #pathOf(key: string): string {
    checkKey(key);
    return join(this.#folder, key);
  }

  async #makeFolder(path: string): Promise<void> {
    if (this.#made.has(path)) return;
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    for (let at = path; at.length > this.#folder.length; at = dirname(at)) await sync(dirname(at));
    this.#made.add(path);
  }
}

/** Writes a file and returns its size, once the bytes are on the disk. */
async function writeDurably(path: string, bytes: Bytes | ReadableStream<Bytes>): Promise<number> {
  using file = await Deno.open(path, { write: true });
  let size = 0;
  for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
    for (let written = 0; written < piece.length;) written += await file.write(piece.subarray(written));
    size += piece.length;
  }
  await file.sync();
  return size;
}

async function renamed(from: string, to: string): Promise<true> {
  await Deno.rename(from, to);
  return true;
}

/** Unlike a rename, a link is refused when there is a file: of several, one wins. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await Deno.link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw error;
  }
}

/** Names in a folder survive a power cut once the folder is on the disk. */
async function sync(folder: string): Promise<void> {
  using opened = await Deno.open(folder);
  await opened.sync();
}

async function ignoreAbsent<T>(doing: Promise<T>): Promise<T | undefined> {
  try {
    return await doing;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

/** There is no such file, or a file where its folder would be. */
const isAbsence = (error: unknown): boolean =>
  error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
