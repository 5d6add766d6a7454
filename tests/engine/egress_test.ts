import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { OciOptions } from "../../runner/engines/oci/open.ts";
import type { Json } from "../../sdk/protocol.ts";
import { clientOf } from "../setup/components/engines.ts";
import { addressesOf, Neighbour, ownAddress } from "../setup/neighbour.ts";
import { exitOf, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import type { TestRunner } from "../setup/runner.ts";
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

onEveryEngine("the egress of a function", (world) => {
  it("is open, when nothing is said: to others, not to the node, nor to what clouds tell machines", async () => {
    await using neighbour = await Neighbour.start();
    using host = greeter();
    const here = await world();
    await using runner = await ociRunner(here);
    runner.api.want(await runner.assign(source, python));
    const { place, metadata } = neighbour;
    assert.deepEqual(await greeted(runner, [place]), [place]);
    const node = addressesOf().map((address) => `${address}:${host.port}`);
    assert.ok(node.length > 1, "the other end of its link is among them");
    assert.deepEqual(await greeted(runner, [metadata, ...node]), []);
  });

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

  for (
    const [what, connected] of [["the runner", {}], ["the engine", { containerAddresses: null }]] as const
  ) {
    it(`leads to the places of its list, and nowhere else, connected by ${what}; nothing of it is left`, async () => {
      const here = await world();
      await using neighbour = await Neighbour.start();
      using allowed = greeter();
      using other = greeter();
      const address = ownAddress();
      const [mine, notMine] = [allowed, other].map(({ port }) => `${address}:${port}`) as [string, string];
      const oci: Partial<OciOptions> = { hostPorts: [allowed.port, other.port], ...connected };
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
