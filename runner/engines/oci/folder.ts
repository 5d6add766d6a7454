/**
 * The folder of one container. It sees two parts of it: `run`, with the sockets, which it may write to, and `app`, its code, which
 * it may not. What else lies here is the runner's own, out of its reach. What can be written to lies in memory, where the machine has
 * such a place, and counts as the container's: on disk it would have no end.
 */
import { statfs } from "node:fs/promises";
import { safely } from "../../../sdk/proc.ts";
import type { SlotPaths } from "../deno_args.ts";

/** Where things are inside every container. */
export const INSIDE = {
  slot: "/berth/slot",
  app: "/berth/slot/app",
  deno: "/berth/slot/deno",
  /** The part of Berth that runs there. */
  host: "/berth/host",
  ca: "/berth/ca.pem",
  /** Of secrets that come as files, where their function names no other folder. */
  secrets: "/berth/secrets",
} as const;

/** The slot as its guest sees it. */
export const SLOT_INSIDE: SlotPaths = {
  dir: INSIDE.slot,
  control: `${INSIDE.slot}/control.sock`,
  http: `${INSIDE.slot}/http.sock`,
  resume: `${INSIDE.slot}/resume.sock`,
};

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Who code runs as: nobody, where the runner may decide that; else the runner's own user, whose files it can use. */
export const ownerOfGuests = (): Owner =>
  Deno.uid() === 0 ? { uid: 65_534, gid: 65_534 } : { uid: Deno.uid()!, gid: Deno.gid()! };

export class Folder {
  readonly dir: string;
  readonly run: string;
  /** Its code. */
  readonly app: string;
  /** Where the runner listens for its guest. */
  readonly control: string;
  /** What its Deno has compiled. */
  readonly deno: string;
  /** What its secrets are mounted from. */
  readonly secrets: string;
  /** What it writes, where that is to be on disk. */
  readonly scratch: string;
  /** For bodies on their way. */
  readonly spool: string;
  /** Where its endpoints are, once they were {@link publish}ed. */
  readonly http: string;
  /** Where its guest waits for the next runner, once that was {@link keepDoor kept}. */
  readonly door: string;

  readonly #sockets: string;

  /** @param sockets a folder in memory for those of all containers; null for none */
  constructor({ dir }: SlotPaths, sockets: string | null) {
    this.dir = dir;
    this.#sockets = sockets === null ? dir : `${sockets}/${dir.slice(dir.lastIndexOf("/") + 1)}`;
    this.run = `${this.#sockets}/run`;
    this.app = `${dir}/app`;
    this.control = `${this.run}/control.sock`;
    this.deno = `${this.run}/deno`;
    this.secrets = `${dir}/secrets`;
    this.scratch = `${dir}/scratch`;
    this.spool = `${dir}/spool`;
    this.http = `${this.#sockets}/http.sock`;
    this.door = `${this.#sockets}/resume.sock`;
  }

  async furnish({ uid, gid }: Owner): Promise<void> {
    await Deno.mkdir(`${this.run}/app`, { recursive: true, mode: 0o700 }); // where `app` is mounted
    await Deno.chown(this.run, uid, gid);
    await Deno.mkdir(this.app, { mode: 0o755 });
    await Deno.mkdir(this.scratch, { mode: 0o700 });
    await Deno.chown(this.scratch, uid, gid);
    await Deno.mkdir(this.spool, { mode: 0o700 });
  }

  /** Removes what does not lie in its slot. */
  async remove(): Promise<void> {
    await Deno.remove(this.#sockets, { recursive: true }).catch(() => {});
  }

  /** Removes bodies that were on their way. */
  async emptySpool(): Promise<void> {
    await Deno.remove(this.spool, { recursive: true });
    await Deno.mkdir(this.spool, { mode: 0o700 });
  }

  /** Listens for the guest; other users of the machine cannot come in, since the slot is closed to them. */
  async listen(): Promise<Deno.Listener> {
    const listener = Deno.listen({ transport: "unix", path: this.control });
    await Deno.chmod(this.control, 0o666);
    return listener;
  }

  get isPublished(): boolean {
    return safely(() => Deno.lstatSync(this.http)) !== null;
  }

  /**
   * Takes the socket of its endpoints out of its hands. The gateway connects to what lies there, and what lies where code can write
   * may be a link to any other socket of this machine.
   */
  publish(): void {
    this.#take("http.sock", this.http);
  }

  /** The same for where it waits for the next runner. One that does not wait ends with this runner. */
  keepDoor(): void {
    safely(() => this.#take("resume.sock", this.door));
  }

  #take(name: string, to: string): void {
    Deno.renameSync(`${this.run}/${name}`, to);
    if (Deno.lstatSync(to).isSocket) return;
    Deno.removeSync(to);
    throw new Deno.errors.InvalidData(`${name} is no socket`);
  }
}

const MEMORY = "/dev/shm";
const TMPFS = 0x01021994;

/**
 * A folder in memory of this name, without what an earlier runner left in it; null where there is no such place.
 *
 * @param spared folders in it that stay
 */
export async function memoryFolder(name: string, spared: readonly string[] = []): Promise<string | null> {
  const place = await statfs(MEMORY).catch(() => null);
  if (place?.type !== TMPFS) return null;
  const folder = `${MEMORY}/${name}`;
  if (spared.length === 0) await removeMemoryFolder(name);
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  for await (const { name: inside } of Deno.readDir(folder)) {
    if (!spared.includes(inside)) await Deno.remove(`${folder}/${inside}`, { recursive: true });
  }
  return folder;
}

export const removeMemoryFolder = (name: string): Promise<void> =>
  Deno.remove(`${MEMORY}/${name}`, { recursive: true }).catch(() => {});
