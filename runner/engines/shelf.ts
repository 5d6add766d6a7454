/**
 * Folders that are filled once and used by many, such as installed packages. When there are too many bytes of them, those that were
 * used longest ago go, and never one in use. Each is `FOLDER/KEY`; its file `complete` says how many bytes it has, and by its own time
 * when it was last used.
 */
import type { Clock, Log } from "../../sdk/ports.ts";
import type { Spawn } from "../engine.ts";
import { staleOnes } from "./stale.ts";

export interface ShelfDeps {
  readonly folder: string;
  /** MiB of all that is kept. */
  readonly budgetMiB: number;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly log: Log;
}

/** On its way out. */
const GONE = ".gone";

export class Shelf {
  readonly #deps: ShelfDeps;
  readonly #users = new Map<string, number>();
  /** Those that are here, or are being filled. */
  readonly #filled = new Map<string, Promise<void>>();
  #tidying = Promise.resolve();

  constructor(deps: ShelfDeps) {
    this.#deps = deps;
    this.#tidy();
  }

  /**
   * A folder that is filled by `fill` if it isn't yet; what was left of an attempt is gone then. It is kept until `over` settles, or the
   * filling fails. Others that want the same meanwhile wait with us.
   */
  async hold(key: string, over: Promise<unknown>, fill: (home: string) => Promise<void>): Promise<string> {
    const home = `${this.#deps.folder}/${key}`;
    this.use(key, over);
    let filled = this.#filled.get(key);
    if (filled === undefined) {
      this.#filled.set(key, filled = this.#ensure(home, fill));
      filled.catch(() => this.#filled.delete(key));
    }
    await filled;
    return home;
  }

  /** Keeps a folder that is here until `over` settles. */
  use(key: string, over: Promise<unknown>): void {
    this.#users.set(key, (this.#users.get(key) ?? 0) + 1);
    const end = () => {
      this.#users.set(key, this.#users.get(key)! - 1);
      this.#touch(key).then(() => this.#tidy());
    };
    over.then(end, end);
  }

  /** Resolves when there are no more bytes than may be, as far as they are in use. */
  get tidy(): Promise<void> {
    return this.#tidying;
  }

  async #ensure(home: string, fill: (home: string) => Promise<void>): Promise<void> {
    if (await exists(markOf(home))) return;
    await Deno.remove(home, { recursive: true }).catch(() => {});
    await fill(home);
    await Deno.writeTextFile(markOf(home), "");
    await this.#touch(home.slice(home.lastIndexOf("/") + 1));
    this.#tidy();
  }

  /** One after the other, and nobody waits for it. */
  #tidy(): void {
    const { folder, log } = this.#deps;
    this.#tidying = this.#tidying.then(() => this.#makeRoom()).catch((error) => {
      log("shelf.error", { folder, error: String(error) });
    });
  }

  async #makeRoom(): Promise<void> {
    const { folder, budgetMiB, log } = this.#deps;
    const names = (await entriesOf(folder)).map(({ name }) => name);
    for (const name of names.filter((name) => name.endsWith(GONE))) {
      await Deno.remove(`${folder}/${name}`, { recursive: true });
    }
    const kept: Record<string, { usedAt: number; bytes: number }> = {};
    for (const key of names.filter((name) => !name.endsWith(GONE))) {
      const bytes = await this.#bytesOf(`${folder}/${key}`);
      if (bytes !== null) kept[key] = { usedAt: await usedAt(`${folder}/${key}`), bytes };
      else if (!this.#filled.has(key)) await this.#discard(key);
    }
    const isUsed = (key: string) => (this.#users.get(key) ?? 0) > 0;
    for (const key of staleOnes(kept, budgetMiB, isUsed)) {
      if (isUsed(key)) continue; // it has come to be while others went
      log("shelf.removed", { folder: `${folder}/${key}`, bytes: kept[key]!.bytes });
      await this.#discard(key);
    }
  }

  /** Moved away at once: who wants it next fills it anew. */
  async #discard(key: string): Promise<void> {
    const home = `${this.#deps.folder}/${key}`;
    Deno.renameSync(home, home + GONE);
    this.#filled.delete(key);
    await Deno.remove(home + GONE, { recursive: true });
  }

  /** Null when it is not whole. It is measured once. */
  async #bytesOf(home: string): Promise<number | null> {
    const said = await Deno.readTextFile(markOf(home)).catch(() => null);
    if (said === null || said !== "") return said === null ? null : Number(said);
    const { stdout } = await this.#deps.spawn.output({
      command: "nice",
      args: ["-n", "19", "du", "-skx", home],
    });
    const bytes = (parseInt(stdout) || 0) * 1_024;
    const at = new Date(await usedAt(home));
    await Deno.writeTextFile(markOf(home), String(bytes));
    await Deno.utime(markOf(home), at, at);
    return bytes;
  }

  async #touch(key: string): Promise<void> {
    const now = new Date(this.#deps.clock.now());
    await Deno.utime(markOf(`${this.#deps.folder}/${key}`), now, now).catch(() => {}); // it was never filled
  }
}

/** Written last: what is without it was interrupted. */
const markOf = (home: string): string => `${home}/complete`;

const exists = (path: string): Promise<boolean> => Deno.stat(path).then(() => true, () => false);

const usedAt = async (home: string): Promise<number> => (await Deno.stat(markOf(home))).mtime?.getTime() ?? 0;

async function entriesOf(folder: string): Promise<Deno.DirEntry[]> {
  try {
    return await Array.fromAsync(Deno.readDir(folder));
  } catch {
    return []; // nothing was ever kept
  }
}
