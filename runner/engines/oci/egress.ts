/**
 * Networks of containers: none; one for all of a runner whose egress is open, which leads everywhere but to this machine and to each
 * other; one that leads to some places only, made for one container; or, for ranks of gangs, that of this machine.
 */
import { lookup } from "node:dns/promises";
import { parseDestination } from "../../../sdk/destination.ts";
import type { Log } from "../../../sdk/ports.ts";
import type { FunctionSpec, Gang } from "../../../sdk/protocol.ts";
import { type Spawn, StartError } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import {
  gangRules,
  type HostPorts,
  isMetadata,
  listRules,
  type Opening,
  openRules,
  withoutRules,
} from "./firewall.ts";
import { groupOf, verifyRank } from "./ranks.ts";

export interface NetworksDeps extends HostPorts {
  readonly client: OciClient;
  readonly spawn: Spawn;
  readonly log: Log;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the network that containers with open egress share, of its bridge and of its rules: at most 15 characters. */
  readonly shared: string;
  /** Whether this runner may make rules, which takes root. */
  readonly guarded: boolean;
}

export interface Network {
  readonly mode: string;
  /** Names that it knows, as `NAME:ADDRESS`. */
  readonly hosts: readonly string[];
  /** Name servers other than the machine's. */
  readonly dns: readonly string[];
  /** The group that its processes are to be known by; absent where the owner's will do. */
  readonly group?: number;
  /** Puts its rules in force anew, as they are when it is opened: administrators reload rules. */
  guard(): Promise<void>;
  /** To be called when its container has started, before any code of a function runs there. */
  seal(): void;
  /** Looks whether the container has it, once its first process is known. */
  verify(pid: number): void;
  close(): Promise<void>;
}

/** An address that is nobody's (RFC 5737): questions go there to die. */
const NO_SERVER = "192.0.2.1";
const plain = (mode: string): Network => ({
  mode,
  hosts: [],
  dns: [],
  guard: () => Promise.resolve(),
  seal: () => {},
  verify: () => {},
  close: () => Promise.resolve(),
});

/** What a container is to reach, and whether it is to be reached. */
export interface Openness {
  readonly egress: FunctionSpec["egress"];
  /** It listens, and this machine is to reach it. */
  readonly listens: boolean;
  /** It is a rank of this gang: the others are to reach it on any port, from other machines too. */
  readonly gang: Gang | undefined;
}

export class Networks {
  readonly #deps: NetworksDeps;
  #isShared = false;
  #making: Promise<void> | null = null;

  constructor(deps: NetworksDeps) {
    this.#deps = deps;
  }

  /** @param name of the network, when it is one for this container: at most 15 characters */
  async open({ egress, listens, gang }: Openness, name: string): Promise<Network> {
    if (gang !== undefined) return await this.#openGang(gang, egress, name);
    if (egress === "open") return await this.openOut();
    if (egress === "deny") return listens ? await this.#openListed([], name) : plain("none");
    return await this.#openListed(egress, name);
  }

  /** The one that {@link open} made for a container of an earlier runner: it is there still, and so are its rules. */
  async reopen({ egress, listens, gang }: Openness, name: string): Promise<Network> {
    if (gang !== undefined) return this.#gangNetwork(await groupOf(gang.id), name);
    if (egress === "open") return await this.openOut();
    if (egress === "deny" && !listens) return plain("none");
    return { ...plain(name), close: () => closeNetwork(this.#deps, name) };
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

  /** Removes the shared one. Its containers must be gone. */
  async close(): Promise<void> {
    if (this.#isShared) await closeNetwork(this.#deps, this.#deps.shared).catch(() => {}); // the next runner sweeps
  }

  async #openShared(): Promise<Network> {
    const { shared } = this.#deps;
    this.#isShared = true;
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
    return nft(this.#deps.spawn, openRules(this.#deps.shared, this.#deps));
  }

  async #openListed(egress: readonly string[], name: string): Promise<Network> {
    const places = (await Promise.all(egress.map((text) => placesOf(text, this.#deps)))).flat();
    const close = () => closeNetwork(this.#deps, name);
    try {
      await this.#create(name);
      await nft(this.#deps.spawn, listRules(name, places, this.#deps));
    } catch (error) {
      await close();
      throw error;
    }
    const hosts = places.map(({ host, address }) => `${host}:${address}`);
    return { ...plain(name), hosts, dns: [NO_SERVER], close };
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
      verify: (pid) => verifyRank(pid, group),
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

/** What the tables of ranks begin with: no network of an engine tells a later runner of them. */
const tablesOf = (shared: string): string => `${shared}_`;

/**
 * Removes the rules of ranks that a killed runner left.
 *
 * @param shared its name, see {@link NetworksDeps}
 * @param spared names of networks whose containers may go on
 */
export async function removeGangRules(
  spawn: Spawn,
  shared: string,
  spared: readonly string[],
): Promise<void> {
  const { stdout } = await spawn.output({ command: "nft", args: ["list tables"] }).catch(() => ({
    stdout: "",
  }));
  const names = stdout.split("\n").map((line) => line.split(" ").at(-1)!);
  const used = spared.map((name) => `${tablesOf(shared)}${name}`);
  for (const name of names.filter((name) => name.startsWith(tablesOf(shared)) && !used.includes(name))) {
    await removeTable(spawn, name);
  }
}

async function removeTable(spawn: Spawn, name: string): Promise<void> {
  await spawn.output({ command: "nft", args: [withoutRules(name)] }).catch(() => {});
}

/** Whether rules can be made here. Without them containers reach all that this machine's own programs do. */
export async function canGuard(spawn: Spawn): Promise<boolean> {
  if (Deno.uid() !== 0) return false;
  const { code } = await spawn.output({ command: "nft", args: ["list tables"] }).catch(() => ({ code: 1 }));
  return code === 0;
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

async function placesOf(text: string, { hostPorts }: HostPorts): Promise<(Opening & { host: string })[]> {
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

async function nft(spawn: Spawn, script: string): Promise<void> {
  const { code, stderr } = await spawn.output({ command: "nft", args: [script] }).catch((cause) => {
    throw new StartError(`Cannot restrict the egress of the container: ${cause.message}`, { cause });
  });
  if (code !== 0) throw new StartError(`Cannot restrict the egress of the container: ${stderr.trim()}`);
}
