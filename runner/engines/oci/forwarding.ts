/**
 * Whether this machine leads packets of containers on: the kernel's switch, and the chain in which Docker, ufw and others drop what they
 * do not know. What containers may reach is not decided here.
 */
import { type Spawn, StartError } from "../../engine.ts";

export interface ForwardingDeps {
  readonly spawn: Spawn;
  /** Addresses of the containers, `ADDRESS/BITS`. */
  readonly block: string;
  /** Tells rules of this runner from others: no spaces. */
  readonly owner: string;
}

const SWITCH = "/proc/sys/net/ipv4/ip_forward";

export class Forwarding {
  readonly #deps: ForwardingDeps;
  #allowing: Promise<void> | null = null;

  constructor(deps: ForwardingDeps) {
    this.#deps = deps;
  }

  /** Makes sure of it; again, since administrators reload rules. */
  async allow(): Promise<void> {
    if (Deno.readTextFileSync(SWITCH).trim() === "0") Deno.writeTextFileSync(SWITCH, "1");
    await (this.#allowing ??= this.#allow().finally(() => this.#allowing = null));
  }

  /** Where there is no iptables, nobody drops anything there. */
  async #allow(): Promise<void> {
    const { spawn, owner, block } = this.#deps;
    const rules = rulesFor(this.#deps);
    const lacks = async () => {
      const there = await rulesOf(spawn, owner);
      return there !== null && there.filter((rule) => rule.includes(block)).length < rules.length;
    };
    if (!await lacks()) return;
    for (const rule of rules) await iptables(spawn, "-I", "FORWARD", ...rule);
    if (await lacks()) {
      throw new StartError("Cannot connect containers: iptables does not take rules for them");
    }
  }
}

const rulesFor = ({ block, owner }: ForwardingDeps): string[][] => {
  const own = ["-m", "comment", "--comment", owner];
  return [
    ["-s", block, "-i", "be+", ...own, "-j", "ACCEPT"],
    ["-d", block, "-o", "be+", ...own, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"],
  ];
};

/** Takes back all that was allowed, by an earlier runner too. */
export async function removeForwarding(spawn: Spawn, owner: string): Promise<void> {
  for (const rule of await rulesOf(spawn, owner) ?? []) await iptables(spawn, "-D", ...rule);
}

/** Each as iptables says it, from the name of the chain on; null where there is none. */
async function rulesOf(spawn: Spawn, owner: string): Promise<string[][] | null> {
  const said = await iptables(spawn, "-S", "FORWARD");
  const rules = said.split("\n").map((line) => line.trim().split(" ").slice(1));
  return said === "" ? null : rules.filter((words) => words.includes(owner));
}

/** What it says. */
const iptables = (spawn: Spawn, ...args: string[]): Promise<string> =>
  spawn.output({ command: "iptables", args: ["-w", ...args] }).then(({ stdout }) => stdout, () => "");
