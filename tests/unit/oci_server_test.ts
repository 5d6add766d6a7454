import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { behind, listRules } from "../../runner/engines/oci/firewall.ts";
import { listensAtHomeOnly } from "../../runner/engines/oci/listening.ts";
import { serverCommand, serverEnv } from "../../runner/engines/oci/server_command.ts";
import { ServerSpec } from "../../sdk/protocol.ts";

describe("serverCommand()", () => {
  it("is told of a port of its own, or of its socket; without a command the image runs what it likes", () => {
    const told = (server: object) => {
      const spec = ServerSpec.parse(server);
      return [serverCommand(spec, {}), serverEnv(spec)];
    };
    assert.deepEqual(told({}), [null, { PORT: "8000" }]);
    assert.deepEqual(told({ command: ["serve", "$PORT"], port: 80 }), [["serve", "80"], { PORT: "80" }]);
    const socket = "/berth/slot/http.sock";
    assert.deepEqual(told({ command: ["serve", "--unix=$BERTH_SOCKET"], socket: true }), [
      ["serve", `--unix=${socket}`],
      { BERTH_SOCKET: socket },
    ]);
  });
});

describe("listensAtHomeOnly()", () => {
  const line = (local: string, state = "0A") =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:0 0 0`;

  it("knows a port that only the loopback listens on", () => {
    const table = ["  sl  local_address rem_address   st", line("0100007F:1F40"), line("00000000:0050")].join(
      "\n",
    );
    assert.equal(listensAtHomeOnly(table, 8_000), true);
    assert.equal(listensAtHomeOnly(table, 80), false);
    assert.equal(listensAtHomeOnly(table, 81), false);
    assert.equal(listensAtHomeOnly(line("0100007F:1F40", "01"), 8_000), false);
    assert.equal(listensAtHomeOnly(`${line("0100007F:1F40")}\n${line("0500A8C0:1F40")}`, 8_000), false);
  });
});

describe("listRules()", () => {
  it("lets nothing out but to the openings, and nothing of other networks in", () => {
    const rules = listRules("be1", behind("be1"), [{ address: "10.0.0.7", port: 5432 }], { hostPorts: [] })
      .split("; ");
    const through = rules.filter((rule) => rule.startsWith("add rule inet be1 through "));
    assert.deepEqual(through.map((rule) => rule.replace("add rule inet be1 through ", "")), [
      'iifname "be1" ct state established,related accept',
      'iifname "be1" ct status dnat meta l4proto tcp reject with tcp reset',
      'iifname "be1" ct status dnat reject with icmpx type admin-prohibited',
      'iifname "be1" ip daddr 10.0.0.7 tcp dport 5432 accept',
      'iifname "be1" meta l4proto tcp reject with tcp reset',
      'iifname "be1" reject with icmpx type admin-prohibited',
      'iifname != "be1" oifname "be1" ct state new drop',
    ]);
  });
});
