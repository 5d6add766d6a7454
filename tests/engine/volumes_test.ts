import { it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { MountedVolume } from "../../sdk/protocol.ts";
import { ociRunner, onEveryEngine, value } from "../setup/oci_world.ts";
import { type TestRunner, tsFunction } from "../setup/runner.ts";
import { until } from "../setup/until.ts";

const mounted = (id: string, path: string, readOnly = false): MountedVolume => ({
  id,
  name: "data",
  storage: "node",
  path,
  readOnly,
});

/** What is asked of the files of a volume: how that ended, and what was said. */
async function asked(runner: TestRunner, id: string, ...command: string[]): Promise<[number, string]> {
  const exec = runner.volumes.exec({ id, storage: "node" }, command);
  const [, said] = await Promise.all([exec.stdout.pipeTo(new WritableStream()), text(exec.stderr)]);
  return [(await exec.exited).code, said];
}

const text = (stream: ReadableStream<Uint8Array>): Promise<string> =>
  new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text();

onEveryEngine("a volume", (world) => {
  it("is where its function mounts it, to write to or only to read, by Deno's rights and the engine's", async () => {
    await using runner = await ociRunner(await world());
    const volumes = [mounted("vol_1", "/data"), mounted("vol_2", "/mnt/kept", true)];
    const source = tsFunction(`async (text, ctx) => {
      const file = ctx.volume("/data") + "/a.txt";
      await Deno.writeTextFile(file, text);
      const refused = await Deno.writeTextFile(ctx.volume("/mnt/kept") + "/a", "").catch(({ name }) => name);
      return [file, await Deno.readTextFile("/mnt/kept/note"), Deno.statSync(file).uid, refused];
    }`);
    const kept = await runner.volumes.folder({ id: "vol_2", storage: "node" });
    await Deno.writeTextFile(`${kept}/note`, "kept");
    runner.api.want({ ...await runner.assign(source), volumes });
    assert.deepEqual(await value(runner, "hello"), ["/data/a.txt", "kept", 65_534, "NotCapable"]);
    assert.equal(await Deno.readTextFile(`${runner.dir}/volumes/vol_1/a.txt`), "hello");

    const python = `import errno, os
def fn(name, ctx):
  try:
    open(os.path.join(ctx.volume("/mnt/kept"), name), "w")
  except OSError as error:
    return [errno.errorcode[error.errno], open("/data/a.txt").read(), os.environ["BERTH_VOLUME_MNT_KEPT"]]
`;
    runner.api.want({ ...await runner.assign(python, { body: "python" }), volumes });
    assert.deepEqual(await value(runner, "spoilt"), ["EROFS", "hello", "/mnt/kept"]);
  });

  it("of another workspace is out of reach, though its name is the same; and links lead nobody out of one", async () => {
    await using runner = await ociRunner(await world());
    const theirs = await runner.volumes.folder({ id: "vol_2", storage: "node" });
    await Deno.writeTextFile(`${theirs}/secret`, "secret");
    const python = `import os
def fn(paths, ctx):
  os.symlink("${runner.dir}", "/data/out")
  os.symlink("../vol_2/secret", "/data/near")
  mounts = [line.split()[1] for line in open("/proc/self/mounts")]
  return [[path for path in paths if os.path.exists(path)], os.listdir("/data/.."), "/data" in mounts]
`;
    runner.api.want({
      ...await runner.assign(python, { body: "python" }),
      volumes: [mounted("vol_1", "/data")],
    });
    const paths = [theirs, `${theirs}/secret`, "/data/near", "/data/out/slots", "/data/../vol_2"];
    const [found, above, isMounted] = await value(runner, paths) as [string[], string[], boolean];
    assert.deepEqual([found, isMounted], [[], true]);
    assert.ok(!above.includes("vol_2"));
    // Nor does who fetches files, since that is the runner.
    assert.match((await asked(runner, "vol_1", "get", "out/volumes/vol_2/secret"))[1], /a link to one/);
    assert.deepEqual(await asked(runner, "vol_1", "get", "."), [0, "near\nout\n"]);
  });

  it("is one file system for all who write to it at once: appends, exclusive creation and rename are atomic", async () => {
    await using runner = await ociRunner(await world());
    const python = `import os
def fn(name, ctx):
  data = ctx.volume("/data")
  open(f"{data}/here-{name}", "w").close()
  while len([one for one in os.listdir(data) if one.startswith("here-")]) < 2: pass
  won = 0
  for n in range(500):
    with open(f"{data}/log", "a") as log: log.write(f"{name} {n} {'x' * 200}\\n")
    try:
      os.close(os.open(f"{data}/claim-{n}", os.O_CREAT | os.O_EXCL))
      won += 1
    except FileExistsError: pass
    with open(f"{data}/.{name}", "w") as part: part.write(name * 5000)
    os.rename(f"{data}/.{name}", f"{data}/newest")
    newest = open(f"{data}/newest").read()
    assert newest in ("a" * 5000, "b" * 5000), len(newest)
  return won
`;
    const volumes = [mounted("vol_1", "/data")];
    const one = await runner.assign(python, { body: "python" });
    const other = await runner.assign(python, { body: "python" });
    runner.api.want({ ...one, volumes }, { ...other, volumes });
    const batch = runner.api.call("fn", ["a", "b"]);
    const ends = await until("both have ended", () => runner.api.endsOf(batch, 2), 120_000);
    const won = ends.map(({ outcome, value }) => outcome === 0 ? value as number : NaN);
    assert.equal(won[0]! + won[1]!, 500, JSON.stringify(ends));
    const lines = (await Deno.readTextFile(`${runner.dir}/volumes/vol_1/log`)).trimEnd().split("\n");
    assert.equal(lines.length, 1_000);
    assert.ok(lines.every((line) => /^[ab] \d+ x{200}$/.test(line)));
  });
});
