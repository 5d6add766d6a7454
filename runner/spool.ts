/** A file for a body on its way: written at once, since a piece is valid only until the next read and the page cache takes it in microseconds. */
import { statfsSync } from "node:fs";

/** Of the disk that is left to the machine: a guest may not fill it. */
const RESERVE_BYTES = 256 * 1024 * 1024;
/** How much is written between two looks at the disk. */
const LOOK_BYTES = 16 * 1024 * 1024;

export class SpoolFile {
  readonly path: string;
  /** Bytes that came, whether or not they could be kept. */
  size = 0;
  readonly #file: Deno.FsFile;
  #lookAt = 0;
  #failure: string | null = null;

  constructor(path: string) {
    this.path = path;
    this.#file = Deno.openSync(path, { write: true, createNew: true });
  }

  /** What can't be kept is dropped, and told by {@link close}: who reads a guest has no time for it. */
  write(bytes: Uint8Array): void {
    try {
      if (this.#failure === null) this.#write(bytes);
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      this.#file.truncateSync();
    }
    this.size += bytes.length;
  }

  /** Why it is not whole; null when it is. */
  close(): string | null {
    this.#file.close();
    return this.#failure;
  }

  #write(bytes: Uint8Array): void {
    if (this.size >= this.#lookAt) this.#look();
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }

  #look(): void {
    const { bavail, bsize } = statfsSync(this.path);
    if (bavail * bsize < RESERVE_BYTES) throw new Error("the disk of the node is full");
    this.#lookAt = this.size + LOOK_BYTES;
  }
}
