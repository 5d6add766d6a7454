import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { clientOf } from "../setup/components/engines.ts";
import { command } from "../setup/components/daemon.ts";
import { ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";

/** Connects to HOST:PORT and says what came of it. */
const source = `import socket
def fn(place):
  host, port = place.rsplit(":", 1)
  try:
    with socket.create_connection((host, int(port)), timeout=1.5) as connection:
      return connection.recv(100).decode()
  except OSError as error:
    return type(error).__name__
`;

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

/** Of this machine, whichever bridges come and go. */
function ownAddress(): string {
  const own = Deno.networkInterfaces().find(({ name, family }) =>
    family === "IPv4" && !/^(lo|bt|be|podman|docker|veth)/.test(name)
  );
  return own!.address;
}

onEveryEngine("the egress of a function", (world) => {
  it("is open, when nothing is said", async () => {
    const here = await world();
    using host = greeter();
    await using runner = await ociRunner(here);
    runner.api.want(await runner.assign(source, { body: "python" }));
    assert.equal(await value(runner, `${here.at.gateway}:${host.port}`), "hello");
  });

  it("is nowhere when it is denied, and yet the function runs", async () => {
    const here = await world();
    using host = greeter();
    await using runner = await ociRunner(here);
    runner.api.want(await runner.assign(source, { body: "python", egress: "deny" }));
    assert.notEqual(await value(runner, `${here.at.gateway}:${host.port}`), "hello");
    assert.notEqual(await value(runner, `127.0.0.1:${host.port}`), "hello");
  });

  it("leads to the places of its list, and nowhere else; nothing of it is left", async () => {
    const here = await world();
    using allowed = greeter();
    using other = greeter();
    const gateway = ownAddress();
    const runner = await ociRunner(here);
    const tables: string[] = [];
    try {
      runner.api.want(
        await runner.assign(source, { body: "python", egress: [`${gateway}:${allowed.port}`] }),
      );
      assert.equal(await value(runner, `${gateway}:${allowed.port}`), "hello");
      assert.notEqual(await value(runner, `${gateway}:${other.port}`), "hello");
      assert.notEqual(await value(runner, "example.com:80"), "hello"); // there is no name server
      for (const { name } of Deno.readDirSync(`${runner.dir}/slots`)) tables.push(`table inet be${name}`);
      assert.equal(tables.length, 1);
      assert.ok((await command("nft", "list", "tables")).includes(tables[0]!));
    } finally {
      await runner[Symbol.asyncDispose]();
    }
    const client = clientOf(here.at);
    assert.deepEqual(await client.networks(`berth.runner=${runner.dir}`), []);
    client.close();
    assert.ok(!(await command("nft", "list", "tables")).includes(tables[0]!));
  });
});
