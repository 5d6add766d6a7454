/** `berth artifact` against a real api, with files on the disk. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { TestApi } from "../setup/api.ts";
import { berth, type Said } from "../setup/shell.ts";

async function setup() {
  const api = await TestApi.start();
  const cwd = await Deno.makeTempDir({ prefix: "berth-artifact-" });
  const run = (...args: string[]): Promise<Said> =>
    berth(
      ["artifact", ...args],
      ({ method, path, body }) => api.fetch(path, { method, ...(method === "GET" ? {} : { raw: body }) }),
      { cwd },
    );
  const write = (name: string, text: string) => Deno.writeTextFile(`${cwd}/${name}`, text);
  const read = (name: string) => Deno.readTextFile(`${cwd}/${name}`);
  return {
    api,
    cwd,
    run,
    write,
    read,
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await Deno.remove(cwd, { recursive: true });
    },
  };
}

describe("berth artifact", () => {
  it("puts files as versions, points aliases, and gets them back", async () => {
    await using world = await setup();
    const { run, write, read } = world;
    await write("weights.bin", "one");
    assert.match((await run("put", "model", "weights.bin")).out, /^model@1, 3 B, from weights\.bin$/m);
    await write("weights.bin", "two two");
    const { version, size } = JSON.parse((await run("put", "model", "weights.bin", "--json")).out);
    assert.deepEqual([version, size], [2, 7]);
    assert.match((await run("alias", "model", "production", "1")).out, /^model@production is version 1$/m);
    assert.match(
      (await run("get", "model@production", "-o", "out.bin")).out,
      /^model@1, 3 B, is in .*\/out\.bin$/m,
    );
    assert.equal(await read("out.bin"), "one");
    await run("get", "model", "-o", "out.bin");
    assert.equal(await read("out.bin"), "two two");
    assert.deepEqual([...Deno.readDirSync(world.cwd)].map(({ name }) => name).sort(), [
      "out.bin",
      "weights.bin",
    ]);
  });

  it("lists artifacts and versions, and shows one", async () => {
    await using world = await setup();
    const { run, write } = world;
    assert.match((await run()).err, /^No artifacts\./);
    for (const text of ["one", "two two"]) {
      await write("f", text);
      await run("put", "model", "f");
    }
    await run("alias", "model", "production", "1");
    assert.match(
      (await run()).out,
      /^ARTIFACT +NEWEST +VERSIONS +SIZE +MADE +ALIASES\nmodel +2 +2 +7 B +now +production=1$/m,
    );
    const { out } = await run("ls", "model");
    assert.match(out, /^ +2 +7 B +now +uploaded$/m);
    assert.match(out, /^ +1 +3 B +now +uploaded +production$/m);
    assert.match(
      (await run("show", "model@production")).out,
      /^artifact +model@1\naliases +production\nsize +3 B$/m,
    );
    const { items } = JSON.parse((await run("ls", "--json")).out);
    assert.deepEqual([items[0].name, items[0].newest.version], ["model", 2]);
  });

  it("moves with --from only what is there, and deletes what no alias points at", async () => {
    await using world = await setup();
    const { run, write } = world;
    for (const text of ["one", "two"]) {
      await write("f", text);
      await run("put", "model", "f");
    }
    assert.equal((await run("alias", "model", "production", "1", "--from", "none")).code, 0);
    const refused = await run("alias", "model", "production", "2", "--from", "2");
    assert.deepEqual([refused.code, /points at version 1, not at version 2/.test(refused.err)], [3, true]);
    assert.equal((await run("alias", "model", "production", "2", "--from", "1")).code, 0);
    assert.match((await run("rm", "model@2")).err, /"production" points at it/);
    assert.match((await run("unalias", "model", "production")).out, /it was version 2$/m);
    assert.match((await run("rm", "model@2")).out, /^model@2 deleted$/m);
    assert.match((await run("rm", "model@2", "--json")).out, /"not_found"/);
  });

  it("says what is wrong with a command line, and overwrites nothing unasked", async () => {
    await using world = await setup();
    const { run, write, read } = world;
    await write("model", "mine");
    await write("f", "theirs");
    await run("put", "model", "f");
    const taken = await run("get", "model");
    assert.deepEqual([taken.code, /is there already/.test(taken.err)], [2, true]);
    assert.equal(await read("model"), "mine");
    assert.match((await run("put", "model", "absent")).err, /there is no such file/);
    assert.match((await run("put", "model", ".")).err, /it is no file/);
    assert.match((await run("alias", "model", "production", "newest")).err, /must be a whole number above 0/);
    assert.match((await run("rm", "model")).err, /must name one version by its number/);
    assert.equal((await run("get", "none")).code, 3);
  });

  it("keeps nothing of a transfer that broke off or brought other bytes", async () => {
    await using world = await setup();
    const { run, write, cwd, api } = world;
    await write("f", "theirs");
    const { digest } = JSON.parse((await run("put", "model", "f", "--json")).out);
    await api.deps.blobs.put(`artifacts/default/${digest}`, new TextEncoder().encode("other!"));
    const said = await run("get", "model", "-o", "out.bin");
    assert.deepEqual([said.code, /the SHA-256 of what came is/.test(said.err)], [3, true]);
    assert.deepEqual([...Deno.readDirSync(cwd)].map(({ name }) => name), ["f"]);
  });
});
