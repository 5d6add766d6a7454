import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Block, parseRoutes } from "../../runner/engines/oci/addresses.ts";
import { behind, inGroup, listRules, masqueraded, openRules } from "../../runner/engines/oci/firewall.ts";
import { withinReach } from "../../runner/engines/oci/resolver.ts";

/** As the kernel says it: all else by eth0, 10.200.0.0/16 by wg0, one address by be0. */
const ROUTES = parseRoutes(
  `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
wg0\t0000C80A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
be0\t070013C6\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
`,
);

describe("a block of addresses", () => {
  it("gives each but those of the machine and of its ends, and begins anew", () => {
    const block = new Block("10.0.0.16/28");
    assert.equal(block.gateway, "10.0.0.17");
    assert.deepEqual([0, 1, 12, 13].map((i) => block.at(i)), [
      "10.0.0.18",
      "10.0.0.19",
      "10.0.0.30",
      "10.0.0.18",
    ]);
  });

  it("is refused when it is none, has no room, or begins within another", () => {
    for (
      const text of [
        "",
        "10.0.0.0",
        "10.0.0/24",
        "10.0..0/24",
        "10.0.0.256/24",
        "10.0.0.0/29",
        "10.0.0.0/7",
        "10.0.0.8/24",
      ]
    ) {
      assert.throws(() => new Block(text), /must be ADDRESS\/BITS, such as 10\.77\.0\.0\/20/, text);
    }
  });

  it("is taken where a route leads to some of it, be it wider or narrower; not by the way to all else", () => {
    const taker = (text: string) => new Block(text).takenBy(ROUTES)?.device;
    assert.deepEqual(["10.200.77.0/24", "10.192.0.0/10", "198.19.0.0/18"].map(taker), ["wg0", "wg0", "be0"]);
    assert.deepEqual(["10.201.0.0/16", "198.19.64.0/18"].map(taker), [undefined, undefined]);
  });
});

describe("name servers of a container", () => {
  it("are those of the machine that it can reach", () => {
    const text = "# made\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fd00::1\nsearch a.example\n";
    assert.equal(withinReach(text), "# made\nnameserver 10.0.0.2\nsearch a.example\n");
    assert.equal(withinReach("nameserver 127.0.0.53\nnameserver ::1\noptions edns0\n"), null);
    assert.equal(withinReach(""), null);
  });
});

describe("rules of links", () => {
  it("know those of open egress by their group, and one with a list by its name", () => {
    const open = openRules("be1_open", inGroup(7), { hostPorts: [] }).split("; ");
    const listed = listRules("be1_be2", behind("be2"), [], { hostPorts: [] }).split("; ");
    for (
      const [rules, from, to, others] of [
        [open, "iifgroup 7", "oifgroup 7", "iifgroup != 7"],
        [listed, 'iifname "be2"', 'oifname "be2"', 'iifname != "be2"'],
      ] as const
    ) {
      const own = rules.filter((rule) => rule.startsWith("add rule"));
      assert.ok(
        own.every((rule) => rule.includes(` ${from} `) || rule.endsWith(`${others} ${to} ct state new drop`)),
      );
      assert.equal(own.filter((rule) => rule.endsWith("ct state new drop")).length, 1);
    }
  });

  it("lead no container of open egress to those of others", () => {
    const open = openRules("be1_open", inGroup(7), { hostPorts: [] });
    for (const where of ['oifname "be*"', 'oifname "docker0"', 'oifname "podman*"', 'oifname "br-*"']) {
      assert.match(
        open,
        new RegExp(`iifgroup 7 [^;]*${where.replaceAll("*", "\\*")} meta l4proto tcp reject`),
      );
    }
  });

  it("give what leaves the machine its own address", () => {
    assert.match(masqueraded("t", "10.0.0.0/20"), /ip saddr 10\.0\.0\.0\/20 oifname != "be\*" masquerade$/);
  });
});
