import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import { tsFunction } from "../setup/runner.ts";
import { processes } from "../setup/processes.ts";
import { untilTrue } from "../setup/until.ts";

const WHOLE = { read: true, write: true, net: true, run: true, env: true, sys: true, ffi: true } as const;

onEveryEngine("a hostile function", (world) => {
  it("finds nothing of others in what it can read, in Python", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const secret = `secret-${crypto.randomUUID()}`;
    await Deno.writeTextFile(`${runner.dir}/secret`, secret);
    const probe = `import os
def fn(root):
  found = []
  for folder, _, files in os.walk(root):
    if folder.startswith(("/proc", "/sys", "/dev", "/usr")): continue
    for name in files:
      try:
        with open(os.path.join(folder, name), "rb") as file:
          if b"secret-" in file.read(100_000) and name != "app.py": found.append(os.path.join(folder, name))
      except OSError: pass
  commands = []
  for pid in filter(str.isdigit, os.listdir("/proc")):
    try: commands.append(open(f"/proc/{pid}/cmdline").read().split("\\0")[0])
    except OSError: pass
  return [found, sorted(set(os.path.basename(c) for c in commands if c)), os.path.exists("${runner.dir}"), os.path.exists("${here.at.socket}")]
`;
    runner.api.want(
      await runner.assign(tsFunction(`() => "${secret}"`), { name: "other" }),
      await runner.assign(probe, { body: "python" }),
    );
    const [found, commands, folder, socket] = await value(runner, "/") as [
      string[],
      string[],
      boolean,
      boolean,
    ];
    assert.deepEqual([found, folder, socket], [[], false, false]);
    assert.ok(commands.includes("python3") && !commands.includes("deno"), commands.join(" "));
  });

  it("sees no file of the machine with all of Deno's permissions", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const probe = tsFunction(
      `(paths) => paths.map((path) => { try { Deno.statSync(path); return path; } catch { return null; } })`,
    );
    runner.api.want(await runner.assign(probe, { permissions: WHOLE }));
    const paths = [runner.dir, here.at.socket, "/var/run/docker.sock", "/home", "/var/lib", Deno.execPath()]
      .filter((path) => path !== "/usr/bin/deno");
    assert.deepEqual(await value(runner, paths), paths.map(() => null));
  });

  it("cannot lead the gateway to another socket", async () => {
    const here = await world();
    await using runner = await ociRunner(here);
    const source = `import { App } from "berth";
Deno.removeSync("/berth/slot/http.sock");
Deno.symlinkSync("/var/run/docker.sock", "/berth/slot/http.sock");
const app = new App("test");
export const fn = app.endpoint({}, () => new Response("x"));
`;
    runner.api.want(
      await runner.assign(source, {
        permissions: WHOLE,
        methods: [{ name: "fn", kind: "endpoint", endpoint: { name: "fn" } }],
      }),
    );
    await untilTrue("it was refused", () => runner.api.observed.get("ctr_1")?.exit !== undefined);
    assert.match(runner.api.observed.get("ctr_1")!.exit!.message, /endpoints cannot be reached/);
  });

  it("leaves nothing running, whatever it has started", async () => {
    const mark = `9${Math.floor(Math.random() * 1e8)}`;
    await using runner = await ociRunner(await world());
    const source = `import subprocess
def fn(n):
  for _ in range(3):
    subprocess.Popen(["sleep", "${mark}"], start_new_session=True)
  return n
`;
    runner.api.want(await runner.assign(source, { body: "python" }));
    assert.equal(await value(runner, 1), 1);
    const sleepers = () => processes().filter(({ command }) => command.includes(mark));
    await untilTrue("they run", () => sleepers().length === 3);
    runner.api.want();
    await untilTrue("they are gone", () => sleepers().length === 0);
  });
});
