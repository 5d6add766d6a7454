import { after, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { imageOf } from "../setup/components/registry.ts";
import type { TestEngine } from "../setup/components/engine.ts";
import { startDocker } from "../setup/components/docker.ts";
import { startPodman } from "../setup/components/podman.ts";
import { exitOf, ociRunner, onEveryEngine, value, type World } from "../setup/oci_world.ts";
import { parseReference } from "../../sdk/image_reference.ts";
import { sweepEngineOf } from "../../runner/engines/oci/open.ts";
import { realClock } from "../../sdk/ports.ts";
import { realSpawn } from "../../runner/engines/spawn.ts";
import { RunnerProcess } from "../setup/runner_process.ts";
import { until, untilTrue } from "../setup/until.ts";

const source = "def fn(n):\n  return n + 1\n";
const MINUTE_MS = 60_000;

/** Engines of their own: what is shared must not be killed. */
const own: TestEngine[] = [];
after(() => Promise.all(own.map((engine) => engine.stop())));

async function ownEngine({ at, registry }: World): Promise<TestEngine> {
  const engine = await (at.name === "docker" ? startDocker() : startPodman([registry.host]));
  own.push(engine);
  await engine.client.pull(parseReference(imageOf(registry.host, "python")));
  return engine;
}

onEveryEngine("an engine that is killed under its containers", (world) => {
  it("leaves a function that goes on, or fails cleanly when the engine ends it; and nothing stays", async () => {
    const here = await world();
    const engine = await ownEngine(here);
    await using runner = await ociRunner({ ...here, at: engine });
    const alone = ["192.0.2.1:1"]; // nothing is made ahead of such a one
    runner.api.want(await runner.assign(source, { body: "python", egress: alone }));
    assert.equal(await value(runner, 1), 2);
    await engine.kill();
    assert.equal(await value(runner, 2), 3); // it needs the engine only to end
    await engine.start();
    if (engine.name === "docker") { // which ends what it finds
      assert.equal((await exitOf(runner, "ctr_1")).kind, "node_lost");
    } else {
      assert.equal(await value(runner, 3), 4);
      runner.api.want();
    }
    const none = async () => (await engine.client.containers()).length === 0;
    await untilTrue("no container is left", none, MINUTE_MS);

    await engine.kill();
    const next = await runner.assign(source, { body: "python" });
    runner.api.want(next);
    const observed = () => runner.api.observed.get(next.id)?.observed;
    await untilTrue("it is being started, in vain", () => observed() === "starting");
    await engine.start();
    assert.equal(await value(runner, 4), 5);
  });

  it("takes none of the containers along that wait, or all; the next start works, and nothing of them stays", async () => {
    const here = await world();
    const engine = await ownEngine(here);
    const defaults = { python: imageOf(here.registry.host, "python") };
    const runner = await ociRunner({ ...here, at: engine }, { oci: { poolMiB: 60, defaults } });
    const waits = () => untilTrue("a container waits", () => runner.prestarted() > 0, MINUTE_MS);
    const ids = async () =>
      (await engine.client.containers(`berth.runner=${runner.dir}`)).map(({ Id }) => Id).sort();
    /** Those that run; others are only created. */
    const running = async () => {
      const states = await Promise.all(
        (await ids()).map(async (id) => ({ id, state: await engine.client.inspect(id) })),
      );
      return states.flatMap(({ id, state }) => (state?.State.Pid ?? 0) > 0 ? [id] : []);
    };
    const used = async (n: number) => {
      runner.api.want(await runner.assign(source, { body: "python" }));
      assert.equal(await value(runner, n), n + 1);
    };
    try {
      await waits();
      await engine.kill();
      await used(1); // one that waited needs no engine
      await engine.start();
      if (engine.name === "docker") { // which ends what it finds, those that wait too
        assert.equal((await exitOf(runner, "ctr_1")).kind, "node_lost");
      }
      await used(2);
      await waits();
      const before = await until("none is on its way", async () => {
        const ids = await running();
        return ids.length === runner.prestarted() + 1 ? ids : null;
      });
      await engine.kill();
      await engine.start();
      if (engine.name === "docker") {
        const gone = async () => (await ids()).every((id) => !before.includes(id));
        await untilTrue("those that waited are gone", gone, MINUTE_MS);
      } else {
        const after = await running();
        assert.deepEqual(before.filter((id) => !after.includes(id)), []);
      }
      await used(3);
      await waits();
    } finally {
      await runner[Symbol.asyncDispose]();
    }
    assert.deepEqual(await ids(), []);
    assert.deepEqual(await engine.client.networks(`berth.runner=${runner.dir}`), []);
  });

  it("is told of while it is away, and is back by itself", async () => {
    const here = await world();
    const engine = await ownEngine(here);
    await using runner = await ociRunner({ ...here, at: engine });
    const away = () => runner.api.engine?.away;
    await untilTrue("it is there", () => away() === null);
    await engine.kill();
    await untilTrue("it is away", () => away()?.startsWith(`${engine.socket}: `) === true, MINUTE_MS);
    await engine.start();
    await untilTrue("it is back", () => away() === null, MINUTE_MS);
    runner.api.want(await runner.assign(source, { body: "python" }));
    assert.equal(await value(runner, 1), 2);
  });

  it("is waited for by a runner that starts before it", async () => {
    const engine = await ownEngine(await world());
    await engine.kill();
    await using runner = await RunnerProcess.start("--engine", "oci", "--oci-socket", engine.socket);
    await untilTrue("it waits", async () => /oci\.waiting/.test(await runner.said()));
    assert.equal(runner.api.joins.length, 0);
    await engine.start();
    await untilTrue("it has joined", () => runner.api.joins.length > 0, MINUTE_MS);
  });

  it("is swept of what a killed runner left", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    runner.api.want(await runner.assign(source, { body: "python", egress: ["192.0.2.1:1"] }));
    assert.equal(await value(runner, 1), 2);
    const { client } = own.find(({ name }) => name === here.at.name)!;
    assert.equal(await sweepEngineOf({ client, spawn: realSpawn, clock: realClock }, runner.dir), 0); // another engine has none of it
    const shared = (await import("../setup/components/engines.ts")).clientOf(here.at);
    assert.equal(await sweepEngineOf({ client: shared, spawn: realSpawn, clock: realClock }, runner.dir), 1);
    assert.deepEqual(await shared.networks(`berth.runner=${runner.dir}`), []);
    assert.equal((await exitOf(runner, "ctr_1")).kind, "node_lost");
    shared.close();
  });
});
