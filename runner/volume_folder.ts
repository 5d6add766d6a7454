/**
 * Folders that code may change while we look at them, and in which it may have left links that lead anywhere on this machine. Each
 * step goes from an open folder to what lies directly in it and is no link, so that no path ever leads out. As `openat` would do it,
 * which Linux lets us have by /proc/self/fd.
 */
import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import type { Owner } from "./engines/oci/folder.ts";

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** A pipe does not hold us up. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** A path that is none within the folder, in a sentence for who asked for it. */
export class PathError extends Error {
  override readonly name = "PathError";
}

/** The steps of a path below a folder: `a/./b` is two. @throws PathError where one leads up */
export function stepsOf(path: string): string[] {
  const steps = path.split("/").filter((step) => step !== "" && step !== ".");
  if (!steps.includes("..") && !path.includes("\0")) return steps;
  throw new PathError(
    `Cannot use "${path.replaceAll("\0", "\uFFFD")}": it must be a path within the volume, without ".."`,
  );
}

/** Whether a link at these steps leads to something below the folder that they start from. */
export function staysInside(steps: readonly string[], target: string): boolean {
  if (target.startsWith("/") || target.includes("\0")) return false;
  let depth = steps.length - 1;
  return target.split("/").every((step) => {
    if (step === "..") depth--;
    else if (step !== "" && step !== ".") depth++;
    return depth >= 0;
  });
}

/** An open folder. */
export class Folder implements AsyncDisposable {
  readonly #handle: fs.FileHandle;

  private constructor(handle: fs.FileHandle) {
    this.#handle = handle;
  }

  static async open(path: string): Promise<Folder> {
    return new Folder(await fs.open(path, FOLDER));
  }

  /** Some way down. @throws PathError when a step is no folder, or a link */
  async below(steps: readonly string[], how: { readonly make?: Owner } = {}): Promise<Folder> {
    let at: Folder = await Folder.open(this.#path("."));
    for (const [i, step] of steps.entries()) {
      await using above = at;
      if (how.make !== undefined) await above.#make(step, how.make);
      at = await above.#step(step, steps.slice(0, i + 1));
    }
    return at;
  }

  async #step(name: string, steps: readonly string[]): Promise<Folder> {
    try {
      return await Folder.open(this.#path(name));
    } catch (error) {
      throw isMissing(error)
        ? new PathError(`Cannot find "${steps.join("/")}": the volume has no such file or folder`)
        : isNoFolder(error)
        ? new PathError(`Cannot go through "${steps.join("/")}": it is no folder, or a link to one`)
        : error;
    }
  }

  async #make(name: string, owner: Owner): Promise<void> {
    try {
      await fs.mkdir(this.#path(name), { mode: 0o755 });
      await giveTo(owner, () => fs.lchown(this.#path(name), owner.uid, owner.gid));
    } catch (error) {
      if ((error as { code?: string }).code !== "EEXIST") throw error;
    }
  }

  names(): Promise<string[]> {
    return fs.readdir(this.#path("."));
  }

  /** Of the thing itself, where it is a link; null when there is none. */
  async stat(name: string): Promise<Stats | null> {
    try {
      return await fs.lstat(this.#path(name));
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  readLink(name: string): Promise<string> {
    return fs.readlink(this.#path(name));
  }

  /** Opens a file to read it; null when it is none, or not any more. */
  async read(name: string): Promise<fs.FileHandle | null> {
    try {
      const handle = await fs.open(this.#path(name), READ);
      if ((await handle.stat()).isFile()) return handle;
      await handle.close();
    } catch (error) {
      if (!isMissing(error) && !isLink(error)) throw error;
    }
    return null;
  }

  create(name: string): Promise<fs.FileHandle> {
    return fs.open(this.#path(name), CREATE, 0o600);
  }

  async link(name: string, target: string, { uid, gid }: Owner): Promise<void> {
    await fs.symlink(target, this.#path(name));
    await giveTo({ uid, gid }, () => fs.lchown(this.#path(name), uid, gid));
  }

  /** The same file under another name, in another folder. */
  hardLink(name: string, to: Folder, toName: string): Promise<void> {
    return fs.link(this.#path(name), to.#path(toName));
  }

  /** In place of what has that name, unless that is a folder. */
  rename(from: string, to: string): Promise<void> {
    return fs.rename(this.#path(from), this.#path(to));
  }

  async remove(name: string): Promise<void> {
    await fs.unlink(this.#path(name)).catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close();
  }

  #path(name: string): string {
    return `/proc/self/fd/${this.#handle.fd}/${name}`;
  }
}

/** Only root may give things away; what is ours is of the right user already. */
export async function giveTo({ uid }: Owner, give: () => Promise<void>): Promise<void> {
  if (uid !== Deno.uid()) await give().catch(() => {}); // a file system on the net may not let us
}

const codeOf = (error: unknown): unknown => (error as { code?: unknown }).code;
const isMissing = (error: unknown): boolean => codeOf(error) === "ENOENT";
const isLink = (error: unknown): boolean => codeOf(error) === "ELOOP";
const isNoFolder = (error: unknown): boolean => codeOf(error) === "ENOTDIR" || isLink(error);
