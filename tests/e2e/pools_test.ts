/** Pools with real processes: from zero to three nodes and back, killed in between; machines that join by themselves. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Call, JoinToken, Node, Pool, Provision } from "../../sdk/protocol.ts";
import { auditOf } from "../setup/audit.ts";
import { CLI, Platform } from "../setup/platform.ts";
import { testDatabase } from "../setup/postgres.ts";
import { processes } from "../setup/processes.ts";
import { until, untilTrue } from "../setup/until.ts";

const APP = `
import { App } from "berth";
const app = new App("grow");
export const square = app.function(
  { gpu: "L4", memory: 128, scale: { max: 3, scaledownWindow: "1s" } },
  async (n: number) => { await new Promise((r) => setTimeout(r, 100)); return n * n; },
);
`;
const CALLS = 200;
const SHAPE = { cpu: 1, memory: 512, gpus: [{ model: "L4", vramMiB: 24_576 }] };
const GROWS = {
  name: "grows",
  provider: "local",
  max: 3,
  shape: SHAPE,
  idleTimeout: "1s",
  config: { poolSize: 0 },
};

/** A platform without a node of its own, on a database that can be audited. */
async function setup() {
  const db = await testDatabase();
  const env = { DATABASE_URL: db.url };
  const start = (dir?: string) =>
    Platform.up({ ...(dir === undefined ? {} : { dir }), env, args: ["--no-runner"] });
  const world = { platform: await start() };
  const { dir } = world.platform;
  return {
    get platform() {
      return world.platform;
    },
    sql: db.sql,
    dir,
    restart: async () => {
      world.platform = await start(dir);
    },
    [Symbol.asyncDispose]: async () => {
      await world.platform[Symbol.asyncDispose]();
      await db[Symbol.asyncDispose]();
    },
  };
}
type World = Awaited<ReturnType<typeof setup>>;

const nodesOf = async ({ platform }: World) =>
  (await platform.all<Node>("/v1/nodes")).filter(({ state }) => state === "up");
const provisionsOf = ({ platform }: World, pool = "grows") =>
  platform.all<Provision>(`/v1/pools/${pool}/provisions`);
const ended = async ({ platform }: World) => (await platform.all<Call>("/v1/calls?state=succeeded")).length;
const submit = async ({ platform }: World, calls = CALLS) => {
  const inputs = Array.from({ length: calls }, (_, n) => n);
  const { status, body } = await platform.post<{ batch: string }>("/v1/apps/grow/functions/square/calls", {
    inputs,
  });
  assert.equal(status, 202);
  return body.batch;
};

/** Processes of the nodes of a platform's pools: runners, and what they started. */
const nodeProcesses = ({ dir }: World) =>
  processes().filter(({ command }) => command.includes(join(dir, "data/nodes")));
const runners = (world: World) =>
  nodeProcesses(world).filter(({ command }) => command.includes("runner/main.ts"));

/** Each call has ended once, with the right result. */
async function assertAllEnded({ platform, sql }: World, batch: string): Promise<void> {
  const text = await (await platform.fetch(`/v1/batches/${batch}/results`)).text();
  const lines = text.trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.length > 0);
  assert.deepEqual(
    lines.map(([index]) => index).sort((a, b) => a - b),
    Array.from({ length: CALLS }, (_, n) => n),
  );
  for (const [index, state, value] of lines) assert.deepEqual([state, value], ["succeeded", index * index]);
  assert.deepEqual(await auditOf(sql), []);
}

/** The pool is at zero, and nothing is left of it. */
async function assertAtZero(world: World): Promise<void> {
  await untilTrue("the pool is at zero", async () => {
    const { body } = await world.platform.ask<Pool>("/v1/pools/grows");
    return body.nodes + body.starting === 0 &&
      (await provisionsOf(world)).every(({ endedAt }) => endedAt !== null);
  }, 60_000);
  await untilTrue("no process is left", () => nodeProcesses(world).length === 0);
  await untilTrue("no folder is left", async () => {
    const left = await Array.fromAsync(Deno.readDir(join(world.dir, "data/nodes")));
    return left.every(({ isFile }) => isFile);
  });
}

