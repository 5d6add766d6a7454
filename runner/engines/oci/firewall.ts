/** Rules that say where containers can connect to, as commands for nft. Pure. */

/** Where containers and machines of others are, as their bridges are called when nobody says otherwise; the first are ours. */
const BRIDGES = ["be*", "docker0", "docker_gwbridge", "podman*", "cni*", "virbr*"];
/** Docker calls those of networks that somebody has made so, and others call links that lead out so, which are no bridges of Linux. */
const TO_CONTAINERS = [...BRIDGES.map((name) => `oifname "${name}"`), 'meta oifkind "bridge" oifname "br-*"'];

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

/** Whose packets a table of rules is about, as nft tells them where they come in and where they go out. */
interface Side {
  readonly from: string;
  readonly to: string;
  readonly fromOthers: string;
}

/** All that hangs on a bridge, or on a link of its own. */
export const behind = (name: string): Side => ({
  from: `iifname "${name}"`,
  to: `oifname "${name}"`,
  fromOthers: `iifname != "${name}"`,
});

/** All links of a group. */
export const inGroup = (group: number): Side => ({
  from: `iifgroup ${group}`,
  to: `oifgroup ${group}`,
  fromOthers: `iifgroup != ${group}`,
});

/** Open egress: out into the world, but not to this machine, its metadata, or one another. */
export function openRules(table: string, side: Side, { hostPorts }: HostPorts): string {
  return rules(table, side, {
    through: [
      ...TO_CONTAINERS.flatMap(rejecting),
      ...rejecting("ct status dnat"), // what this machine publishes of other containers
      ...NO_METADATA,
    ],
    // Podman's name server listens on the bridge.
    into: [`${NAMES} accept`, ...hostPorts.map((port) => `tcp dport ${port} accept`), ...REJECT],
  });
}

/** Leads to some places and no others. Nothing is asked of a name server: a name can carry anything out. */
export function listRules(
  table: string,
  side: Side,
  openings: readonly Opening[],
  { hostPorts }: HostPorts,
): string {
  const accept = ({ address, port }: Opening) =>
    `${address.includes(":") ? "ip6" : "ip"} daddr ${address} tcp dport ${port} accept`;
  return rules(table, side, {
    through: [...rejecting("ct status dnat"), ...openings.map(accept), ...REJECT],
    into: [...openings.filter(({ port }) => hostPorts.includes(port)).map(accept), ...REJECT],
  });
}

/** What leaves this machine with an address that nobody else knows has the machine's own from there on. */
export const masqueraded = (table: string, block: string): string =>
  [
    `add chain inet ${table} nat { type nat hook postrouting priority srcnat; policy accept; }`,
    `add rule inet ${table} nat ip saddr ${block} oifname != "be*" masquerade`,
  ].join("; ");

export const withoutRules = (table: string): string => `delete table inet ${table}`;

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
      ...TO_CONTAINERS.flatMap(rejecting),
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

/** Both ways out: through this machine, and to it. All at once, in place of the rules that were there before. */
function rules(
  table: string,
  { from, to, fromOthers }: Side,
  ways: { readonly through: readonly string[]; readonly into: readonly string[] },
): string {
  const chain = (name: keyof typeof ways, hook: string) => [
    `add chain inet ${table} ${name} { type filter hook ${hook} priority -10; policy accept; }`,
    ...["ct state established,related accept", ...ways[name]].map((rule) =>
      `add rule inet ${table} ${name} ${from} ${rule}`
    ),
  ];
  return [
    `add table inet ${table}`,
    `flush table inet ${table}`,
    ...chain("through", "forward"),
    ...chain("into", "input"),
    // Nor may other networks of this machine begin to speak to what is here; the machine itself may.
    `add rule inet ${table} through ${fromOthers} ${to} ct state new drop`,
  ].join("; ");
}

/** Whether an address tells a machine who it is. */
export const isMetadata = (address: string): boolean =>
  /^(169\.254\.|100\.100\.100\.200$|168\.63\.129\.16$|fe[89ab][0-9a-f]:|fd00:0?ec2:)/i.test(address);
