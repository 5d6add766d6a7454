import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { EngineHttp } from "../../runner/engines/oci/http.ts";
import { realFetch } from "../../sdk/ports.ts";
import type { DeliveredSecret } from "../../sdk/protocol.ts";
import { clientOf } from "../setup/components/engines.ts";
import { imageOf } from "../setup/components/registry.ts";
import { ociRunner, onEveryEngine, value, type World } from "../setup/oci_world.ts";
import { type TestRunner, tsFunction } from "../setup/runner.ts";
import { untilTrue } from "../setup/until.ts";
import { z } from "zod";

const MIB = 1024 ** 2;

/** A runner where a container for `body` waits from the start on; none, when there is no body. */
async function runnerWithPool({ registry, ...here }: World, body: "ts" | "python" | null) {
  const defaults = body === null ? {} : { [body]: imageOf(registry.host, IMAGES[body]) };
  const runner = await ociRunner({ registry, ...here }, { oci: { poolMiB: 100, defaults } });
  if (body !== null) await aWaitingOne(runner);
  return runner;
}

const IMAGES = { ts: "deno", python: "python" } as const;
const aWaitingOne = (runner: TestRunner) => untilTrue("a container waits", () => runner.prestarted() > 0);

const Row = z.object({ Names: z.tuple([z.string()]) });

/** Names of a runner's containers, whatever they do. */
async function containersOf({ at: { socket } }: World, { dir }: TestRunner): Promise<string[]> {
  const http = new EngineHttp({ socket, fetch: realFetch });
  const filters = JSON.stringify({ label: [`berth.runner=${dir}`] });
  const rows = await http.json(
    z.array(Row),
    `/containers/json?all=true&filters=${encodeURIComponent(filters)}`,
  );
  http.close();
  return rows.map(({ Names: [name] }) => name.replace("/", ""));
}

/** Whether a container is the one that calls itself so: both names end in that of its slot. */
const isIn = (container: string, host: string): boolean => container.endsWith(`-${host.replace("be", "")}`);

/** Says which container it is in (see {@link isIn}), and what of `names` is set there. */
const WHO = `import os, socket, sys
loaded = "wave" in sys.modules
def limits():
  def read(*paths):
    for path in paths:
      if os.path.exists("/sys/fs/cgroup" + path): return int(open("/sys/fs/cgroup" + path).read())
  tmp = os.statvfs("/tmp")
  return [read("/memory/memory.limit_in_bytes", "/memory.max"), read("/pids/pids.max", "/pids.max"), tmp.f_blocks * tmp.f_frsize]
def fn(names, ctx):
  files = [open(ctx.secret_file(key)).read() for key in names[1]]
  return [socket.gethostname(), limits(), [os.environ.get(name) for name in names[0]], files, loaded]
`;

type Who = [host: string, limits: number[], variables: (string | null)[], files: string[], loaded: boolean];

