/** Files of a volume on their way in and out, as tars; and what there is. Links that lead out of the volume do not travel. */
import type { FileHandle } from "node:fs/promises";
import type { Stats } from "node:fs";
import { createTarDecoder, createTarPacker, type TarHeader } from "modern-tar";
import type { Random } from "../sdk/ports.ts";
import type { VolumeFile, VolumeStat } from "../sdk/protocol.ts";
import type { Owner } from "./engines/oci/folder.ts";
import { Folder, giveTo, PathError, staysInside, stepsOf } from "./volume_folder.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const CHUNK_BYTES = 256 * 1024;
/** Each level that is looked at is an open file of the runner's. */
const DEPTH_MAX = 256;
/** Rights that travel: not those by which a program takes its owner's. */
const MODE = 0o777;

/** Something below a path, and the folder that it lies in, open for as long as it is looked at. */
interface Found {
  readonly steps: readonly string[];
  readonly stat: Stats;
  readonly folder: Folder;
  readonly name: string;
}

/** All that lies below a folder, folders before what is in them. */
async function* walk(folder: Folder, steps: readonly string[] = []): AsyncGenerator<Found> {
  if (steps.length > DEPTH_MAX) throw new PathError(`Cannot read a volume of more than ${DEPTH_MAX} levels`);
  for (const name of (await folder.names()).sort()) {
    const stat = await folder.stat(name), at = [...steps, name];
    if (stat === null) continue; // it has just gone
    yield { steps: at, stat, folder, name };
    if (!stat.isDirectory()) continue;
    await using below = await folder.below([name]);
    yield* walk(below, at);
  }
}

/** A file alone, or all that lies below a folder. */
async function* found(root: Folder, path: string): AsyncGenerator<Found> {
  const steps = stepsOf(path), name = steps.at(-1);
  await using above = await root.below(steps.slice(0, -1));
  const stat = name === undefined ? null : await above.stat(name);
  if (name !== undefined && stat === null) {
    throw new PathError(`Cannot find "${path}": the volume has no such file or folder`);
  }
  if (stat !== null && !stat.isDirectory()) return yield { steps: [name!], stat, folder: above, name: name! };
  await using folder = await root.below(steps);
  yield* walk(folder);
}

export async function statOf(root: Folder, path: string): Promise<VolumeStat> {
  let bytes = 0, files = 0;
  const steps = stepsOf(path), name = steps.at(-1);
  await using above = await root.below(steps.slice(0, -1));
  const own = name === undefined ? null : await above.stat(name);
  for await (const { stat } of found(root, path)) {
    if (!stat.isFile()) continue;
    bytes += stat.size;
    files++;
  }
  return { kind: own === null || own.isDirectory() ? "folder" : "file", bytes, files };
}

/** What lies directly in a folder, by name; a file is listed alone. */
export async function* list(root: Folder, path: string): AsyncGenerator<VolumeFile> {
  const steps = stepsOf(path), name = steps.at(-1);
  await using above = await root.below(steps.slice(0, -1));
  const own = name === undefined ? null : await above.stat(name);
  if (own !== null && !own.isDirectory()) return yield fileOf(name!, own);
  await using folder = await root.below(steps);
  for (const name of (await folder.names()).sort()) {
    const stat = await folder.stat(name);
    if (stat !== null) yield fileOf(name, stat);
  }
}

const fileOf = (name: string, stat: Stats): VolumeFile => ({
  name,
  kind: stat.isDirectory() ? "folder" : stat.isFile() ? "file" : stat.isSymbolicLink() ? "link" : "other",
  bytes: stat.isFile() ? stat.size : 0,
  modifiedAt: stat.mtime.toISOString(),
});

/** A tar of a file, or of what is in a folder. What cannot travel is left out, and told. */
export function pack(root: Folder, path: string, leftOut: (name: string) => void): ReadableStream<Bytes> {
  const { readable, controller } = createTarPacker();
  const add = async () => {
    for await (const one of found(root, path)) {
      const header = await headerOf(one);
      if (header === null) leftOut(one.steps.join("/"));
      else if (header.type === "file") await addFile(one, header);
      else await controller.add(header).close();
    }
    controller.finalize();
  };
  const addFile = async ({ folder, name, steps }: Found, header: TarHeader) => {
    const file = await folder.read(name);
    if (file === null) return leftOut(steps.join("/"));
    try {
      const { size } = await file.stat();
      const body = controller.add({ ...header, size }).getWriter();
      await copy(file, size, (bytes) => body.write(bytes), steps);
      await body.close();
    } finally {
      await file.close();
    }
  };
  add().catch((error) => controller.error(error));
  return readable;
}

