import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Volume } from "../../sdk/protocol.ts";
import { Platform } from "../setup/platform.ts";
import { until } from "../setup/until.ts";

const APP = `
import { App, Volume } from "berth";

const app = new App("files");
const volumes = { "/data": Volume.fromName("notes", { create: true }) };
const kept = { "/data": Volume.fromName("notes", { readOnly: true }) };

export const read = app.function({ volumes: kept }, (name: string, ctx) => Deno.readTextFile(\`\${ctx.volume("/data")}/\${name}\`));
export const write = app.function({ volumes }, async (name: string, ctx) => {
  await Deno.writeTextFile(\`\${ctx.volume("/data")}/\${name}\`, "written by " + name);
});
export const spoil = app.function({ volumes: kept, permissions: { write: true } }, async (name: string, ctx) => {
  await Deno.writeTextFile(\`\${ctx.volume("/data")}/\${name}\`, "spoilt");
});
export const count = app.python("count.py:count", { volumes });
export const web = app.server({
  command: ["python3", "-m", "http.server", "$PORT", "--directory", "$BERTH_VOLUME_DATA"],
  volumes: kept,
});
`;
const COUNT = `
import os
def count(_, ctx):
    path = ctx.volume("/data")
    with open(os.path.join(path, "count.txt"), "w") as file:
        file.write(str(len(os.listdir(os.path.join(path, "inputs")))))
    return os.environ["BERTH_VOLUME_DATA"] == path
`;

describe("a volume", () => {
  it("is filled, worked on by functions, fetched and removed", async () => {
    await using platform = await Platform.up();
    const folder = join(platform.dir, "work");
    await Deno.mkdir(join(folder, "inputs/deep"), { recursive: true });
    await Deno.writeTextFile(join(folder, "inputs/a.txt"), "a");
    await Deno.writeTextFile(join(folder, "inputs/deep/b.txt"), "b");
    await Deno.symlink("a.txt", join(folder, "inputs/link"));
    const berth = async (...args: string[]) => {
      const { code, stdout, stderr } = await platform.berth("volume", ...args);
      return { code, out: `${stdout}${stderr}` };
    };
    const ok = async (...args: string[]) => {
      const { code, out } = await berth(...args);
      assert.equal(code, 0, out);
      return out;
    };

    await platform.deploy(APP, "app.ts", { "count.py": COUNT });
    assert.match(await ok("ls"), /notes +on the first node that writes to it/);
    assert.match((await berth("get", "notes", ".")).out, /nothing has been written to it yet/);
    assert.match(await ok("put", "notes", join(folder, "inputs")), /Put 2 files, 2 B, into notes, as inputs/);
    assert.match(await ok("put", "notes", join(folder, "inputs/a.txt"), "top/"), /as top\/a\.txt/);

    assert.equal((await platform.call("files/read", "inputs/deep/b.txt")).result, "b");
    assert.equal((await platform.call("files/read", "inputs/link")).result, "a");
    assert.equal((await platform.call("files/write", "ts.txt")).state, "succeeded");
    assert.equal((await platform.call("files/count", null)).result, true);
    const spoilt = await platform.call("files/spoil", "ts.txt");
    assert.match(spoilt.failure?.message ?? "", /write access/);
    assert.equal(await (await platform.fetch("/e/files/web/ts.txt")).text(), "written by ts.txt");

    assert.match(await ok("ls", "notes"), /inputs\/.*\n?/);
    const got = join(folder, "got");
    assert.match(await ok("get", "notes", ".", got), /Got 5 files/);
    assert.equal(await Deno.readTextFile(join(got, "count.txt")), "3");
    assert.equal(await Deno.readTextFile(join(got, "ts.txt")), "written by ts.txt");
    assert.equal(await Deno.readLink(join(got, "inputs/link")), "a.txt");
    await ok("get", "notes", "inputs/deep/b.txt", join(folder, "b"));
    assert.equal(await Deno.readTextFile(join(folder, "b")), "b");
    assert.match((await berth("get", "notes", "../../node.json")).out, /without "\.\."/);

    await until("it is measured", async () => {
      const { body } = await platform.ask<Volume>("/v1/volumes/notes");
      return (body.size ?? 0) > 0 ? body : null;
    });
    const bytes = join(platform.dir, "data/runner/volumes");
    assert.equal([...Deno.readDirSync(bytes)].length, 1);
    assert.match((await berth("rm", "notes")).out, /"files\/count", .* would not start any more/);
    assert.equal((await platform.ask("/v1/apps/files", { method: "DELETE" })).status, 200);
    await ok("rm", "notes");
    await until("its bytes are gone", () => [...Deno.readDirSync(bytes)].length === 0 || null);
  });
});
