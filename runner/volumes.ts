/**
 * The volumes of this node: a folder each, below the runner's own or on a path that several nodes share. What is in them is the
 * business of those who mount them; here they are made, measured and removed.
 */
import { type Clock, type Log, newId, type Random } from "../sdk/ports.ts";
import type { MountedVolume, SyncRequest, VolumeFolder, VolumeSize, VolumeStorage } from "../sdk/protocol.ts";
import type { Owner } from "./engines/oci/folder.ts";
import { type Exec, type Spawn, StartError } from "./engine.ts";
import { volumeExec } from "./volume_exec.ts";
import { giveTo } from "./volume_folder.ts";

export interface VolumesDeps {
  /** Where the folders are made, by where they are to lie; null: this node has no such place. */
  readonly roots: Readonly<Record<VolumeStorage, string | null>>;
  /** Who code runs as, and may write to them. */
  readonly owner: Owner;
  readonly spawn: Spawn;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** What a session needs of them. */
export type SessionVolumes = Pick<Volumes, "onNews" | "news" | "told" | "used" | "remove" | "exec" | "close">;

/** A volume that is there for a container. */
export interface OpenVolume extends MountedVolume {
  /** Where it lies on this machine. */
  readonly folder: string;
}

/** The same, with where it is for the guest. */
export interface PlacedVolume extends OpenVolume {
  readonly place: string;
}

/** For a guest: where they are, by where its function mounts them. */
export const placesOf = (volumes: readonly PlacedVolume[]): Readonly<Record<string, string>> | undefined =>
  volumes.length === 0 ? undefined : Object.fromEntries(volumes.map(({ path, place }) => [path, place]));

/** What is told of them with each sync. */
export type VolumeNews = Pick<SyncRequest, "volumeSizes" | "removedVolumes">;

/** Names a shared path. */
const MARK = ".berth-volumes";
/** Looking at millions of files takes minutes: it is done at most this often, and a small part of the time. */
const MEASURE_MS_MIN = 30_000;
const MEASURE_REST = 20;

export class Volumes {
  readonly #deps: VolumesDeps;
  readonly #closed = new AbortController();
  /** Those that have been used since they were measured, and when that may be. */
  readonly #stale = new Map<string, VolumeFolder>();
  readonly #notBefore = new Map<string, number>();
  readonly #sizes = new Map<string, VolumeSize>();
  readonly #removing = new Set<string>();
  #removed: readonly string[] = [];
  #measuring = false;
  #changed = () => {};

  constructor(deps: VolumesDeps) {
    this.#deps = deps;
  }

  /** Calls `changed` from now on when there is something to tell. */
  onNews(changed: () => void): void {
    this.#changed = changed;
  }

