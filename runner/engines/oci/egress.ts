/** Networks of containers: the engine's own, none, or one that leads to some places only, made for one container. */
import { lookup } from "node:dns/promises";
import { parseDestination } from "../../../sdk/destination.ts";
import type { FunctionSpec } from "../../../sdk/protocol.ts";
import { type Spawn, StartError } from "../../engine.ts";
import type { OciClient } from "./client.ts";
import { type Opening, rulesOf, withoutRules } from "./firewall.ts";

export interface EgressDeps {
  readonly client: OciClient;
  readonly spawn: Spawn;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Network {
  readonly mode: string;
  /** Names that it knows, as `NAME:ADDRESS`. */
  readonly hosts: readonly string[];
  /** Name servers other than the machine's. */
  readonly dns: readonly string[];
  close(): Promise<void>;
}

/** An address that is nobody's (RFC 5737): questions go there to die. */
const NO_SERVER = "192.0.2.1";
const plain = (mode: string): Network => ({ mode, hosts: [], dns: [], close: () => Promise.resolve() });

export interface Openness {
  readonly egress: FunctionSpec["egress"];
  /** It listens, and this machine is to reach it. */
  readonly listens: boolean;
}

/** @param name of the network, of its bridge and of its rules: at most 15 characters */
export async function openNetwork(
  deps: EgressDeps,
  { egress, listens }: Openness,
  name: string,
): Promise<Network> {
  if (egress === "open") return plain("bridge");
  if (egress === "deny" && !listens) return plain("none");
  const places = egress === "deny" ? [] : (await Promise.all(egress.map(placesOf))).flat();
  const close = () => closeNetwork(deps, name);
  try {
    await deps.client.createNetwork({
      Name: name,
      Driver: "bridge",
      CheckDuplicate: true,
      Labels: deps.labels,
      Options: { "com.docker.network.bridge.name": name },
    });
    await nft(deps.spawn, rulesOf(name, places));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    mode: name,
    hosts: places.map(({ host, address }) => `${host}:${address}`),
    dns: [NO_SERVER],
    close,
  };
}

/** Removes a network and its rules, as far as they are there: the network last, since by its label a later runner finds both. */
export async function closeNetwork(
  { client, spawn }: Omit<EgressDeps, "labels">,
  name: string,
): Promise<void> {
  await spawn.output({ command: "nft", args: [withoutRules(name)] }).catch(() => {});
  await client.removeNetwork(name);
}

async function placesOf(text: string): Promise<(Opening & { host: string })[]> {
  const { host, port } = parseDestination(text)!;
  try {
    const found = await lookup(host, { all: true, family: 4 });
    return found.map(({ address }) => ({ host, address, port }));
  } catch (cause) {
    throw new StartError(`Cannot allow ${text}: ${host} has no address`, { cause });
  }
}

async function nft(spawn: Spawn, script: string): Promise<void> {
  const { code, stderr } = await spawn.output({ command: "nft", args: [script] }).catch((cause) => {
    throw new StartError(`Cannot restrict the egress of the container: ${cause.message}`, { cause });
  });
  if (code !== 0) throw new StartError(`Cannot restrict the egress of the container: ${stderr.trim()}`);
}