async function headerOf({ steps, stat, folder, name }: Found): Promise<TarHeader | null> {
  const common = { name: steps.join("/"), mode: stat.mode & MODE, mtime: stat.mtime, size: 0 };
  if (stat.isDirectory()) return { ...common, name: `${common.name}/`, type: "directory" };
  if (stat.isFile()) return { ...common, type: "file" };
  const linkname = stat.isSymbolicLink() ? await folder.readLink(name) : null;
  return linkname !== null && staysInside(steps, linkname) ? { ...common, type: "symlink", linkname } : null;
}

/** As many bytes as the header has said, though the file may grow meanwhile. */
async function copy(
  file: FileHandle,
  size: number,
  take: (bytes: Bytes) => Promise<void>,
  steps: readonly string[],
): Promise<void> {
  for (let left = size; left > 0;) {
    const buffer = new Uint8Array(Math.min(left, CHUNK_BYTES));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) {
      throw new PathError(`Cannot read "${steps.join("/")}": it was cut while it was read`);
    }
    left -= bytesRead;
    await take(buffer.subarray(0, bytesRead));
  }
}

/** Puts what is in a tar into a folder. @throws PathError at the first thing that may not be there */
export async function unpack(
  root: Folder,
  path: string,
  tar: ReadableStream<Bytes>,
  { owner, random }: { readonly owner: Owner; readonly random: Random },
): Promise<void> {
  const base = stepsOf(path);
  await using top = await root.below(base, { make: owner });
  await using last = new LastFolder(top, owner);
  for await (const { header, body } of tar.pipeThrough(createTarDecoder({ strict: true }))) {
    const steps = stepsOf(header.name), isFolder = header.type === "directory";
    const folder = await last.at(isFolder ? steps : steps.slice(0, -1));
    if (isFolder) await body.cancel();
    else {
      const part = `.berth-${random.bytes(6).toHex()}.part`;
      await putOne({ top, folder, base, steps, owner, part }, header, body as ReadableStream<Bytes>);
    }
  }
}

/** The folder that was written to last, kept open: the next file mostly goes there too. */
class LastFolder implements AsyncDisposable {
  readonly #top: Folder;
  readonly #owner: Owner;
  #path: string | null = null;
  #folder: Folder | null = null;

  constructor(top: Folder, owner: Owner) {
    [this.#top, this.#owner] = [top, owner];
  }

  async at(steps: readonly string[]): Promise<Folder> {
    const path = steps.join("/");
    if (this.#folder !== null && this.#path === path) return this.#folder;
    await this[Symbol.asyncDispose]();
    this.#path = path;
    return this.#folder = await this.#top.below(steps, { make: this.#owner });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const folder = this.#folder;
    this.#folder = null;
    await folder?.[Symbol.asyncDispose]();
  }
}

interface Place {
  readonly top: Folder;
  readonly folder: Folder;
  readonly base: readonly string[];
  readonly steps: readonly string[];
  readonly owner: Owner;
  /** Its name until it is whole: who reads it sees what was there before, or all of the new. */
  readonly part: string;
}

async function putOne(
  { top, folder, base, steps, owner, part }: Place,
  header: TarHeader,
  body: ReadableStream<Bytes>,
): Promise<void> {
  const name = steps.at(-1);
  if (name === undefined) throw new PathError(`Cannot put "${header.name}": it has no name`);
  try {
    if (header.type === "symlink") {
      await body.cancel();
      await putLink({ folder, base, steps, owner }, part, header.linkname ?? "");
    } else if (header.type === "link") {
      await body.cancel();
      const target = stepsOf(header.linkname ?? "");
      await using of = await top.below(target.slice(0, -1));
      await of.hardLink(target.at(-1) ?? "", folder, part);
    } else if (header.type === "file" || header.type === undefined) {
      await putFile({ folder, owner }, part, header, body);
    } else throw new PathError(`Cannot put "${header.name}": only files, folders and links travel`);
    await folder.rename(part, name);
  } finally {
    await folder.remove(part); // of what failed; and a second link to what is there already
  }
}

async function putLink(
  { folder, base, steps, owner }: Pick<Place, "folder" | "base" | "steps" | "owner">,
  part: string,
  target: string,
): Promise<void> {
  if (!staysInside([...base, ...steps], target)) {
    throw new PathError(`Cannot put link "${steps.join("/")}": it leads to ${target}, out of the volume`);
  }
  await folder.link(part, target, owner);
}

async function putFile(
  { folder, owner }: Pick<Place, "folder" | "owner">,
  part: string,
  { mode, mtime }: TarHeader,
  body: ReadableStream<Bytes>,
): Promise<void> {
  const file = await folder.create(part);
  try {
    for await (const bytes of body) {
      for (let at = 0; at < bytes.length;) {
        at += (await file.write(bytes, at, bytes.length - at)).bytesWritten;
      }
    }
    await giveTo(owner, () => file.chown(owner.uid, owner.gid));
    await file.chmod((mode ?? 0o644) & MODE);
    if (mtime !== undefined) await file.utimes(mtime, mtime);
  } finally {
    await file.close();
  }
}
