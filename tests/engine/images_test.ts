import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { parseReference } from "../../sdk/image_reference.ts";
import { clientOf } from "../setup/components/engines.ts";
import { imageOf } from "../setup/components/registry.ts";
import { exitOf, ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import { type TestRunner, tsFunction } from "../setup/runner.ts";
import { untilTrue } from "../setup/until.ts";
import { StalledRegistry } from "../setup/components/stalled_registry.ts";

const source = tsFunction("(n) => n + 1");

async function startWith(runner: TestRunner, ref: string) {
  runner.api.want(await runner.assign(source, { image: { ref } }));
}

onEveryEngine("the images of functions", (world) => {
  it("are pulled when they are not there, with a word to the log", async () => {
    const here = await world();
    const ref = `${here.registry.host}/berth/deno:1`;
    const client = clientOf(here.at);
    await client.tag(ref, parseReference("localhost/kept:1"));
    await client.removeImage(ref);
    client.close();
    await using runner = await ociRunner(here);
    await startWith(runner, ref);
    assert.equal(await value(runner, 1), 2);
    const told = [...runner.api.logs.values()].flat().map(([, , , , , line]) => line);
    assert.ok(told.includes(`Pulling ${ref}`), told.join("\n"));
  });

  it("are refused with the reason: none of this name, wrong password, a registry that is away", async () => {
    const here = await world();
    const { registry: { host, lockedHost, vacantHost } } = here;
    await using runner = await ociRunner(here);
    const refs = [`${host}/berth/nothing:1`, `${lockedHost}/berth/secret:1`, `${vacantHost}/berth/deno:1`];
    runner.api.want(...await Promise.all(refs.map((ref) => runner.assign(source, { image: { ref } }))));
    const [missing, locked, away] = await Promise.all(
      ["ctr_1", "ctr_2", "ctr_3"].map((id) => exitOf(runner, id)),
    );
    for (const exit of [missing, locked, away]) assert.equal(exit!.kind, "start_failed");
    assert.match(missing!.message, /^Cannot pull 127\.0\.0\.1:\d+\/berth\/nothing:1: .*(not found|unknown)/);
    assert.match(locked!.message, /unauthorized|authentication required|no basic auth/);
    assert.match(away!.message, /connection refused/);
  });

  it("are pulled with the credentials of the node", async () => {
    const here = await world();
    const { registry: { lockedHost, user, password } } = here;
    await using folder = await TempFile.of({
      auths: { [lockedHost]: { auth: btoa(`${user}:${password}`) } },
    });
    await using runner = await ociRunner(here, { oci: { registryAuth: folder.path } });
    await startWith(runner, imageOf(lockedHost, "deno"));
    assert.equal(await value(runner, 1), 2);
    await using wrong = await TempFile.of({ auths: { [lockedHost]: { auth: btoa(`${user}:wrong`) } } });
    await using other = await ociRunner(here, { oci: { registryAuth: wrong.path } });
    await startWith(other, imageOf(lockedHost, "deno").replace(":1", ":2"));
    assert.match(
      (await exitOf(other, "ctr_1")).message,
      /unauthorized|authentication required|no basic auth/,
    );
  });

  it("are pulled with the credentials of a secret, where their function names one", async () => {
    const here = await world();
    const { registry: { lockedHost, user, password } } = here;
    const client = clientOf(here.at);
    const image = { ref: imageOf(lockedHost, "deno"), secret: "pull" };
    await client.removeImage(image.ref);
    client.close();
    await using runner = await ociRunner(here);
    runner.api.registryCredential = { username: user, password: "wrong" };
    runner.api.want(await runner.assign(source, { image }));
    assert.match(
      (await exitOf(runner, "ctr_1")).message,
      /unauthorized|authentication required|no basic auth/,
    );
    runner.api.registryCredential = { username: user, password };
    runner.api.want(await runner.assign(source, { image }));
    await untilTrue("the other one starts", () => runner.api.observed.has("ctr_2"));
    assert.equal(await value(runner, 1), 2);
    const told = [...runner.api.logs.values()].flat().map(([, , , , , line]) => line);
    assert.ok(!told.join("\n").includes(password));
  });

  it("fail to come when the registry goes away in the middle", async () => {
    const here = await world();
    await using registry = StalledRegistry.start(here.registry.vacantHost);
    await using runner = await ociRunner(here);
    await startWith(runner, `${registry.host}/berth/large:1`);
    await registry.asked;
    await registry[Symbol.asyncDispose]();
    const exit = await exitOf(runner, "ctr_1");
    assert.equal(exit.kind, "start_failed");
    assert.match(exit.message, /^Cannot pull /);
  });

  it("make room for others, least recently used first, and never while they are used", async () => {
    const here = await world();
    const client = clientOf(here.at);
    await using runner = await ociRunner(here, { oci: { imagesMiB: 0 } });
    const [small, python] = [imageOf(here.registry.host, "busybox"), imageOf(here.registry.host, "python")];
    for (const ref of [small, python]) await client.removeImage(ref);
    const run = async (ref: string) =>
      runner.api.want(
        await runner.assign("def fn(n):\n  return n + 2\n", { body: "python", image: { ref } }),
      );
    await run(small);
    assert.equal((await exitOf(runner, "ctr_1")).kind, "start_failed"); // it has no Python, but it was pulled
    await run(python);
    await untilTrue("the other one starts", () => runner.api.observed.has("ctr_2"));
    assert.equal(await value(runner, 1), 3);
    assert.equal(await client.image(parseReference(small)), null);
    assert.notEqual(await client.image(parseReference(python)), null);
    await client.pull(parseReference(small));
    client.close();
  });
});

onEveryEngine("the image of a container that was made ahead", (world) => {
  it("makes room like any that is not used", async () => {
    const here = await world();
    const client = clientOf(here.at);
    const runner = await ociRunner(here, { oci: { imagesMiB: 0 } });
    const [small, python] = [imageOf(here.registry.host, "busybox"), imageOf(here.registry.host, "python")];
    for (const ref of [small, python]) await client.removeImage(ref);
    const fn = (ref: string) =>
      runner.assign("def fn(n):\n  return n + 2\n", { body: "python", image: { ref } });
    const containers = async () => (await client.containers(`berth.runner=${runner.dir}`)).length;
    try {
      runner.api.want(await fn(python));
      assert.equal(await value(runner, 1), 3);
      await untilTrue("one is created", async () => await containers() === 2);
      runner.api.want();
      await untilTrue("the other one is gone", async () => await containers() === 1);
      runner.api.want(await fn(small));
      await exitOf(runner, "ctr_2");
      assert.equal(await client.image(parseReference(python)), null);
    } finally {
      await runner[Symbol.asyncDispose]();
      for (const ref of [small, python]) await client.pull(parseReference(ref));
      client.close();
    }
  });
});

class TempFile {
  private constructor(readonly path: string) {}

  static async of(value: unknown): Promise<TempFile> {
    const path = await Deno.makeTempFile({ prefix: "berth-auth-" });
    await Deno.writeTextFile(path, JSON.stringify(value));
    return new TempFile(path);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Deno.remove(this.path);
  }
}
