/**
 * Links that the runner lays itself: a container starts without a network, and is given a pair of virtual cards (veth) while its guest
 * gets ready, which has no code until then. A network of the engine takes a start 40 to 70 ms more. Each link has an address and a route
 * of its own, so that containers share nothing below the rules, and goes when its container does.
 */
import type { Log, Random } from "../../../sdk/ports.ts";
import { read, safely } from "../../../sdk/proc.ts";
import { type Spawn, StartError } from "../../engine.ts";
import { type Block, parseRoutes, type Route } from "./addresses.ts";
import { type HostPorts, inGroup, masqueraded, openRules } from "./firewall.ts";
import { Forwarding } from "./forwarding.ts";
import { nft, tables } from "./nft.ts";

export interface LinksDeps extends HostPorts {
  readonly spawn: Spawn;
  readonly random: Random;
  readonly log: Log;
  /** Addresses for containers. */
  readonly block: Block;
  /** The table for those with open egress. */
  readonly table: string;
  /** What the links of these are known by. */
  readonly group: number;
}

/** What nobody sees but the two ends of a link. Cards with one of their own are given another by systemd, a moment later. */
const HERE = "02:be:00:00:00:01";
const THERE = "02:be:00:00:00:02";
/** Each with another address: those of others are not known before. */
const TRIES = 16;

export class Links {
  readonly #deps: LinksDeps;
  readonly #forwarding: Forwarding;
  #next: number;
  #obstacle: Promise<string | null> | null = null;

  constructor(deps: LinksDeps) {
    this.#deps = deps;
    const { spawn, block, table } = deps;
    this.#forwarding = new Forwarding({ spawn, block: block.text, owner: table });
    this.#next = this.#anywhere();
  }

  /** Whether this machine lets them be, which is looked for once; else it must be the engine that connects containers. */
  async usable(): Promise<boolean> {
    return await (this.#obstacle ??= this.#findObstacle()) === null;
  }

  /** Puts the rules of open egress in force anew, and more with them: administrators reload rules. */
  async guard(more: readonly string[] = []): Promise<void> {
    const { spawn, table, group, block } = this.#deps;
    const open = [openRules(table, inGroup(group), this.#deps), masqueraded(table, block.text)];
    await Promise.all([nft(spawn, [...open, ...more].join("; ")), this.#forwarding.allow()]);
  }

  /**
   * @param name of the link on this machine: at most 15 characters
   * @param pid the first process of the container
   * @param egress what its rules know it by: the group of open egress, or its name
   */
  async lay(name: string, pid: number, egress: "open" | "listed"): Promise<void> {
    for (let tries = 0; tries < TRIES; tries++) {
      const failure = await this.#tryToLay(name, pid, egress);
      if (failure === null) return;
      await this.#run("ip", ["link", "delete", name]);
      if (networkOf(pid) === null) return; // it has ended
      if (!failure.includes("File exists")) {
        throw new StartError(`Cannot connect the container to the network: ${failure.trim()}`);
      }
      this.#next = this.#anywhere();
    }
    throw new StartError(
      `Cannot connect the container to the network: ${TRIES} addresses of ${this.#deps.block.text} are used already; name a larger block with --container-addresses`,
    );
  }

  #anywhere(): number {
    return new DataView(this.#deps.random.bytes(4).buffer).getUint32(0);
  }

  async #findObstacle(): Promise<string | null> {
    const why = await this.#look().catch(String);
    if (why !== null) this.#deps.log("oci.no_links", { why });
    return why;
  }

  async #look(): Promise<string | null> {
    const { block, spawn } = this.#deps;
    const taken = block.takenBy(routes().filter(({ device }) => !device.startsWith("be")));
    if (taken !== null) {
      return `${taken.device} leads to addresses of ${block.text}: name others with --container-addresses`;
    }
    if ((await tables(spawn))?.includes("firewalld")) return "firewalld lets through only what it knows";
    await Promise.all([this.guard(), ...["ip", "nsenter"].map((tool) => this.#run(tool, ["--version"]))]);
    return null;
  }

  /** Null when it is done, else what went wrong: another may have the address. */
  async #tryToLay(name: string, pid: number, egress: "open" | "listed"): Promise<string | null> {
    const network = networkOf(pid);
    if (network === null) return "the container has ended";
    if (network === networkOf("self")) return "its engine gave it that of this machine";
    const { block, group } = this.#deps;
    const address = block.at(this.#next++); // what was given back last is not given away soon
    const mtu = mtuOfMachine();
    const end = (card: string) => `address ${card} mtu ${mtu}`;
    return await this.#run("ip", ["-batch", "-"], [
      `link add ${name} ${end(HERE)} type veth peer name eth0 ${end(THERE)} netns ${pid}`,
      `link set ${name} group ${egress === "open" ? group : 0} up`,
      `address add ${block.gateway}/32 dev ${name}`,
      `route add ${address}/32 dev ${name}`,
    ]) ?? await this.#run("nsenter", [`--net=/proc/${pid}/ns/net`, "ip", "-batch", "-"], [
      `address add ${address}/32 dev eth0`,
      "link set eth0 up",
      `route add ${block.gateway} dev eth0`,
      `route add default via ${block.gateway}`,
    ]);
  }

  async #run(
    command: string,
    args: readonly string[],
    lines: readonly string[] = [],
  ): Promise<string | null> {
    const { code, stderr } = await this.#deps.spawn.output({ command, args, input: lines.join("\n") });
    return code === 0 ? null : stderr;
  }
}

/** Which network a process has; null when it is none any more. */
const networkOf = (pid: number | "self"): string | null =>
  safely(() => Deno.readLinkSync(`/proc/${pid}/ns/net`));

const routes = (): Route[] => parseRoutes(read("/proc/net/route") ?? "");

const MTU = 1_500;

/** That of the way out, for which larger packets would have to be cut. */
function mtuOfMachine(): number {
  const out = routes().find(({ bits }) => bits === 0)?.device;
  return Number(read(`/sys/class/net/${out}/mtu`) ?? MTU);
}
