/**
 * What Deno has compiled of our guest, kept for each image: its own cache, which another version would not read. It is made once, by a
 * guest that gets no code, and each container begins with a copy: a Deno whose cache is empty takes 45 ms to connect and be ready, one
 * with this 30. A copy, since what runs there may write to it.
 */
import { safely } from "../../../sdk/proc.ts";
import type { Owner } from "./folder.ts";

export class Compiled {
  readonly #folder: string;
  /** Folders by image; empty where it was tried in vain. */
  readonly #made = new Map<string, string>();

  /** @param folder nobody else uses it */
  constructor(folder: string) {
    this.#folder = folder;
  }

  has(image: string): boolean {
    return this.#made.has(image);
  }

  /** Keeps what the Deno of an image has left in `from`; null for nothing. Nothing may run there any more: what lies there is anybody's. */
  keep(image: string, from: string | null): void {
    const to = `${this.#folder}/${this.#made.size}`;
    this.#made.set(image, to);
    Deno.mkdirSync(to, { recursive: true });
    for (const name of from === null ? [] : cachesIn(from)) {
      Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
    }
  }

  /** Lays a copy of what there is, for the user of a container. */
  lay(image: string, to: string, { uid, gid }: Owner): void {
    const folder = this.#made.get(image);
    if (folder === undefined) return;
    Deno.mkdirSync(to, { mode: 0o700 });
    Deno.chownSync(to, uid, gid);
    for (const { name } of Deno.readDirSync(folder)) {
      Deno.copyFileSync(`${folder}/${name}`, `${to}/${name}`);
      Deno.chownSync(`${to}/${name}`, uid, gid);
    }
  }
}

/** Databases and what was written to them last; their indices (`-shm`) are made anew. */
const CACHE = /^\w+_cache_v\d+(-wal)?$/;
/** Of all. They have 2 MiB. */
const BYTES_MAX = 8 * 1024 ** 2;
const FILES_MAX = 16;

/** Names of the files that may be kept: no links, and no more than there should be. */
function cachesIn(folder: string): string[] {
  if (safely(() => Deno.lstatSync(folder).isDirectory) !== true) return [];
  const files = [...Deno.readDirSync(folder)].filter(({ name, isFile }) => isFile && CACHE.test(name));
  const bytes = files.reduce((sum, { name }) => sum + Deno.lstatSync(`${folder}/${name}`).size, 0);
  return bytes > BYTES_MAX || files.length > FILES_MAX ? [] : files.map(({ name }) => name);
}
