/**
 * Networks of containers: none; one that leads everywhere but to this machine and to other containers; one that leads to some places
 * only; or, for ranks of gangs, that of this machine. Guests are connected by the runner, with a link of their own. What has code from
 * its start on must be connected before, which only its engine can: to one network of all whose egress is open, or to one of its own.
 */
import { lookup } from "node:dns/promises";
import { parseDestination } from "../../../sdk/destination.ts";
import type { Log } from "../../../sdk/ports.ts";
import { read } from "../../../sdk/proc.ts";
import type { FunctionSpec, Gang } from "../../../sdk/protocol.ts";
import { type Spawn, StartError } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import {
  behind,
  gangRules,
  type HostPorts,
  isMetadata,
  listRules,
  type Opening,
  openRules,
} from "./firewall.ts";
import { removeForwarding } from "./forwarding.ts";
import type { Links } from "./links.ts";
import { nft, removeTable, tables } from "./nft.ts";
import { groupOf, verifyRank } from "./ranks.ts";
import { NO_SERVER, NO_SERVERS, serversOfMachine } from "./resolver.ts";
import type { Mount } from "./sandbox.ts";

export interface NetworksDeps extends HostPorts {
  readonly client: OciClient;
  readonly spawn: Spawn;
  readonly log: Log;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the network that containers with open egress share, of its bridge and of its rules: at most 15 characters. */
  readonly shared: string;
  /** Whether this runner may make rules, which takes root. */
  readonly guarded: boolean;
  /** How this runner connects guests; null where that is left to the engine. */
  readonly links: Links | null;
  /** Where the files lie that tell guests of name servers. */
  readonly folder: string;
}

export interface Network {
  readonly mode: string;
  /** What its container calls itself; absent where its engine decides. */
  readonly hostname?: string;
  /** Names that it knows, as `NAME:ADDRESS`. */
  readonly hosts: readonly string[];
  /** Name servers other than the machine's. */
  readonly dns: readonly string[];
  /** Files that its container has of it. */
  readonly mounts: readonly Mount[];
  /** The group that its processes are to be known by; absent where the owner's will do. */
  readonly group?: number;
  /** Puts its rules in force anew, as they are when it is opened: administrators reload rules. */
  guard(): Promise<void>;
  /** To be called when its container has started. */
  seal(): void;
  /** Once its first process is known, and before any code of a guest is there: connects it, or looks whether it is. */
  enter(pid: number): Promise<void> | void;
  close(): Promise<void>;
}

const nothing = () => Promise.resolve();
const plain = (mode: string): Network => ({
  mode,
  hosts: [],
  dns: [],
  mounts: [],
  guard: nothing,
  seal: () => {},
  enter: () => {},
  close: nothing,
});

/** Without one of an engine, which would tell it where it is itself: as Debian does, for programs that ask for their own name. */
const unconnected = (name: string): Network => ({
  ...plain("none"),
  hostname: name,
  hosts: [`${name}:127.0.1.1`],
});

/** What a container is to reach, and whether it is to be reached. */
export interface Openness {
  readonly egress: FunctionSpec["egress"];
  /** It listens, and this machine is to reach it. */
  readonly listens: boolean;
  /** It has code from its start on. */
  readonly early: boolean;
  /** It is a rank of this gang: the others are to reach it on any port, from other machines too. */
  readonly gang: Gang | undefined;
}

type Place = Opening & { readonly host: string };

export class Networks {
  readonly #deps: NetworksDeps;
  #making: Promise<void> | null = null;

  constructor(deps: NetworksDeps) {
    this.#deps = deps;
  }

  /** @param name of the network, when it is one for this container: at most 15 characters */
  async open({ egress, listens, early, gang }: Openness, name: string): Promise<Network> {
    if (gang !== undefined) return await this.#openGang(gang, egress, name);
    if (egress === "deny" && !listens) return unconnected(name);
    const places = egress === "open" ? null : await this.#places(egress === "deny" ? [] : egress);
    const link = early ? null : await this.#openLink(places, name);
    if (link !== null) return link;
    return places === null ? await this.openOut() : await this.#openListed(places, name);
  }

