import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { OciOptions } from "../../runner/engines/oci/open.ts";
import type { Json } from "../../sdk/protocol.ts";
import { clientOf } from "../setup/components/engines.ts";
import { imageOf } from "../setup/components/registry.ts";
import { addressesOf, ANSWERING, Neighbour, ownAddress } from "../setup/neighbour.ts";
import { end, exitOf, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import type { TestRunner } from "../setup/runner.ts";
import { startStranger } from "../setup/stranger.ts";
import { tables, tablesOfOne } from "../setup/tables.ts";

/** Connects to each HOST:PORT and says what came of it. */
const source = `import socket
def greeting(place):
  host, port = place.rsplit(":", 1)
  try:
    with socket.create_connection((host, int(port)), timeout=5) as connection:
      return connection.recv(100).decode()
  except OSError as error:
    return type(error).__name__
def fn(places):
  return [greeting(place) for place in places]
`;
const python = { body: "python" } as const;

/** Those of the places where somebody says hello. */
async function greeted(runner: TestRunner, places: readonly string[]): Promise<string[]> {
  const said = await value(runner, [...places]) as Json[];
  return places.filter((_, i) => said[i] === "hello");
}

/** Says hello on all addresses of this machine. */
function greeter() {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  (async () => {
    for await (const connection of listener) {
      await connection.write(new TextEncoder().encode("hello")).catch(() => {});
      connection.close();
    }
  })();
  return { port: (listener.addr as Deno.NetAddr).port, [Symbol.dispose]: () => listener.close() };
}

/** Of each port of bridges that containers of a runner share: where packets between them pass no rules, this alone keeps them apart. */
const isolated = (): string[] =>
  [...Deno.readDirSync("/sys/class/net")].filter(({ name }) => /^be[0-9a-f]{12}$/.test(name)).flatMap(
    ({ name }) => {
      const ports = `/sys/class/net/${name}/brif`;
      return [...Deno.readDirSync(ports)].map((port) =>
        Deno.readTextFileSync(`${ports}/${port.name}/isolated`).trim()
      );
    },
  );

/** Who connects a function; what has code from its start on is always connected by the engine. */
const WAYS: readonly [string, Partial<OciOptions>][] = [
  ["the runner", {}],
  ["the engine", { containerAddresses: null }],
];

onEveryEngine("the egress of a function", (world) => {
  for (const [what, oci] of WAYS) {
    it(`is open, connected by ${what}: not to the node, to containers, nor to what clouds tell machines`, async () => {
      const here = await world();
      await using neighbour = await Neighbour.start();
      await using stranger = await startStranger(here.at, imageOf(here.registry.host, "python"));
      using host = greeter();
      await using runner = await ociRunner(here, { oci });
      const beside = await runner.assign(ANSWERING, { ...python, name: "beside" });
      runner.api.want(beside, await runner.assign(source, python));
      const { value } = await end(runner, runner.api.call("beside", [null], "fn"));
      const [hostname, port] = value as [string, number];
      (await Deno.connect({ hostname, port })).close(); // this machine itself may
      assert.deepEqual(isolated(), oci.containerAddresses === null ? ["1", "1"] : []);
      const { place, metadata } = neighbour;
      assert.deepEqual(await greeted(runner, [place]), [place]);
      const node = addressesOf().map((address) => `${address}:${host.port}`);
      assert.ok(node.length > 1, "that by which it is connected is among them");
      assert.deepEqual(await greeted(runner, [metadata, `${hostname}:${port}`, stranger.place, ...node]), []);
    });
  }

  it("leads to the ports of the node that its administrator names", async () => {
    const address = ownAddress();
    using host = greeter();
    using other = greeter();
    await using runner = await ociRunner(await world(), { oci: { hostPorts: [host.port] } });
    runner.api.want(await runner.assign(source, python));
    const [named, unnamed] = [host, other].map(({ port }) => `${address}:${port}`) as [string, string];
    assert.deepEqual(await greeted(runner, [named, unnamed]), [named]);
  });

  it("is nowhere when it is denied, and yet the function runs", async () => {
    await using neighbour = await Neighbour.start();
    using host = greeter();
    await using runner = await ociRunner(await world());
    runner.api.want(await runner.assign(source, { ...python, egress: "deny" }));
    const node = [ownAddress(), "127.0.0.1"].map((address) => `${address}:${host.port}`);
    assert.deepEqual(await greeted(runner, [neighbour.place, ...node]), []);
  });

  for (const [what, connected] of WAYS) {
    it(`leads to the places of its list, and nowhere else, connected by ${what}; nothing of it is left`, async () => {
      const here = await world();
      await using neighbour = await Neighbour.start();
      using allowed = greeter();
      using other = greeter();
      const address = ownAddress();
      const [mine, notMine] = [allowed, other].map(({ port }) => `${address}:${port}`) as [string, string];
      const oci = { hostPorts: [allowed.port, other.port], ...connected };
      const runner = await ociRunner(here, { oci });
      const client = clientOf(here.at);
      const networks = async () =>
        (await client.networks(`berth.runner=${runner.dir}`)).map(({ Name }) => Name);
      let made: readonly string[] = [], ruled: readonly string[] = [];
      try {
        runner.api.want(await runner.assign(source, { ...python, egress: [mine, neighbour.place] }));
        const places = [mine, neighbour.place, notMine, neighbour.metadata, "example.com:80"]; // there is no name server
        assert.deepEqual(await greeted(runner, places), [mine, neighbour.place]);
        made = await networks();
        ruled = made.length > 0 ? made : await tablesOfOne(runner.dir);
        assert.equal(made.length, oci.containerAddresses === null ? 1 : 0);
        assert.match(ruled.join(), /^(be[0-9a-f]{12}_)?be[0-9a-f]{8}$/);
        assert.ok((await tables()).includes(ruled[0]!));
      } finally {
        await runner[Symbol.asyncDispose]();
      }
      assert.deepEqual(await networks(), []);
      assert.deepEqual((await tables()).filter((name) => ruled.includes(name)), []);
      client.close();
    });
  }

  it("is not opened by a function to the node's own ports, nor to what clouds tell machines", async () => {
    using host = greeter();
    await using runner = await ociRunner(await world());
    const refused = [`${ownAddress()}:${host.port}`, "169.254.169.254:80"];
    runner.api.want(
      ...await Promise.all(refused.map((place) => runner.assign(source, { ...python, egress: [place] }))),
    );
    assert.match(
      (await exitOf(runner, "ctr_1")).message,
      /^Cannot allow .* is the node itself, and its --host-ports/,
    );
    assert.match(
      (await exitOf(runner, "ctr_2")).message,
      /^Cannot allow .* hand out a machine's credentials$/,
    );
  });
});
