import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Compiled } from "../../runner/engines/oci/compiled.ts";

async function setup() {
  const dir = await Deno.makeTempDir({ prefix: "berth-compiled-" });
  const from = `${dir}/left`, to = `${dir}/laid`;
  await Deno.mkdir(from);
  const compiled = new Compiled(`${dir}/kept`);
  const owner = { uid: Deno.uid()!, gid: Deno.gid()! };
  const lay = (image: string) => {
    compiled.lay(image, to, owner);
    const names = [...Deno.readDirSync(to)].map(({ name }) => name).sort();
    Deno.removeSync(to, { recursive: true });
    return names;
  };
  return {
    from,
    compiled,
    lay,
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

describe("Compiled", () => {
  it("lays what was kept of an image, and nothing of another", async () => {
    await using world = await setup();
    const { compiled, from, lay } = world;
    for (const name of ["v8_code_cache_v2", "v8_code_cache_v2-wal", "v8_code_cache_v2-shm", "npm", "x"]) {
      await Deno.writeTextFile(`${from}/${name}`, name);
    }
    compiled.keep("deno:1", from);
    compiled.keep("broken:1", null);
    assert.deepEqual(lay("deno:1"), ["v8_code_cache_v2", "v8_code_cache_v2-wal"]);
    assert.deepEqual(lay("broken:1"), []);
    assert.throws(() => lay("other:1"), Deno.errors.NotFound);
    assert.deepEqual(["deno:1", "broken:1", "other:1"].map((image) => compiled.has(image)), [
      true,
      true,
      false,
    ]);
  });

  it("keeps no links, of files or of the folder, and no more than there should be", async () => {
    await using world = await setup();
    const { compiled, from, lay } = world;
    await Deno.writeTextFile(`${from}/a_cache_v2`, "");
    await Deno.symlink("/etc/passwd", `${from}/b_cache_v2`);
    compiled.keep("links:1", from);
    assert.deepEqual(lay("links:1"), ["a_cache_v2"]);
    await Deno.symlink(from, `${from}-link`);
    compiled.keep("link:1", `${from}-link`);
    assert.deepEqual(lay("link:1"), []);
    await Deno.truncate(`${from}/a_cache_v2`, 9 * 1024 ** 2);
    compiled.keep("large:1", from);
    assert.deepEqual(lay("large:1"), []);
  });
});