onEveryEngine("a container that was started before anybody wanted it", (world) => {
  it("is what a function gets that wants just such a one, and is used once", async () => {
    const here = await world();
    await using runner = await runnerWithPool(here, "python");
    const waiting = await containersOf(here, runner);
    const isWaiting = (host: string) => waiting.some((one) => isIn(one, host));
    runner.api.want(await runner.assign(WHO, { body: "python" }));
    const [host, limits] = await value(runner, [[], []]) as Who;
    assert.ok(isWaiting(host), `${host} of ${waiting}`);
    assert.deepEqual(limits, [512 * MIB, 512, 256 * MIB]);
    runner.api.want(await runner.assign(WHO, { body: "python", memory: 96 }));
    const [other, less] = await value(runner, [[], []]) as Who;
    assert.ok(!isWaiting(other));
    assert.deepEqual(less, [96 * MIB, 512, 48 * MIB]);
  });

  it("is made for what was used last, with its modules imported; secrets it gets as they are now", async () => {
    const here = await world();
    await using runner = await runnerWithPool(here, null);
    const deliver = (value: string): DeliveredSecret[] => [
      { name: "hf", as: "env", values: { HF_TOKEN: value } },
      { name: "db", as: "files", path: "/run/secrets", values: { PASSWORD: value } },
    ];
    const secrets = deliver("").map(({ values: _, ...ref }) => ref);
    const image = { ref: imageOf(here.registry.host, "python") };
    const spec = {
      body: "python",
      memory: 96,
      env: { MODE: "fast" },
      egress: "deny",
      secrets,
      image,
    } as const;
    const names = [["MODE", "HF_TOKEN"], ["PASSWORD"]];
    runner.api.secrets = deliver("old");
    const preload = ["no_such_module", "wave"];
    runner.api.want(await runner.assign(WHO, { ...spec, secrets, preload }));
    const [, , ...seen] = await value(runner, names) as Who;
    assert.deepEqual(seen, [["fast", "old"], ["old"], true]);
    const lines = [...runner.api.logs.values()].flat().map(([, , , , , line]) => line);
    assert.ok(lines.some((line) => line.startsWith("Cannot preload no_such_module: ")), lines.join());
    await aWaitingOne(runner);
    const waiting = await containersOf(here, runner);
    runner.api.secrets = deliver("new");
    runner.api.want(await runner.assign(`# other code\n${WHO}`, { ...spec, secrets, preload }));
    const [host, limits, ...now] = await value(runner, names) as Who;
    assert.ok(waiting.some((one) => isIn(one, host)), `${host} of ${waiting}`);
    assert.deepEqual([limits, ...now], [[96 * MIB, 512, 48 * MIB], ["fast", "new"], ["new"], true]);
  });

  it("is only created where there is no memory for it to wait in, and starts when it is wanted", async () => {
    const here = await world();
    const client = clientOf(here.at);
    const runner = await ociRunner(here, { oci: { poolMiB: 0 } });
    try {
      const secrets = [{ name: "db", as: "files", path: "/run/secrets" }] as const;
      const deliver = (PASSWORD: string) => runner.api.secrets = [{ ...secrets[0], values: { PASSWORD } }];
      const used = new Set<string>();
      const start = async (code: string) => {
        deliver(code);
        runner.api.want(await runner.assign(`# ${code}\n${WHO}`, { body: "python", secrets: [...secrets] }));
        const [host, , , files] = await value(runner, [[], ["PASSWORD"]]) as Who;
        assert.deepEqual(files, [code]);
        used.add(host);
        return host;
      };
      const theCreated = async () => {
        const unused = async () =>
          (await containersOf(here, runner)).filter((one) => ![...used].some((host) => isIn(one, host)));
        await untilTrue("one is created", async () => (await unused()).length === 1);
        return (await unused())[0]!;
      };
      await start("first");
      const created = await theCreated();
      assert.equal((await client.inspect(created))?.State.Pid, 0);
      assert.ok(isIn(created, await start("second")));
      const next = await theCreated();
      await client.remove(next);
      assert.ok(!isIn(next, await start("third")), "it was removed, and nobody is worse for it");
      assert.equal(runner.prestarted(), 0);
      await theCreated();
    } finally {
      await runner[Symbol.asyncDispose]();
    }
    assert.deepEqual(await containersOf(here, runner), []);
    client.close();
  });

  it("begins with what Deno has compiled for the one before", async () => {
    const here = await world();
    await using runner = await ociRunner(here, { oci: { poolMiB: 0 } });
    const header = `Array.from(Deno.readFileSync("/berth/slot/deno/v8_code_cache_v2-wal").subarray(0, 32))`;
    const spec = { permissions: { read: true } } as const;
    const [host] = [...Deno.readDirSync(`${runner.dir}/host`)].map(({ name }) => name);
    const kept = `${runner.dir}/host/${host}/deno/0/v8_code_cache_v2-wal`;
    runner.api.want(await runner.assign(tsFunction(`() => ${header}`), spec));
    const own = await value(runner, null);
    await untilTrue("that is kept", () => Deno.stat(kept).then(({ size }) => size > 0, () => false));
    runner.api.want(await runner.assign(tsFunction(`() => ${header}`), spec));
    const copied = await value(runner, null);
    assert.notDeepEqual(copied, own);
    assert.deepEqual(copied, [...(await Deno.readFile(kept)).subarray(0, 32)]);
  });

  it("lets TypeScript do what it declares, and no more", async () => {
    const here = await world();
    await using runner = await runnerWithPool(here, null);
    const source = tsFunction(`() => ["/etc/hostname", "/berth/slot/app/app.js"].map((path) => {
      try { return Deno.readTextFileSync(path).trim(); } catch (error) { return error.name; }
    }).concat(Deno.env.get("A"))`);
    const image = { ref: imageOf(here.registry.host, "deno") };
    const spec = { permissions: { read: ["/etc/hostname"] }, env: { A: "1" }, image };
    runner.api.want(await runner.assign(source, spec));
    const [first, ...can] = await value(runner, null) as string[];
    assert.deepEqual(can, ["NotCapable", "1"]);
    await aWaitingOne(runner);
    const waiting = await containersOf(here, runner);
    runner.api.want(await runner.assign(source, spec));
    const [second, ...same] = await value(runner, null) as string[];
    assert.deepEqual(same, can);
    assert.ok(second !== first && waiting.some((one) => isIn(one, second!)), `${second} of ${waiting}`);
  });

  it("is left alone when it has ended, and none stays when the runner leaves", async () => {
    const here = await world();
    const runner = await runnerWithPool(here, "python");
    try {
      const [waiting] = await containersOf(here, runner);
      const client = clientOf(here.at);
      await client.kill(waiting!);
      client.close();
      runner.api.want(await runner.assign(WHO, { body: "python" }));
      const [host] = await value(runner, [[], []]) as Who;
      assert.ok(!isIn(waiting!, host));
      await untilTrue("others wait", () => runner.prestarted() > 0);
    } finally {
      await runner[Symbol.asyncDispose]();
    }
    assert.deepEqual(await containersOf(here, runner), []);
  });
});
