import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Block } from "../../runner/engines/oci/addresses.ts";
import { serversOfMachine } from "../../runner/engines/oci/resolver.ts";
import { clientOf } from "../setup/components/engines.ts";
import { command } from "../setup/components/daemon.ts";
import { Neighbour, OWN_ADDRESS } from "../setup/neighbour.ts";
import { end, exitOf, ociRunner, onEveryEngine, value, type World } from "../setup/oci_world.ts";
import { tablesOf } from "../setup/tables.ts";

const BLOCK = new Block("198.19.64.0/28");
const python = { body: "python" } as const;
/** Where it is, as far as it knows; and whether the place greets it. */
const SOURCE = `import socket
${OWN_ADDRESS}
def fn(place):
  host, port = place.rsplit(":", 1)
  try:
    with socket.create_connection((host, int(port)), timeout=5) as connection:
      said = connection.recv(100).decode()
  except OSError as error:
    said = type(error).__name__
  by_name = socket.gethostbyname(socket.gethostname())
  return [said, own_address(), by_name, open("/etc/resolv.conf").read(), open("/sys/class/net/eth0/mtu").read().strip()]
`;

const forwarding = () => command("iptables", "-S", "FORWARD");
/** Of the way to all else. */
async function mtuOfMachine(): Promise<string> {
  const [, device] = / dev (\S+)/.exec(await command("ip", "route", "show", "default"))!;
  return (await Deno.readTextFile(`/sys/class/net/${device}/mtu`)).trim();
}

const networks = async ({ at }: World, dir: string): Promise<number> => {
  const client = clientOf(at);
  const { length } = await client.networks(`berth.runner=${dir}`);
  client.close();
  return length;
};

onEveryEngine("a container that the runner connects", (world) => {
  it("has an address of its own, a name, and the machine's name servers; an engine's network is not made", async () => {
    const here = await world();
    await using neighbour = await Neighbour.start();
    await using runner = await ociRunner(here, { oci: { containerAddresses: BLOCK } });
    const taken: string[] = [];
    for (const name of ["a", "b"]) {
      runner.api.want(...runner.api.wanted, await runner.assign(SOURCE, { ...python, name }));
      const batch = runner.api.call(name, [neighbour.place], "fn");
      const [said, address, byName, servers, mtu] = (await end(runner, batch)).value as string[];
      assert.deepEqual([said, byName, servers], ["hello", "127.0.1.1", serversOfMachine()]);
      assert.match(address!, /^198\.19\.64\.([2-9]|1[0-4])$/);
      assert.equal(mtu, await mtuOfMachine());
      taken.push(address!);
    }
    assert.equal(new Set(taken).size, 2);
    assert.equal(await networks(here, runner.dir), 0);
  });

  it("gets out where the machine leads on only what it knows, and nothing of it is left", async () => {
    const here = await world();
    await using neighbour = await Neighbour.start();
    const drop = ["FORWARD", "-s", BLOCK.text, "-j", "DROP"]; // as the policy of Docker's machines, for these containers alone
    await command("iptables", "-A", ...drop);
    try {
      const runner = await ociRunner(here, { oci: { containerAddresses: BLOCK } });
      try {
        runner.api.want(await runner.assign(SOURCE, python));
        assert.deepEqual((await value(runner, neighbour.place) as string[])[0], "hello");
        assert.match(await forwarding(), /-A FORWARD .*--comment be\w+_open -j ACCEPT/);
        assert.equal((await tablesOf(runner.dir)).length, 1);
      } finally {
        await runner[Symbol.asyncDispose]();
      }
      assert.doesNotMatch(await forwarding(), /--comment be/);
      assert.deepEqual(await tablesOf(runner.dir), []);
    } finally {
      await command("iptables", "-D", ...drop);
    }
  });

  it("has no address that another has, and does not start when none is left", async () => {
    const [near, far] = ["be0taken", "nb0taken"]; // as if another runner had laid it
    await command("ip", "link", "add", near, "type", "veth", "peer", "name", far);
    try {
      await command("ip", "link", "set", near, "up");
      const all = Array.from({ length: 13 }, (_, i) => BLOCK.at(i));
      const take = async (addresses: readonly string[]) => {
        for (const address of addresses) await command("ip", "route", "replace", address, "dev", near);
      };
      await take(all.slice(0, 8));
      await using runner = await ociRunner(await world(), { oci: { containerAddresses: BLOCK } });
      runner.api.want(await runner.assign(SOURCE, python));
      const [, address] = await value(runner, "127.0.0.1:1") as string[];
      assert.ok(all.slice(8).includes(address!), address);
      await take(all.filter((one) => one !== address));
      runner.api.want(...runner.api.wanted, await runner.assign(SOURCE, python));
      assert.match(
        (await exitOf(runner, "ctr_2")).message,
        /addresses of 198\.19\.64\.0\/28 are used already/,
      );
    } finally {
      await command("ip", "link", "delete", near);
    }
  });

  it("is connected by its engine where the addresses lead elsewhere, or firewalld would not let it out", async () => {
    const here = await world();
    await using neighbour = await Neighbour.start();
    const byEngine = async (containerAddresses: Block) => {
      await using runner = await ociRunner(here, { oci: { containerAddresses } });
      runner.api.want(await runner.assign(SOURCE, python));
      assert.deepEqual((await value(runner, neighbour.place) as string[])[0], "hello");
      assert.equal(await networks(here, runner.dir), 1);
    };
    const [host] = neighbour.place.split(":");
    await byEngine(new Block(`${host!.replace(/\d+$/, "0")}/24`));
    await command("nft", "add", "table", "inet", "firewalld"); // all that is looked for
    try {
      await byEngine(BLOCK);
    } finally {
      await command("nft", "delete", "table", "inet", "firewalld");
    }
  });
});
