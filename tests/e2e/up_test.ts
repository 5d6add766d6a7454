import { after, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { Platform } from "../setup/platform.ts";
import { familyOf, partsOf, processes } from "../setup/processes.ts";
import { untilTrue } from "../setup/until.ts";

const APP = `
import { App } from "berth";
const app = new App("kept");
export const double = app.function({}, (n: number) => 2 * n);
`;

const alive = (pids: readonly number[]): number[] => {
  const now = new Set(processes().map(({ pid }) => pid));
  return pids.filter((pid) => now.has(pid));
};
const modeOf = async (...path: string[]) => ((await Deno.stat(join(...path))).mode ?? 0) & 0o777;
const healthy = async (platform: Platform) =>
  (await platform.fetch("/healthz").catch(() => null))?.status === 200;

describe("berth up", () => {
  const dirs: string[] = [];
  after(() => Promise.all(dirs.map((dir) => Deno.remove(dir, { recursive: true }))));

  /** One that is stopped, or killed, by the test itself. */
  async function start(dir?: string): Promise<Platform> {
    const platform = await Platform.up({ ...(dir === undefined ? {} : { dir }), simulateGpus: "2xL4:24GiB" });
    if (dir === undefined) dirs.push(platform.dir);
    return platform;
  }

  it("says one line when it is ready, joins this machine, and ends with nothing left on SIGTERM", async () => {
    const platform = await start();
    assert.ok(await healthy(platform));
    const { body } = await platform.ask<{ items: { state: string; gpus: unknown[] }[] }>("/v1/nodes");
    assert.deepEqual(body.items.map(({ state, gpus }) => [state, gpus.length]), [["up", 2]]);
    const family = familyOf(platform.pid).map(({ pid }) => pid);
    assert.ok(family.length >= 3, "itself, the database and the runner");
    platform.kill("SIGTERM");
    assert.equal((await platform.status).code, 0, await platform.said);
    assert.deepEqual(alive(family), []);
  });

  it("writes key and profile for their owner alone", async () => {
    const platform = await start();
    const profile = join(platform.dir, "home/.config/berth/profile.json");
    assert.deepEqual(JSON.parse(await Deno.readTextFile(profile)), { url: platform.url, key: platform.key });
    assert.equal((await Deno.readTextFile(join(platform.dir, "data/key"))).trim(), platform.key);
    const modes = [
      await modeOf(profile),
      await modeOf(profile, ".."),
      await modeOf(platform.dir, "data/key"),
    ];
    assert.deepEqual(modes, [0o600, 0o700, 0o600]);
    platform.kill("SIGINT");
    platform.kill("SIGINT"); // as a terminal and `deno task` send one Ctrl-C
    assert.equal((await platform.status).code, 0);
  });

  it("goes on after kill -9 with the same key and data, and replaces what was left behind", async () => {
    const first = await start();
    await first.deploy(APP);
    assert.equal((await first.call("kept/double", 4)).result, 8);
    const left = familyOf(first.pid).map(({ pid }) => pid);
    first.kill("SIGKILL");
    await first.status;
    const second = await start(first.dir);
    assert.equal(second.key, first.key);
    await untilTrue("the orphans are gone", () => alive(left).length === 0);
    assert.equal((await second.call("kept/double", 5)).result, 10);
    second.kill("SIGTERM");
    assert.equal((await second.status).code, 0, await second.said);
  });

  it("starts database and runner again when they are killed, and stays up", async () => {
    const platform = await start();
    await platform.deploy(APP);
    for (const part of ["postgres", "runner"] as const) {
      const [pid] = partsOf(platform.pid)[part];
      Deno.kill(pid!, "SIGKILL");
      await untilTrue(`${part} runs again`, () => partsOf(platform.pid)[part].some((other) => other !== pid));
      await untilTrue("it is healthy", () => healthy(platform));
    }
    assert.equal((await platform.call("kept/double", 21)).result, 42);
    platform.kill("SIGTERM");
    assert.equal((await platform.status).code, 0, await platform.said);
  });

  it("refuses a folder or a port that is in use, and goes on itself", async () => {
    const platform = await start();
    const port = new URL(platform.url).port;
    const folder = await platform.berth("up", "--port", "0", "--data", join(platform.dir, "data"));
    assert.equal(folder.code, 3);
    assert.match(
      folder.stderr,
      new RegExp(`another \`berth up\` runs there \\(pid ${platform.pid}, ${platform.url}\\)`),
    );
    const taken = await platform.berth("up", "--port", port, "--data", join(platform.dir, "other"));
    assert.equal(taken.code, 3);
    assert.match(
      taken.stderr,
      new RegExp(`Cannot listen on 127\\.0\\.0\\.1:${port}: the port is in use[^]*--port 0`),
    );
    assert.ok(await healthy(platform));
    platform.kill("SIGTERM");
    await platform.status;
  });

  it("refuses GPUs and ports that make no sense before it starts anything", async () => {
    const dir = await Deno.makeTempDir({ prefix: "berth-" });
    dirs.push(dir);
    const data = join(dir, "data");
    const run = (...args: string[]) =>
      new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "-A",
          new URL("../../sdk/cli/main.ts", import.meta.url).pathname,
          "up",
          "--data",
          data,
          ...args,
        ],
        stdin: "null",
      }).output();
    for (
      const args of [["--simulate-gpus", "lots"], ["--simulate-gpus", "0xH100"], ["--port", "70000"], [
        "--port",
        "x",
      ]]
    ) {
      const { code, stderr } = await run(...args);
      assert.equal(code, 2, args.join(" "));
      assert.match(new TextDecoder().decode(stderr), /^error: Cannot (read GPUs|use --port)/);
    }
    await assert.rejects(Deno.stat(data), Deno.errors.NotFound);
  });
});
