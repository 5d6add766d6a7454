/** Rules that say where containers can connect to, as commands for nft. Pure. */

/** One address and port that may be reached. */
export interface Opening {
  readonly address: string;
  readonly port: number;
}

/** What this machine lets its containers connect to on itself: nothing else of it is theirs. */
export interface HostPorts {
  /** TCP ports, on every address of the machine. */
  readonly hostPorts: readonly number[];
}

/**
 * Where clouds tell a machine who it is, and hand its credentials to whoever asks from there. No function has a say in this. Their
 * name servers have addresses of these ranges too.
 */
const METADATA = {
  ip: ["169.254.0.0/16", "100.100.100.200", "168.63.129.16"],
  ip6: ["fe80::/10", "fd00:ec2::/32"],
};
/** Refused at once, where dropped packets would let a program wait for minutes. The kernel sends few ICMP messages, and any number of resets. */
const REJECT = ["meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited"];
const rejecting = (what: string): string[] => REJECT.map((how) => `${what} ${how}`);
const NAMES = "meta l4proto { tcp, udp } th dport 53";
const NO_METADATA = Object.entries(METADATA).flatMap(([family, ranges]) => {
  const range = `${family} daddr { ${ranges.join(", ")} }`;
  return [`${range} ${NAMES} accept`, ...rejecting(range)];
});

/** The bridge of functions with open egress: out into the world, but not to this machine, its metadata, or one another. */
export function openRules(bridge: string, { hostPorts }: HostPorts): string {
  return rules(bridge, {
    through: [
      ...rejecting('oifname "be*"'), // bridges of ours, this one too
      ...rejecting("ct status dnat"), // what this machine publishes of other containers
      ...NO_METADATA,
    ],
    // Podman's name server listens on the bridge.
    into: [`${NAMES} accept`, ...hostPorts.map((port) => `tcp dport ${port} accept`), ...REJECT],
  });
}

/** A bridge that leads to some places and no others. Nothing is asked of a name server: a name can carry anything out. */
export function listRules(bridge: string, openings: readonly Opening[], { hostPorts }: HostPorts): string {
  const accept = ({ address, port }: Opening) =>
    `${address.includes(":") ? "ip6" : "ip"} daddr ${address} tcp dport ${port} accept`;
  return rules(bridge, {
    through: [...rejecting("ct status dnat"), ...openings.map(accept), ...REJECT],
    into: [...openings.filter(({ port }) => hostPorts.includes(port)).map(accept), ...REJECT],
  });
}

export const withoutRules = (table: string): string => `delete table inet ${table}`;

/** Where containers are, as engines call their bridges when nobody else does. */
const BRIDGES = ["be*", "docker0", "podman*"];
/** This machine's own addresses, and what is said to all who listen. */
const HERE = "fib daddr type != unicast";
const FAMILIES = [["ip", "ipv4_addr"], ["ip6", "ipv6_addr"]] as const;
/** More than any peer takes to answer. */
const ASKED = "flags dynamic, timeout; timeout 5m; size 65535;";

/**
 * A gang that has the network of this machine, known by the group that its processes are of. It is led no further than a bridge of open
 * egress, but for the ports of this machine where it listens itself. Nobody knows these ahead; whose a port is shows when it answers.
 * So what the gang asks here is taken down, and an answer that is not its own is made a refusal on the way. Only the beginnings of
 * connections are judged, all of them: nothing else comes to be without one.
 */
export function gangRules(table: string, group: number, { hostPorts }: HostPorts): string {
  const chain = (name: string, rules: readonly string[]) =>
    rules.map((rule) => `add rule inet ${table} ${name} ${rule}`);
  return [
    `add table inet ${table}`,
    ...FAMILIES.map(([family, type]) =>
      `add set inet ${table} ${family}_asked { type ${type} . inet_service . ${type} . inet_service; ${ASKED} }`
    ),
    `add chain inet ${table} out { type filter hook output priority -10; policy accept; }`,
    `add chain inet ${table} rank`,
    ...chain("out", [
      `meta skgid ${group} goto rank`, // answers of its own too, which are no beginnings
      ...FAMILIES.map(([family]) =>
        `tcp flags & (syn | ack) == syn | ack ${family} daddr . tcp dport . ${family} saddr . tcp sport @${family}_asked tcp flags set rst | ack`
      ),
    ]),
    ...chain("rank", [
      "tcp flags & (syn | ack) != syn accept",
      "meta l4proto != tcp ct state established accept",
      ...BRIDGES.flatMap((name) => rejecting(`oifname "${name}"`)),
      ...rejecting("ct status dnat"),
      ...NO_METADATA,
      `${HERE} ${NAMES} accept`,
      ...hostPorts.map((port) => `${HERE} tcp dport ${port} accept`),
      ...FAMILIES.map(([family]) =>
        `${HERE} update @${family}_asked { ${family} saddr . tcp sport . ${family} daddr . tcp dport } accept`
      ),
      ...rejecting(HERE),
    ]),
  ].join("; ");
}

/** Both ways out of a bridge: through this machine, and to it. All at once, in place of the rules that were there before. */
function rules(
  bridge: string,
  ways: { readonly through: readonly string[]; readonly into: readonly string[] },
): string {
  const chain = (name: keyof typeof ways, hook: string) => [
    `add chain inet ${bridge} ${name} { type filter hook ${hook} priority -10; policy accept; }`,
    ...["ct state established,related accept", ...ways[name]].map((rule) =>
      `add rule inet ${bridge} ${name} iifname "${bridge}" ${rule}`
    ),
  ];
  return [
    `add table inet ${bridge}`,
    `flush table inet ${bridge}`,
    ...chain("through", "forward"),
    ...chain("into", "input"),
    // Nor may other networks of this machine begin to speak to what is on this one; the machine itself may.
    `add rule inet ${bridge} through iifname != "${bridge}" oifname "${bridge}" ct state new drop`,
  ].join("; ");
}

/** Whether an address tells a machine who it is. */
export const isMetadata = (address: string): boolean =>
  /^(169\.254\.|100\.100\.100\.200$|168\.63\.129\.16$|fe[89ab][0-9a-f]:|fd00:0?ec2:)/i.test(address);
