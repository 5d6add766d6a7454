/**
 * What containers leave on a machine when somebody forgets it. Names are taken down as they come, since a machine that does more than
 * these tests has traces of others too; at the end each is looked for.
 */
import { dirname } from "node:path";
import { EngineHttp } from "../../runner/engines/oci/http.ts";
import { read } from "../../sdk/proc.ts";
import { realFetch } from "../../sdk/ports.ts";
import { z } from "zod";
import { command } from "./components/daemon.ts";
import type { TestEngine } from "./components/engine.ts";
import { processes } from "./processes.ts";

/** Where an engine keeps a folder for each container, named by its id. */
const RECORDS = { docker: "data/containers", podman: "storage/overlay-containers" } as const;
/** What an engine is itself. */
const ENGINE = /^(\S*\/)?(dockerd|containerd|podman .*system service)\b/;
const NAMESPACES = "/run/netns";

interface Network {
  readonly Name: string;
}
interface Volumes {
  readonly Volumes: { readonly Name: string }[] | null;
}

export class Traces implements Disposable {
  readonly #engines: readonly TestEngine[];
  readonly #slotFolders: readonly string[];
  readonly #watchers: Deno.FsWatcher[] = [];
  /** Ids of containers. */
  readonly #containers = new Set<string>();
  /** Names of slots: of what else is made for a container. */
  readonly #slots = new Set<string>();
  readonly #mounts = new Set(mounts());
  readonly #namespaces = new Set(namespaces());

  /** @param data folders of the runners */
  constructor(engines: readonly TestEngine[], data: readonly string[]) {
    this.#engines = engines;
    this.#slotFolders = data.map((folder) => `${folder}/slots`);
    for (const { name, socket } of engines) {
      this.#watch(`${dirname(socket)}/${RECORDS[name]}`, this.#containers);
    }
    for (const folder of this.#slotFolders) this.#watch(folder, this.#slots);
  }

  /** How many containers there have been. */
  get containers(): number {
    return this.#containers.size;
  }

  /** All that is left, in words; empty when nothing is. */
  async left(): Promise<string[]> {
    return [
      ...(await Promise.all(this.#engines.map(objectsOf))).flat(),
      ...this.#slotFolders.flatMap((folder) => names(folder).map((name) => `folder ${folder}/${name}`)),
      ...this.#ofContainers(
        "control group",
        await lines("sh", "-c", "find /sys/fs/cgroup -type d 2>/dev/null; true"),
      ),
      ...this.#ofSlots("table", await lines("nft", "list", "tables")),
      ...this.#ofSlots("link", await lines("ip", "-o", "link")),
      ...await this.#lostNamespaces(),
      ...mounts().filter((mount) => !this.#mounts.has(mount) && this.#isOurs(mount)).map((one) =>
        `mount ${one}`
      ),
      ...processes().filter((one) => this.#isLost(one)).map(({ command }) => `process ${command}`),
    ];
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watchers) watcher.close();
  }

  async #watch(folder: string, seen: Set<string>): Promise<void> {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const watcher = Deno.watchFs(folder, { recursive: false });
    this.#watchers.push(watcher);
    for await (const { kind, paths } of watcher) {
      if (kind !== "create") continue;
      for (const path of paths) {
        const name = path.slice(folder.length + 1);
        if (/^[0-9a-f]+$/.test(name)) seen.add(name);
      }
    }
  }

  #ofContainers(what: string, all: readonly string[]): string[] {
    return all.filter((line) => [...this.#containers].some((id) => line.includes(id))).map((line) =>
      `${what} ${line}`
    );
  }

  #ofSlots(what: string, all: readonly string[]): string[] {
    return all.filter((line) => [...this.#slots].some((slot) => line.includes(slot))).map((line) =>
      `${what} ${line}`
    );
  }

  #isOurs(text: string): boolean {
    return [...this.#engines.map(({ socket }) => dirname(socket)), ...this.#slotFolders].some((folder) =>
      text.includes(folder)
    );
  }

  #isLost({ pid, command }: { readonly pid: number; readonly command: string }): boolean {
    if (ENGINE.test(command)) return false;
    return this.#engines.some(({ socket }) => command.includes(dirname(socket))) ||
      [...this.#slots].some((slot) => command.includes(slot)) ||
      [...this.#containers].some((id) => read(`/proc/${pid}/cgroup`)?.includes(id));
  }

  /** Network namespaces that are new and that no process is in. */
  async #lostNamespaces(): Promise<string[]> {
    const lost: string[] = [];
    for (const name of namespaces()) {
      if (this.#namespaces.has(name)) continue;
      const pids = await command("ip", "netns", "pids", name).catch(() => "it has gone");
      if (pids.trim() === "") lost.push(`network namespace ${name}`);
    }
    return lost;
  }
}

/** Containers, volumes and networks of an engine that runs nothing else. */
async function objectsOf({ name, socket, client }: TestEngine): Promise<string[]> {
  const http = new EngineHttp({ socket, fetch: realFetch });
  try {
    const networks = await http.json(z.custom<Network[]>(), "/networks");
    const { Volumes } = await http.json(z.custom<Volumes>(), "/volumes");
    return [
      ...(await client.containers()).map(({ Id }) => `container ${Id}`),
      ...(Volumes ?? []).map(({ Name }) => `volume ${Name}`),
      ...networks.filter(({ Name }) => !["bridge", "host", "none", "podman"].includes(Name)).map(({ Name }) =>
        `network ${Name}`
      ),
    ].map((what) => `${name}: ${what}`);
  } finally {
    http.close();
  }
}

const lines = async (program: string, ...args: string[]): Promise<string[]> =>
  (await command(program, ...args)).split("\n");

const mounts = (): string[] =>
  (read("/proc/mounts") ?? "").split("\n").map((line) => line.split(" ").slice(1, 3).join(" "));

const namespaces = (): string[] => names(NAMESPACES);

function names(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return []; // it was never made
  }
}