  get news(): VolumeNews {
    return { volumeSizes: [...this.#sizes.values()], removedVolumes: [...this.#removed] };
  }

  /** What was told has arrived. */
  told({ volumeSizes }: VolumeNews): void {
    for (const said of volumeSizes) if (this.#sizes.get(said.id) === said) this.#sizes.delete(said.id);
  }

  /** The volumes of a container, each made where it is not there yet. */
  open(volumes: readonly MountedVolume[]): Promise<OpenVolume[]> {
    return Promise.all(volumes.map(async (one) => ({ ...one, folder: await this.folder(one) })));
  }

  /** Where a volume lies. @throws StartError when that is not here */
  async folder(volume: VolumeFolder): Promise<string> {
    const { owner } = this.#deps;
    const folder = await this.#placeOf(volume);
    try {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      await giveTo(owner, () => Deno.chown(folder, owner.uid, owner.gid)); // whoever made it may not have come to that yet
    } catch (cause) {
      throw new StartError(`Cannot make a folder for a volume: ${(cause as Error).message}`, { cause });
    }
    return folder;
  }

  async #placeOf({ id, storage }: VolumeFolder): Promise<string> {
    const root = this.#deps.roots[storage];
    if (root === null) {
      throw new StartError(
        "Cannot open a volume: it lies on a shared path, and this node has none (--volumes)",
      );
    }
    // What was mounted there may be gone, and an empty folder of this machine lie in its place.
    if (storage === "node" || await Deno.stat(`${root}/${MARK}`).catch(() => null) !== null) {
      return `${root}/${id}`;
    }
    throw new StartError(`Cannot open a volume: nothing shared is mounted at ${root} of this node any more`);
  }

  /** Does what somebody asks of its files. */
  exec(volume: VolumeFolder, command: readonly string[]): Exec {
    return volumeExec({ ...this.#deps, volumes: this }, volume, command);
  }

  /** They may have another size now. */
  used(volumes: readonly VolumeFolder[]): void {
    for (const one of volumes) this.#stale.set(one.id, one);
    this.#measure();
  }

  /** Removes what is no longer wanted: all that a reply names. */
  remove(wanted: readonly VolumeFolder[]): void {
    const ids = wanted.map(({ id }) => id);
    this.#removed = this.#removed.filter((id) => ids.includes(id));
    for (const one of wanted) {
      if (!this.#removed.includes(one.id) && !this.#removing.has(one.id)) this.#remove(one);
    }
  }

  close(): void {
    this.#closed.abort();
  }

  async #remove(volume: VolumeFolder): Promise<void> {
    const { log } = this.#deps, { id } = volume;
    this.#removing.add(id);
    try {
      await Deno.remove(await this.#placeOf(volume), { recursive: true }).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
      for (const map of [this.#stale, this.#sizes, this.#notBefore]) map.delete(id);
      this.#removed = [...this.#removed, id];
      log("volume.removed", { volume: id });
      this.#changed();
    } catch (error) {
      log("volume.remove_failed", { volume: id, message: String(error) }); // the next reply names it again
    }
    this.#removing.delete(id);
  }

  /** One after the other, as long as there are some. */
  async #measure(): Promise<void> {
    if (this.#measuring) return;
    this.#measuring = true;
    const { clock } = this.#deps, { signal } = this.#closed;
    for (let next = this.#next(); next !== null && !signal.aborted; next = this.#next()) {
      const waitMs = (this.#notBefore.get(next.id) ?? 0) - clock.now();
      if (waitMs > 0) await clock.sleep(waitMs, signal);
      else await this.#measureOne(next);
    }
    this.#measuring = false;
  }

  #next(): VolumeFolder | null {
    const due = ({ id }: VolumeFolder) => this.#notBefore.get(id) ?? 0;
    return [...this.#stale.values()].reduce<VolumeFolder | null>(
      (first, one) => first === null || due(one) < due(first) ? one : first,
      null,
    );
  }

  async #measureOne(volume: VolumeFolder): Promise<void> {
    const { clock, spawn } = this.#deps, { id } = volume, since = clock.now();
    this.#stale.delete(id);
    const said = await this.#placeOf(volume)
      .then((folder) => spawn.output({ command: "nice", args: ["-n", "19", "du", "-skx", folder] }))
      .catch(() => null);
    const kib = Number.parseInt(said?.stdout ?? "", 10); // what vanishes meanwhile makes it fail, and no difference
    this.#notBefore.set(id, clock.now() + Math.max(MEASURE_MS_MIN, MEASURE_REST * (clock.now() - since)));
    if (!Number.isSafeInteger(kib)) return;
    this.#sizes.set(id, { id, size: kib * 1024 });
    this.#changed();
  }
}

/**
 * The id of a path that nodes share. It lies there in a file, so that those that see the same files know it, whatever they call the
 * path; and one whose file system is not mounted does not take an empty folder for it.
 *
 * @throws TypeError when it is no folder that can be written to
 */
export async function sharedPathId(path: string, deps: { clock: Clock; random: Random }): Promise<string> {
  const id = newId("vols", deps), part = `${path}/${MARK}.${id}`;
  try {
    await Deno.writeTextFile(part, id, { createNew: true }); // shows that we may write, too
    await Deno.link(part, `${path}/${MARK}`).catch((error) => {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    });
    await Deno.remove(part);
    return (await Deno.readTextFile(`${path}/${MARK}`)).trim();
  } catch (cause) {
    const message =
      `Cannot start the runner: option --volumes: ${path} must be a folder that it can write to`;
    throw new TypeError(`${message} (${(cause as Error).message})`, { cause });
  }
}