describe("a local pool", () => {
  it("grows from zero under load, survives kill -9 of a runner, loses nothing and goes back to zero", async () => {
    await using world = await setup();
    const { platform } = world;
    await platform.deploy(APP);
    await platform.post("/v1/pools", GROWS);
    assert.equal((await nodesOf(world)).length, 0);
    const batch = await submit(world);
    await untilTrue("three nodes are up", async () => (await nodesOf(world)).length === 3, 60_000);
    await untilTrue("calls end", async () => await ended(world) > 10);

    const [victim] = runners(world);
    Deno.kill(victim!.pid, "SIGKILL");
    const failed = await until(
      "its end is noted",
      async () => (await provisionsOf(world)).find(({ state }) => state === "failed") ?? null,
    );
    assert.match(failed.error!, /its machine ended/);
    assert.ok(await ended(world) < CALLS, "all had ended before the kill");
    await untilTrue("all calls have ended", async () => await ended(world) === CALLS, 60_000);
    await assertAllEnded(world, batch);
    const provisions = await provisionsOf(world);
    assert.ok(provisions.length > 3, "another node came for the one that was killed");
    await assertAtZero(world);
  });

  it("is found again after kill -9 of the platform: its nodes go on, none comes twice", async () => {
    await using world = await setup();
    await world.platform.deploy(APP);
    await world.platform.post("/v1/pools", GROWS);
    const batch = await submit(world);
    await untilTrue("three nodes are up", async () => (await nodesOf(world)).length === 3, 60_000);
    const before = runners(world).map(({ pid }) => pid).sort();
    world.platform.kill("SIGKILL");
    await world.platform.status;
    await world.restart();
    await untilTrue("calls end again", async () => await ended(world) > 10);
    assert.deepEqual(runners(world).map(({ pid }) => pid).sort(), before);
    await untilTrue("all calls have ended", async () => await ended(world) === CALLS, 60_000);
    await assertAllEnded(world, batch);
    assert.equal((await provisionsOf(world)).length, 3);
    await assertAtZero(world);
  });

  it("ends with the platform, and leaves no process", async () => {
    await using world = await setup();
    await world.platform.post("/v1/pools", { ...GROWS, min: 2 });
    await untilTrue("two nodes are up", async () => (await nodesOf(world)).length === 2, 60_000);
    world.platform.kill("SIGTERM");
    assert.equal((await world.platform.status).code, 0, await world.platform.said);
    assert.deepEqual(nodeProcesses(world), []);
  });

  it("that can't bring a node yields to the next one, and says why", async () => {
    await using world = await setup();
    const { platform } = world;
    await platform.deploy(APP);
    // A GPU that is not there, of which there is but one to deal out.
    const poor = {
      ...GROWS,
      name: "poor",
      costPerHour: 0.1,
      provisionTimeout: "1s",
      config: { devices: ["77"], poolSize: 0 },
    };
    await platform.post("/v1/pools", poor);
    await platform.post("/v1/pools", { ...GROWS, costPerHour: 5 });
    const batch = await submit(world);
    await untilTrue("all calls have ended", async () => await ended(world) === CALLS, 90_000);
    await assertAllEnded(world, batch);
    const { body } = await platform.ask<Pool>("/v1/pools/poor");
    assert.match(
      body.failure?.message ?? "",
      /the node has 0 × L4|all GPUs of this machine .* are dealt out/,
    );
    await assertAtZero(world);
  });
});

describe("berth join", () => {
  /** `berth join` in a folder of its own, until it says that it has joined. */
  function joinAs(world: World, args: readonly string[]): Deno.ChildProcess {
    const data = join(world.dir, "joined");
    return new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        CLI,
        "join",
        world.platform.url,
        "--data",
        data,
        "--cpu",
        "1",
        "--memory",
        "1GiB",
        "--pool-size",
        "0",
        "--json",
        ...args,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  }

  it("makes a machine a node until it is told to stop; its GPU is taken out when it fails; it drains", async () => {
    await using world = await setup();
    const { platform } = world;
    await platform.deploy(APP);
    await platform.post("/v1/pools", { name: "office", provider: "static" });
    const { body: { token } } = await platform.post<JoinToken>("/v1/pools/office/tokens", {
      expiresIn: "10m",
    });
    const child = joinAs(world, [
      "--token",
      token,
      "--name",
      "box",
      "--simulate-gpus",
      "1xL4",
      "--labels",
      "zone=a",
    ]);
    const said = new Response(child.stderr).text();
    try {
      await untilTrue("it has joined", async () => (await nodesOf(world)).length === 1, 60_000);
      const [node] = await nodesOf(world);
      assert.deepEqual([node!.name, node!.pool, node!.labels], ["box", "office", { zone: "a" }]);
      assert.equal((await platform.call("grow/square", 7)).result, 49);

      const drill = join(world.dir, "joined/ailing-gpus");
      await Deno.writeTextFile(drill, "0 it has fallen off the bus\n");
      await untilTrue(
        "its GPU is out of service",
        async () => (await nodesOf(world))[0]!.gpus[0]!.healthy === false,
      );
      await Deno.remove(drill);
      await untilTrue("its GPU is back", async () => (await nodesOf(world))[0]!.gpus[0]!.healthy);

      const drained = await platform.berth("nodes", "drain", "box", "--json");
      assert.deepEqual([drained.code, JSON.parse(drained.stdout).containers], [0, 0], drained.stderr);
      await platform.berth("nodes", "resume", "box");
      assert.equal((await platform.call("grow/square", 3)).result, 9);
    } finally {
      child.kill("SIGTERM");
      const { code } = await child.status;
      assert.equal(code, 0, await said);
      await child.stdout.cancel();
    }
    assert.deepEqual(processes().filter(({ command }) => command.includes(join(world.dir, "joined"))), []);
  });

  it("says what is wrong with a token, and does not try for ever", async () => {
    await using world = await setup();
    const { platform } = world;
    await platform.post("/v1/pools", { name: "office", provider: "static" });
    const { body: { token } } = await platform.post<JoinToken>("/v1/pools/office/tokens", {
      expiresIn: "1ms",
    });
    for (
      const [given, error] of [[token, /the token expired at/], [
        "join_guessed",
        /the token is unknown/,
      ]] as const
    ) {
      const child = joinAs(world, ["--token", given]);
      const { code, stderr } = await child.output();
      assert.equal(code, 3);
      assert.match(new TextDecoder().decode(stderr), error);
    }
  });
});
