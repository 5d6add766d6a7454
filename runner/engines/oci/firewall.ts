/** Rules that let a bridge reach some places and no others. Pure. */

/** One address and port that may be reached. */
export interface Opening {
  readonly address: string;
  readonly port: number;
}

/**
 * Commands for nft. Both ways out are held: through this machine (`forward`) and to it (`input`). Nothing is asked of a name server:
 * names are looked up before, and a name can carry anything out. Nor may others of this machine's networks begin to speak to what is
 * on it; this machine itself may.
 */
export function rulesOf(bridge: string, openings: readonly Opening[]): string {
  const accept = openings.map(({ address, port }) =>
    `iifname "${bridge}" ${address.includes(":") ? "ip6" : "ip"} daddr ${address} tcp dport ${port} accept`
  );
  const rules = [
    `iifname "${bridge}" ct state established,related accept`,
    ...accept,
    `iifname "${bridge}" drop`,
  ];
  const inward = `iifname != "${bridge}" oifname "${bridge}" ct state new drop`;
  const chain = (name: string, hook: string, more: readonly string[] = []) => [
    `add chain inet ${bridge} ${name} { type filter hook ${hook} priority -10; policy accept; }`,
    ...[...rules, ...more].map((rule) => `add rule inet ${bridge} ${name} ${rule}`),
  ];
  return [`add table inet ${bridge}`, ...chain("through", "forward", [inward]), ...chain("into", "input")]
    .join("; ");
}

export const withoutRules = (bridge: string): string => `delete table inet ${bridge}`;
