/**
 * Slots: a folder for each guest, with the two sockets it meets the runner and the gateway at, its copy of the bundle, and
 * the name of its process, so that a later runner can end what a killed one left behind.
 */
import type { Random } from "../sdk/ports.ts";
import type { SlotPaths } from "./engines/deno_args.ts";
import { kill, killGroup, namedProcess, processesWith } from "../sdk/proc.ts";

/** A unix socket's path has at most 107 bytes; keep a margin. */
const SOCKET_PATH_MAX = 100;
const LONGEST_NAME = "/00000000/control.sock";

/** Folder for the slots of a data folder: inside it, or, when it lies too deep for sockets, in `tmp` under a name of its own. */
export async function slotsFolder(data: string, tmp: string): Promise<string> {
  const inside = `${data}/slots`;
  const bytes = new TextEncoder();
  if (bytes.encode(inside + LONGEST_NAME).length <= SOCKET_PATH_MAX) return inside;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes.encode(data)));
  return `${tmp}/berth-${digest.toHex().slice(0, 12)}`;
}

export class Slots {
  readonly #folder: string;
  readonly #random: Random;
  readonly #spared = new Set<string>();

  constructor(folder: string, random: Random) {
    this.#folder = folder;
    this.#random = random;
  }

  /** Slots of an earlier runner. */
  async earlier(): Promise<SlotPaths[]> {
    await Deno.mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await refuseForeign(this.#folder);
    const slots: SlotPaths[] = [];
    for await (const { name } of Deno.readDir(this.#folder)) slots.push(this.#pathsOf(name));
    return slots;
  }

  /** Leaves a slot of an earlier runner out of the {@link sweep}. */
  spare({ dir }: SlotPaths): void {
    this.#spared.add(dir);
  }

  /** Ends what an earlier runner left running, and removes its slots. */
  async sweep(): Promise<number> {
    let killed = 0;
    for (const { dir } of await this.earlier()) {
      if (this.#spared.has(dir)) continue;
      if (killNamed(`${dir}/pid`)) killed++;
      await removeTree(dir);
    }
    // What a guest had started outlives it; it knows its slot from its environment.
    const strays = processesWith(`BERTH_SLOT=${this.#folder}/`);
    for (const pid of strays) kill(pid);
    return killed + strays.length;
  }

  async create(): Promise<SlotPaths> {
    const slot = this.#pathsOf(this.#random.bytes(4).toHex());
    await Deno.mkdir(slot.dir, { mode: 0o700 });
    return slot;
  }

  #pathsOf(name: string): SlotPaths {
    const dir = `${this.#folder}/${name}`;
    return { dir, control: `${dir}/control.sock`, http: `${dir}/http.sock` };
  }

  /** Kills what a guest has started and left behind, as far as it still has the environment of one. */
  killStrays({ dir }: SlotPaths): void {
    for (const pid of processesWith(`BERTH_SLOT=${dir}\0`)) kill(pid);
  }

  async remove(slot: SlotPaths): Promise<void> {
    await removeTree(slot.dir);
  }
}

/** In a shared folder for temporary files somebody else may have been there first. */
async function refuseForeign(folder: string): Promise<void> {
  const { uid, mode } = await Deno.lstat(folder);
  if (uid === Deno.uid() && (mode! & 0o022) === 0) return;
  throw new Error(
    `Cannot use "${folder}": it must belong to this user and be writable by nobody else, remove it`,
  );
}

/** Kills what a file names, if it still runs: the process alone, or the group that it leads. */
export function killNamed(file: string, what: "group" | "process" = "group"): boolean {
  const pid = namedProcess(file);
  if (pid === null || pid === Deno.pid) return false;
  if (what === "group") killGroup(pid);
  else kill(pid);
  return true;
}

const removeTree = (path: string): Promise<void> => Deno.remove(path, { recursive: true }).catch(() => {});
