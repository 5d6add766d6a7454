/** Nodes on this machine as real processes, with a runner that only lives and dies. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { openLocalNodes } from "../../api/local_nodes.ts";
import { LocalProvider } from "../../scheduler/providers/local.ts";
import type { Machine, Order } from "../../scheduler/providers/provider.ts";
import { realClock, silentLog } from "../../sdk/ports.ts";
import { kill, namedProcess } from "../../sdk/proc.ts";
import { ManualClock } from "../setup/manual_clock.ts";
import { shape } from "../setup/snapshots.ts";
import { until, untilTrue } from "../setup/until.ts";

const RUNNER = new URL("../fixtures/pretend_runner.ts", import.meta.url).pathname;

const order = (provision: string, some: Partial<Order> = {}, life = "long"): Order => ({
  provision,
  pool: "gpu",
  shape: shape("L4", 0, { cpuMilli: 1_500, memoryMiB: 2_048, labels: { life } }),
  config: {},
  token: "join_secret",
  ...some,
});

async function setup(
  { clock = realClock, env = {} }: { clock?: typeof realClock; env?: Record<string, string> } = {},
) {
  const folder = await Deno.makeTempDir({ prefix: "berth-nodes-" });
  const options = {
    folder,
    api: () => "unix:/api.sock",
    runner: RUNNER,
    env: { PATH: Deno.env.get("PATH")!, HOME: Deno.env.get("HOME")!, ...env },
    clock,
    log: silentLog,
  };
  const provider = new LocalProvider(options);
  const named = (provision: string) => namedProcess(join(folder, provision, "runner.pid"));
  return {
    folder,
    provider,
    /** Another process that looks at the same folder, after a restart. */
    again: () => new LocalProvider(options),
    named,
    up: (provision: string) => until(`${provision} is up`, () => named(provision)),
    started: async (provision: string) =>
      JSON.parse(await Deno.readTextFile(join(folder, provision, "args"))),
    states: async (of = provider) => (await of.list()).map(({ provision, state }) => `${provision} ${state}`),
    [Symbol.asyncDispose]: async () => {
      for (const { provision } of await new LocalProvider(options).list()) {
        const pid = named(provision);
        if (pid !== null) kill(pid);
      }
      provider.kill();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

const machine = (provision: string): Machine => ({ provision, external: "", state: "there", message: "" });

describe("LocalProvider", () => {
  it("starts a runner with what the pool says, and keeps from it what is no business of its", async () => {
    const env = { DATABASE_URL: "postgres://secret", BERTH_ADMIN_KEY: "secret", HTTPS_PROXY: "http://proxy" };
    await using world = await setup({ env });
    const gpus = shape("L4", 2).gpus;
    await world.provider.start(
      order("prov_1", { config: { poolSize: 0 }, shape: { ...order("").shape, gpus } }),
    );
    await world.up("prov_1");
    const { args, env: given } = await until(
      "it has said what it got",
      () => world.started("prov_1").catch(() => null),
    );
    const flag = (name: string) => args[args.indexOf(name) + 1];
    assert.deepEqual(["--cpu", "--memory", "--simulate-gpus", "--pool", "--pool-size"].map(flag), [
      "1.5",
      "2048",
      "2xL4:80GiB",
      "gpu",
      "0",
    ]);
    assert.deepEqual([given.BERTH_API, given.BERTH_JOIN_TOKEN], ["unix:/api.sock", "join_secret"]);
    assert.deepEqual([given.DATABASE_URL, given.BERTH_ADMIN_KEY, given.HTTPS_PROXY], [
      undefined,
      undefined,
      "http://proxy",
    ]);
    assert.doesNotMatch(args.join(" "), /join_secret/);
  });

  it("starts one however often it is told to, and lists it from then on", async () => {
    await using world = await setup();
    const first = await world.provider.start(order("prov_1"));
    assert.deepEqual(await world.states(), ["prov_1 there"]);
    assert.equal(await world.provider.start(order("prov_1")), first);
    const pid = await world.up("prov_1");
    assert.match(await world.provider.start(order("prov_1")), new RegExp(`^process ${pid} in `));
  });

  it("is found again by another process, even before it has named itself", async () => {
    await using world = await setup();
    await world.provider.start(order("prov_1"));
    assert.deepEqual(await world.states(world.again()), ["prov_1 there"]);
    const external = await world.again().start(order("prov_1"));
    assert.match(external, new RegExp(`^process ${await world.up("prov_1")} in `));
  });

  it("says why one ended before it joined", async () => {
    await using world = await setup();
    await world.provider.start(order("prov_1", {}, "broken"));
    const gone = await until(
      "it has ended",
      async () => (await world.provider.list()).find(({ state }) => state === "gone") ?? null,
    );
    assert.equal(gone.message, "Cannot start the runner: option --cpu: nonsense");
  });

  it("stops in order, and clears away what is left", async () => {
    await using world = await setup();
    await world.provider.start(order("prov_1"));
    await world.up("prov_1");
    await world.provider.stop(machine("prov_1"));
    await untilTrue("it is gone", async () => (await world.states()).join() === "prov_1 gone");
    await world.provider.stop(machine("prov_1"));
    assert.deepEqual(await world.states(), []);
    await assert.rejects(Deno.stat(join(world.folder, "swept")), Deno.errors.NotFound);
  });

  it("notices one that was killed, and has what it left running ended", async () => {
    await using world = await setup();
    await world.provider.start(order("prov_1"));
    kill(await world.up("prov_1"));
    await untilTrue("it is gone", async () => (await world.states()).join() === "prov_1 gone");
    await world.provider.stop(machine("prov_1"));
    assert.deepEqual(await world.states(), []);
    assert.equal(await Deno.readTextFile(join(world.folder, "swept")), "swept\n");
  });

  it("kills one that will not stop", async () => {
    const clock = new ManualClock();
    await using world = await setup({ clock });
    await world.provider.start(order("prov_1", {}, "stubborn"));
    const pid = await world.up("prov_1");
    await world.provider.stop(machine("prov_1"));
    await clock.advance(19_999);
    await world.provider.stop(machine("prov_1"));
    assert.equal(world.named("prov_1"), pid);
    await clock.advance(1);
    await world.provider.stop(machine("prov_1"));
    await untilTrue("it is gone", () => world.named("prov_1") === null);
  });

  it("deals the GPUs of the machine out, none twice, and says when there are no more", async () => {
    await using world = await setup();
    const real = (provision: string) =>
      order(provision, {
        config: { devices: ["0", "1", "2"] },
        shape: { ...order("").shape, gpus: shape("L4", 1).gpus },
      });
    const devices: string[] = [];
    for (const provision of ["prov_1", "prov_2", "prov_3"]) {
      await world.provider.start(real(provision));
      await world.up(provision);
      const { env, args } = await until(
        "it has said what it got",
        () => world.started(provision).catch(() => null),
      );
      devices.push(env.CUDA_VISIBLE_DEVICES);
      assert.ok(!args.includes("--simulate-gpus"));
    }
    assert.deepEqual(devices, ["0", "1", "2"]);
    await assert.rejects(
      world.provider.start(real("prov_4")),
      /all GPUs of this machine .* are dealt out: 0, 1, 2/,
    );
    kill(world.named("prov_2")!);
    await untilTrue("it is gone", async () => (await world.states()).includes("prov_2 gone"));
    for (const provision of ["prov_2", "prov_4"]) await world.provider.stop(machine(provision));
    await world.provider.start(real("prov_5"));
    await world.up("prov_5");
  });

  it("goes down with its machine: all end, none is started or taken for gone", async () => {
    await using world = await setup();
    for (const provision of ["prov_1", "prov_2"]) {
      await world.provider.start(order(provision));
      await world.up(provision);
    }
    await world.provider.close();
    assert.deepEqual([world.named("prov_1"), world.named("prov_2")], [null, null]);
    await assert.rejects(world.provider.list(), /it goes down/);
    await assert.rejects(world.provider.start(order("prov_3")), /it goes down/);
  });
});

describe("openLocalNodes()", () => {
  it("gives a folder to one process at a time, which is called the same after a restart", async () => {
    const folder = await Deno.makeTempDir({ prefix: "berth-nodes-" });
    const options = { folder, api: () => "", env: {}, clock: realClock, log: silentLog };
    const first = await openLocalNodes(options);
    assert.equal(await openLocalNodes(options), null);
    first!.release();
    const second = await openLocalNodes(options);
    assert.equal(second!.keeper, first!.keeper);
    second!.release();
    await Deno.remove(folder, { recursive: true });
  });
});
