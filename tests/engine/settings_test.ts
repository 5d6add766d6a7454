import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { askedOfWrapped, WRAPPED } from "../setup/components/engine.ts";
import { ownAddress } from "../setup/neighbour.ts";
import { exitOf, failure, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import { tsFunction } from "../setup/runner.ts";
import { TlsServer } from "../setup/tls_server.ts";

const python = { body: "python" } as const;
const plain = "def fn(n):\n  return n + 1\n";

onEveryEngine("the runtime of a node", (world) => {
  it("is what its containers run on, and nothing else is", async () => {
    const here = await world();
    await using runner = await ociRunner(here, { oci: { runtime: WRAPPED } });
    runner.api.want(await runner.assign(plain, python));
    if (here.at.name === "docker") {
      assert.equal(await value(runner, 1), 2);
      assert.match(await askedOfWrapped(here.at.socket), /create/);
      return;
    }
    // This Podman takes no other than its own from anyone.
    assert.match(
      (await exitOf(runner, "ctr_1")).message,
      /Podman ignored the runtime "wrapped" and would take "runc"/,
    );
    await using other = await ociRunner(here, { oci: { runtime: "runc" } });
    other.api.want(await other.assign(plain, python));
    assert.equal(await value(other, 1), 2);
  });

  it("is refused when the engine has no such, at the start where it tells what it has", async () => {
    const here = await world();
    const starting = ociRunner(here, { oci: { runtime: "nothing" } });
    if (here.at.name === "docker") {
      await assert.rejects(starting, /option --oci-runtime: the engine has no "nothing", it has .*runc/);
      return;
    }
    await using runner = await starting;
    runner.api.want(await runner.assign(plain, python));
    assert.match((await exitOf(runner, "ctr_1")).message, /Podman ignored the runtime "nothing"/);
  });
});

onEveryEngine("the certificates that a node is given", (world) => {
  const TYPESCRIPT = tsFunction("async (url) => await (await fetch(url)).text()");
  const PYTHON =
    "from urllib.request import urlopen\ndef fn(url):\n  return urlopen(url, timeout=10).read().decode()\n";

  it("are trusted by TypeScript and by Python, and nowhere else", async () => {
    const here = await world();
    await using server = await TlsServer.start(ownAddress());
    const hostPorts = [server.port];
    const permissions = { net: true };
    {
      await using runner = await ociRunner(here, { oci: { ca: server.ca, hostPorts } });
      runner.api.want(await runner.assign(TYPESCRIPT, { permissions }));
      assert.equal(await value(runner, server.url), "trusted");
      runner.api.want(await runner.assign(PYTHON, python));
      assert.equal(await value(runner, server.url), "trusted");
      const bundle = await Deno.readTextFile(`${runner.dir}/ca.pem`);
      assert.ok(bundle.split("BEGIN CERTIFICATE").length > 10, "those of the machine are trusted as well");
    }
    await using runner = await ociRunner(here, { oci: { hostPorts } });
    runner.api.want(await runner.assign(PYTHON, python));
    assert.match((await failure(runner, server.url)).message, /CERTIFICATE_VERIFY_FAILED/);
  });
});

onEveryEngine("files that a node is told of", (world) => {
  it("must be there, and be what they are said to be, when it starts", async () => {
    const here = await world();
    const starts = (oci: { ca?: string; registryAuth?: string }) => ociRunner(here, { oci });
    await assert.rejects(starts({ ca: "/nowhere.pem" }), /option --ca-bundle: No such file.*nowhere\.pem/);
    await assert.rejects(starts({ ca: "/etc/hostname" }), /option --ca-bundle: there is no certificate in/);
    await assert.rejects(
      starts({ registryAuth: "/nowhere.json" }),
      /option --registry-auth: No such file.*nowhere/,
    );
    await assert.rejects(
      starts({ registryAuth: "/etc/hostname" }),
      /Cannot read the registries' credentials/,
    );
  });
});
