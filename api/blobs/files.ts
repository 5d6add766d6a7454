/** Blobs as files in a folder, one each: the default on a single machine. Several processes may share the folder. */
import { dirname, join } from "node:path";
import type { Clock, Random } from "../../sdk/ports.ts";
import {
  type Access,
  type Blobs,
  type ByteRange,
  type Bytes,
  checkKey,
  checkPrefix,
  checkRange,
  type GetOptions,
  noSuchParts,
  type PartOf,
  type PutOptions,
  type ServedBlobs,
  type SignedRequest,
  type Stored,
  type StoredPart,
} from "./blobs.ts";
import { BlobUrls, URL_KEY_BYTES } from "./urls.ts";

/** Files are written here, under names nobody asks for, and moved when they are whole. Begins with a dot, as no key does. */
const UNFINISHED = ".unfinished";
/** What signs URLs: whoever shares the folder shares it, so that any of several processes serves what another has signed. */
const URL_KEY = ".url-key";
/** An unfinished file this old is from a process that died. */
const ABANDONED_MS = 24 * 3_600_000;

export interface FileBlobsOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly random: Random;
}

export class FileBlobs implements Blobs {
  readonly served: ServedBlobs;
  readonly #urls: BlobUrls;
  readonly #folder: string;
  readonly #random: Random;
  /** Uploads in parts, of which parts are being written now. */
  readonly #writing = new Map<string, number>();
  /** Folders that are there for good: made, and their names written to disk. */
  readonly #made = new Set<string>();

  private constructor(folder: string, urls: BlobUrls, random: Random) {
    this.#folder = folder;
    this.#urls = urls;
    this.#random = random;
    this.served = { urls, writePart: (key, part, bytes) => this.#writePart(key, part, bytes) };
  }

  /** Makes the folder when there is none, and clears away what processes left unfinished when they died. */
  static async open({ folder, clock, random }: FileBlobsOptions): Promise<FileBlobs> {
    const unfinished = join(folder, UNFINISHED);
    await Deno.mkdir(unfinished, { recursive: true, mode: 0o700 });
    for await (const { name } of Deno.readDir(unfinished)) {
      const path = join(unfinished, name);
      const mtime = (await ignoreAbsent(Deno.stat(path)))?.mtime ?? null;
      if (mtime !== null && clock.now() - mtime.getTime() > ABANDONED_MS) {
        await ignoreAbsent(Deno.remove(path));
      }
    }
    return new FileBlobs(folder, new BlobUrls({ key: await urlKeyOf(folder, random), clock }), random);
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

  async get(key: string, { range }: GetOptions = {}): Promise<ReadableStream<Bytes> | null> {
    if (range !== undefined) checkRange(range);
    const file = await ignoreAbsent(Deno.open(this.#pathOf(key)));
    if (file === undefined) return null;
    if ((await file.stat()).isFile) return range === undefined ? file.readable : await part(file, range);
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
    checkPrefix(prefix);
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    for await (const key of this.#keysIn(folder)) if (key.startsWith(prefix)) yield key;
  }

  // deno-lint-ignore require-await
  async presign(key: string, access: Access): Promise<SignedRequest> {
    checkKey(key);
    return this.#urls.sign(key, access);
  }

  /** Parts are written to their places in one file, so that nothing has to be copied when all are there. */
  async beginParts(key: string): Promise<string> {
    checkKey(key);
    const upload = this.#random.bytes(16).toHex();
    (await Deno.open(this.#partsOf(upload), { write: true, createNew: true, mode: 0o600 })).close();
    return upload;
  }

  async completeParts(key: string, upload: string, parts: readonly StoredPart[]): Promise<void> {
    const arrived = parts.every(({ etag, size }, i) =>
      etag === this.#urls.etagOf(key, { upload, number: i + 1 }, size)
    );
    if (!arrived || this.#writing.has(upload)) throw noSuchParts(key);
    const whole = `${this.#partsOf(upload)}.whole`;
    await ignoreAbsent(Deno.rename(this.#partsOf(upload), whole)); // nobody writes to it any more
    const file = await ignoreAbsent(Deno.stat(whole));
    if (file === undefined && await this.head(key) !== null) return; // it was done before
    if (file?.size !== parts.reduce((sum, { size }) => sum + size, 0)) throw noSuchParts(key);
    const path = this.#pathOf(key);
    await this.#makeFolder(dirname(path));
    await linked(whole, path);
    await sync(dirname(path));
    await ignoreAbsent(Deno.remove(whole));
  }

  async abandonParts(_key: string, upload: string): Promise<void> {
    const file = this.#partsOf(upload);
    for (const path of [file, `${file}.whole`]) await ignoreAbsent(Deno.remove(path));
  }

  async #writePart(key: string, part: PartOf, bytes: ReadableStream<Bytes>): Promise<string> {
    const { upload, offset } = part;
    this.#writing.set(upload, (this.#writing.get(upload) ?? 0) + 1);
    try {
      const size = await writeDurably(this.#partsOf(upload), bytes, offset);
      return this.#urls.etagOf(key, part, size);
    } catch (error) {
      throw isAbsence(error) ? noSuchParts(key) : error;
    } finally {
      const others = this.#writing.get(upload)! - 1;
      if (others > 0) this.#writing.set(upload, others);
      else this.#writing.delete(upload);
    }
  }

  #partsOf(upload: string): string {
    if (!/^[0-9a-f]{32}$/.test(upload)) throw new TypeError(`Cannot use "${upload}" as an upload in parts`);
    return join(this.#folder, UNFINISHED, upload);
  }

  /** @param folder empty, or with a slash at its end */
  async *#keysIn(folder: string): AsyncIterable<string> {
    try {
      for await (const { name, isDirectory } of Deno.readDir(join(this.#folder, folder))) {
        if (name.startsWith(".")) continue; // ours
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

/** The key of the folder, made when there is none. Of several that make one, the first wins. */
async function urlKeyOf(folder: string, random: Random): Promise<Bytes> {
  const path = join(folder, URL_KEY);
  const known = await ignoreAbsent(Deno.readFile(path));
  if (known !== undefined) return known;
  const temporary = await Deno.makeTempFile({ dir: join(folder, UNFINISHED) });
  await writeDurably(temporary, random.bytes(URL_KEY_BYTES));
  await linked(temporary, path);
  await Deno.remove(temporary);
  return await Deno.readFile(path);
}

/** Some bytes of an open file, which is closed behind them. */
async function part(file: Deno.FsFile, { from, to = Infinity }: ByteRange): Promise<ReadableStream<Bytes>> {
  await file.seek(from, Deno.SeekMode.Start);
  let left = to - from;
  return file.readable.pipeThrough(
    new TransformStream<Bytes, Bytes>({
      transform(piece, controller) {
        controller.enqueue(piece.subarray(0, left));
        left -= piece.length;
        if (left <= 0) controller.terminate();
      },
    }),
  );
}

/** Writes bytes to a file, from `offset` on, and returns how many, once they are on the disk. */
async function writeDurably(
  path: string,
  bytes: Bytes | ReadableStream<Bytes>,
  offset = 0,
): Promise<number> {
  using file = await Deno.open(path, { write: true });
  await file.seek(offset, Deno.SeekMode.Start);
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
