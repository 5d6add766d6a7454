/**
 * What containers leave on a machine when somebody forgets it. Names are taken down as they come, since a machine that does more than
 * these tests has traces of others too; at the end each is looked for.
 */
import { dirname } from "node:path";
import { z } from "zod";
import { EngineHttp } from "../../runner/engines/oci/http.ts";
import { kill, read } from "../../sdk/proc.ts";
import { realFetch } from "../../sdk/ports.ts";
import { command } from "./components/daemon.ts";
import type { TestEngine } from "./components/engine.ts";
import { processes } from "./processes.ts";
import { tables } from "./tables.ts";
import { untilTrue } from "./until.ts";

/** Where an engine keeps a folder for each container, named by its id. */
const RECORDS = { docker: "data/containers", podman: "storage/overlay-containers" } as const;
/** What an engine is itself. */
const ENGINE = /^(\S*\/)?(dockerd|containerd|podman .*system service)\b/;
const OWN_NETWORKS = ["bridge", "host", "none", "podman"];
/** Docker keeps the network of the machine by it, from the first container that has it on. */
const OWN_MOUNT = /\/netns\/default nsfs$/;
const NAMESPACES = "/run/netns";
const LINKS = "/sys/class/net";
/** Of a container; names of slots are shorter. */
const ID_LENGTH = 64;

export class Traces implements Disposable {
  readonly #engines: readonly TestEngine[];
  readonly #slotFolders: readonly string[];
  readonly #watchers: Deno.FsWatcher[] = [];
  /** Ids of containers, and names of slots, which are parts of the names of all that is made for one. */
  readonly #seen = new Set<string>();
  /** Of the machine, before. */
  readonly #before: { readonly mounts: string[]; readonly namespaces: string[]; readonly tables: string[] };

  private constructor(engines: readonly TestEngine[], data: readonly string[], tables: string[]) {
    this.#engines = engines;
    this.#slotFolders = data.map((folder) => `${folder}/slots`);
    this.#before = { mounts: mounts(), namespaces: names(NAMESPACES), tables };
    const records = engines.map(({ name, socket }) => `${dirname(socket)}/${RECORDS[name]}`);
    for (const folder of [...records, ...this.#slotFolders]) this.#watch(folder);
  }

  /** @param data folders of the runners */
  static async watch(engines: readonly TestEngine[], data: readonly string[]): Promise<Traces> {
    return new Traces(engines, data, await tables());
  }

  /** All that is left, in words; empty when nothing is. */
  async left(): Promise<string[]> {
    await this.#endUnborn();
    const { mounts: mounted, namespaces, tables: ruled } = this.#before;
    const named = (what: string, all: readonly string[]) => all.map((one) => `${what} ${one}`);
    return [
      ...(await Promise.all(this.#engines.map(objectsOf))).flat(),
      ...this.#slotFolders.flatMap((folder) => named(`in ${folder}:`, names(folder))),
      ...named("control group", (await controlGroups()).filter((path) => this.#isOurs(path))),
      ...named("table", newOnes(await tables(), ruled).filter((name) => this.#isLostTable(name))),
      ...named("rule of iptables", (await forwarding()).filter((rule) => rule.includes("--comment be"))),
      ...named("link", names(LINKS).filter((name) => this.#isOurs(name))),
      ...named("network namespace", await withoutProcesses(newOnes(names(NAMESPACES), namespaces))),
      ...named(
        "mount",
        newOnes(mounts(), mounted).filter((mount) => this.#isOurs(mount) && !OWN_MOUNT.test(mount)),
      ),
      ...named("process", processes().filter((one) => this.#isLost(one)).map(({ command }) => command)),
    ];
  }

  /**
   * An engine that is killed while it makes or ends a container leaves what it knows nothing of later: a process that waits for a word
   * to begin, control groups without processes. Nobody but root's own hand ends them.
   */
  async #endUnborn(): Promise<void> {
    const ids = [...this.#seen].filter((name) => name.length === ID_LENGTH);
    for (const { pid } of processes().filter(({ command }) => command === "runc init")) {
      const groups = read(`/proc/${pid}/cgroup`) ?? "";
      if (!ids.some((id) => groups.includes(id))) continue;
      kill(pid);
      const gone = () => processes().every((other) => other.pid !== pid);
      await untilTrue("it has ended", gone);
    }
    for (const group of (await controlGroups()).filter((path) => ids.some((id) => path.endsWith(id)))) {
      await Deno.remove(group).catch(() => {}); // one that is in use stays, and is told of
    }
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watchers) watcher.close();
  }

  async #watch(folder: string): Promise<void> {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const watcher = Deno.watchFs(folder, { recursive: false });
    this.#watchers.push(watcher);
    for await (const { kind, paths } of watcher) {
      const found = kind === "create" ? paths.map((path) => path.slice(folder.length + 1)) : [];
      for (const name of found) if (/^[0-9a-f]{8,}$/.test(name)) this.#seen.add(name);
    }
  }

  #isOurs(text: string): boolean {
    const folders = [...this.#engines.map(({ socket }) => dirname(socket)), ...this.#slotFolders];
    return [...folders, ...this.#seen].some((mark) => text.includes(mark));
  }

  /** Rules of a bridge are called like it: without the bridge nobody needs them. */
  #isLostTable(name: string): boolean {
    return this.#isOurs(name) || name.startsWith("be") && !names(LINKS).includes(name);
  }

  #isLost({ pid, command }: { readonly pid: number; readonly command: string }): boolean {
    return !ENGINE.test(command) &&
      (this.#isOurs(command) || this.#isOurs(read(`/proc/${pid}/cgroup`) ?? ""));
  }
}

const Named = z.object({ Name: z.string() });

/** Containers, volumes and networks of an engine that has nothing else. */
async function objectsOf({ name, socket, client }: TestEngine): Promise<string[]> {
  const http = new EngineHttp({ socket, fetch: realFetch });
  try {
    const networks = await http.json(z.array(Named), "/networks");
    const { Volumes } = await http.json(z.object({ Volumes: z.array(Named).nullable() }), "/volumes");
    return [
      ...(await client.containers()).map(({ Id }) => `container ${Id}`),
      ...(Volumes ?? []).map(({ Name }) => `volume ${Name}`),
      ...networks.filter(({ Name }) => !OWN_NETWORKS.includes(Name)).map(({ Name }) => `network ${Name}`),
    ].map((what) => `${what} of ${name}`);
  } finally {
    http.close();
  }
}

const newOnes = (all: readonly string[], before: readonly string[]): string[] =>
  all.filter((one) => !before.includes(one));

/** Some go while they are listed. */
const controlGroups = async (): Promise<string[]> =>
  (await command("sh", "-c", "find /sys/fs/cgroup -type d 2>/dev/null; true")).split("\n");

/** What iptables leads on. */
const forwarding = async (): Promise<string[]> => (await command("iptables", "-S", "FORWARD")).split("\n");

/** Where something is mounted, and of which kind. */
const mounts = (): string[] =>
  (read("/proc/mounts") ?? "").split("\n").map((line) => line.split(" ").slice(1, 3).join(" "));

async function withoutProcesses(namespaces: readonly string[]): Promise<string[]> {
  const empty = await Promise.all(namespaces.map(async (name) => {
    const pids = await command("ip", "netns", "pids", name).catch(() => "it has gone");
    return pids.trim() === "" ? [name] : [];
  }));
  return empty.flat();
}

function names(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch {
    return []; // it was never made
  }
}