  /** The one that {@link open} made for a container of an earlier runner: it is there still, and so are its rules. */
  async reopen({ egress, early, gang }: Openness, name: string): Promise<Network> {
    if (gang !== undefined) return this.#gangNetwork(await groupOf(gang.id), name);
    if (egress === "open" && early) return await this.openOut();
    return { ...plain("none"), close: () => this.remove(name) };
  }

  /** The one that leads everywhere but to this machine. */
  openOut(): Promise<Network> {
    return this.#deps.guarded ? this.#openShared() : Promise.resolve(plain("bridge"));
  }

  /** Removes what was made for a container, a network or rules, if there is any of this name. */
  async remove(name: string): Promise<void> {
    await removeTable(this.#deps.spawn, this.#tableOf(name));
    if (await this.#deps.client.network(name) !== null) await closeNetwork(this.#deps, name);
  }

  /** Removes what containers shared. They must be gone. */
  async close(): Promise<void> {
    const { shared, spawn } = this.#deps;
    await removeRules(spawn, shared, []);
    await closeNetwork(this.#deps, shared).catch(() => {}); // the next runner sweeps
  }

  async #places(egress: readonly string[]): Promise<Place[]> {
    return (await Promise.all(egress.map((text) => placesOf(text, this.#deps)))).flat();
  }

  /** @param places all when null @returns null where it cannot be */
  async #openLink(places: readonly Place[] | null, name: string): Promise<Network | null> {
    const { links, folder, spawn } = this.#deps;
    const servers = places === null ? serversOfMachine() : NO_SERVERS;
    if (links === null || servers === null || !await links.usable()) return null;
    const source = `${folder}/${places === null ? "resolv.conf" : "no_servers.conf"}`;
    await writeAnew(source, servers);
    const bare = unconnected(name);
    const network = { ...bare, mounts: [{ source, target: "/etc/resolv.conf", readOnly: true }] };
    if (places === null) {
      return { ...network, guard: () => links.guard(), enter: (pid) => links.lay(name, pid, "open") };
    }
    const table = this.#tableOf(name);
    const guard = () => links.guard([listRules(table, behind(name), places, this.#deps)]);
    return {
      ...network,
      hosts: [...bare.hosts, ...hostsOf(places)],
      guard,
      enter: (pid) => links.lay(name, pid, "listed"),
      close: () => removeTable(spawn, table),
    };
  }

  async #openShared(): Promise<Network> {
    const { shared } = this.#deps;
    await (this.#making ??= this.#makeShared().finally(() => this.#making = null));
    return { ...plain(shared), guard: () => this.#guardShared(), seal: () => isolatePorts(shared) };
  }

  /** Anew, when it is gone: administrators prune networks. */
  async #makeShared(): Promise<void> {
    const { client, shared, log } = this.#deps;
    if (await client.network(shared) !== null) return;
    await this.#guardShared();
    await this.#create(shared);
    log("oci.network", { network: shared });
  }

  #guardShared(): Promise<void> {
    return nft(this.#deps.spawn, openRules(this.#deps.shared, behind(this.#deps.shared), this.#deps));
  }

  async #openListed(places: readonly Place[], name: string): Promise<Network> {
    const close = () => closeNetwork(this.#deps, name);
    try {
      await this.#create(name);
      await nft(this.#deps.spawn, listRules(name, behind(name), places, this.#deps));
    } catch (error) {
      await close();
      throw error;
    }
    return { ...plain(name), hosts: hostsOf(places), dns: [NO_SERVER], close };
  }

  /** Libraries tell the other ranks their own addresses and any ports: these must be this machine's. */
  async #openGang({ id }: Gang, egress: Openness["egress"], name: string): Promise<Network> {
    if (egress !== "open") {
      throw new StartError(
        `Cannot start the container: ranks of a gang have the network of the machine, so \`egress\` must be "open", not ${
          JSON.stringify(egress)
        }`,
      );
    }
    const group = await groupOf(id);
    if (this.#deps.guarded) await nft(this.#deps.spawn, gangRules(this.#tableOf(name), group, this.#deps));
    return this.#gangNetwork(group, name);
  }

  #gangNetwork(group: number, name: string): Network {
    const { spawn, guarded } = this.#deps;
    if (!guarded) return plain("host");
    return {
      ...plain("host"),
      group,
      enter: (pid) => verifyRank(pid, group),
      close: () => removeTable(spawn, this.#tableOf(name)),
    };
  }

  /** Of the rules of a rank. */
  #tableOf(name: string): string {
    return `${tablesOf(this.#deps.shared)}${name}`;
  }

  #create(name: string): Promise<void> {
    const { client, labels } = this.#deps;
    return client.createNetwork({
      Name: name,
      Driver: "bridge",
      CheckDuplicate: true,
      Labels: labels,
      Options: { "com.docker.network.bridge.name": name },
    });
  }
}

/** Removes a network and its rules, as far as they are there: the network last, since by its label a later runner finds both. */
export async function closeNetwork(
  { client, spawn }: Pick<NetworksDeps, "client" | "spawn">,
  name: string,
): Promise<void> {
  await removeTable(spawn, name);
  await client.removeNetwork(name);
}

/** What the tables begin with that belong to no network of an engine, by which a later runner would find them. */
const tablesOf = (shared: string): string => `${shared}_`;

/** The table of links with open egress. @param shared its name, see {@link NetworksDeps} */
export const tableOfLinks = (shared: string): string => `${tablesOf(shared)}open`;

/**
 * Removes rules that no network of an engine tells of, those of a killed runner too.
 *
 * @param shared its name, see {@link NetworksDeps}
 * @param spared names of networks whose containers may go on
 */
export async function removeRules(spawn: Spawn, shared: string, spared: readonly string[]): Promise<void> {
  const all = await tables(spawn);
  if (all === null) return;
  const links = tableOfLinks(shared);
  if (spared.length === 0) await removeForwarding(spawn, links);
  const used = spared.length === 0 ? [] : [links, ...spared.map((name) => `${tablesOf(shared)}${name}`)];
  const own = all.filter((name) => name.startsWith(tablesOf(shared)));
  for (const name of own.filter((name) => !used.includes(name))) await removeTable(spawn, name);
}

/**
 * Ports of a bridge that are isolated reach the machine, and not each other. What they say to each other is not routed, so that rules
 * of nft see it on some machines only.
 */
function isolatePorts(bridge: string): void {
  const ports = `/sys/class/net/${bridge}/brif`;
  for (const { name } of whileThere(() => [...Deno.readDirSync(ports)]) ?? []) {
    whileThere(() => Deno.writeTextFileSync(`${ports}/${name}/isolated`, "1"));
  }
}

/** Undefined when what it is about is gone: containers end at any time. */
function whileThere<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

const hostsOf = (places: readonly Place[]): string[] =>
  places.map(({ host, address }) => `${host}:${address}`);

/** The file is the same one: containers have it mounted. */
async function writeAnew(file: string, text: string): Promise<void> {
  if (read(file) !== text) await Deno.writeTextFile(file, text, { mode: 0o644 });
}

async function placesOf(text: string, { hostPorts }: HostPorts): Promise<Place[]> {
  const { host, port } = parseDestination(text)!;
  const found = await lookup(host, { all: true, family: 4 }).catch((cause) => {
    throw new StartError(`Cannot allow ${text}: ${host} has no address`, { cause });
  });
  const own = new Set(Deno.networkInterfaces().map(({ address }) => address));
  for (const { address } of found) {
    if (isMetadata(address)) {
      throw new StartError(
        `Cannot allow ${text}: ${address} is where clouds hand out a machine's credentials`,
      );
    }
    if (own.has(address) && !hostPorts.includes(port)) {
      throw new StartError(
        `Cannot allow ${text}: ${address} is the node itself, and its --host-ports do not have ${port}`,
      );
    }
  }
  return found.map(({ address }) => ({ host, address, port }));
}
