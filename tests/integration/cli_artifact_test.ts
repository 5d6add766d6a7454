/** `berth artifact` against a real api, with files on the disk. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { TestApi } from "../setup/api.ts";
import { type Asked, berth, type Said } from "../setup/shell.ts";

async function setup() {
  const api = await TestApi.start();
  const cwd = await Deno.makeTempDir({ prefix: "berth-artifact-" });
  /** What is asked of the platform, and how it answers: redirects are followed, as `fetch` does. */
  const world = {
    answer: ({ method, path, body, range }: Asked): Promise<Response> => {
      const headers: Record<string, string> = range === undefined ? {} : { range };
      const key = path.startsWith("/v1/blobs/") ? null : api.key;
      if (method === "GET") return api.follow(path, { headers, key });
      return api.fetch(path, { method, raw: body, headers, key });
    },
  };
  const run = (...args: string[]): Promise<Said> =>
    berth(["artifact", ...args], (asked) => world.answer(asked), { cwd });
  const write = (name: string, text: string) => Deno.writeTextFile(`${cwd}/${name}`, text);
  const read = (name: string) => Deno.readTextFile(`${cwd}/${name}`);
  return {
    api,
    world,
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

  it("goes on where an interrupted transfer broke off", async () => {
    await using world = await setup();
    const { run, write, read, cwd } = world;
    await write("f", "0123456789");
    await run("put", "model", "f");
    const { answer } = world.world;
    const ranges: (string | undefined)[] = [];
    world.world.answer = async (asked) => {
      const response = await answer(asked);
      if (!asked.path.endsWith("/content")) return response;
      ranges.push(asked.range);
      if (asked.range === "bytes=8-") return Response.json({}, { status: 400 });
      const some = (await response.text()).slice(0, 4);
      return new Response(brokenAfter(some), { status: response.status });
    };
    assert.notEqual((await run("get", "model", "-o", "out.bin")).code, 0);
    world.world.answer = (asked) => {
      if (asked.path.endsWith("/content")) ranges.push(asked.range);
      return answer(asked);
    };
    assert.equal((await run("get", "model", "-o", "out.bin")).code, 0);
    assert.deepEqual(ranges, [undefined, "bytes=4-", "bytes=8-", "bytes=8-"]);
    assert.equal(await read("out.bin"), "0123456789");
    assert.deepEqual([...Deno.readDirSync(cwd)].map(({ name }) => name).sort(), ["f", "out.bin"]);
  });

  it("sends a file again of which the platform had the bytes only at the beginning", async () => {
    await using world = await setup();
    const { run, write, read } = world;
    await write("f", "bytes");
    await run("put", "model", "f");
    const { answer } = world.world;
    world.world.answer = async (asked) => {
      const response = await answer(asked);
      if (asked.path.endsWith("/uploads")) await run("rm", "model@1");
      return response;
    };
    assert.match((await run("put", "copy", "f")).out, /^copy@1, 5 B/m);
    world.world.answer = answer;
    await run("get", "copy", "-o", "out.bin");
    assert.equal(await read("out.bin"), "bytes");
  });

  it("keeps nothing of a transfer that brought other bytes", async () => {
    await using world = await setup();
    const { run, write, cwd, api } = world;
    await write("f", "theirs");
    await run("put", "model", "f");
    const [key] = await Array.fromAsync(api.deps.blobs.list("artifacts/"));
    await api.deps.blobs.put(key!, new TextEncoder().encode("other!"));
    const said = await run("get", "model", "-o", "out.bin");
    assert.deepEqual([said.code, /the SHA-256 of what came is/.test(said.err)], [3, true]);
    assert.deepEqual([...Deno.readDirSync(cwd)].map(({ name }) => name), ["f"]);
  });
});

/** Brings a text, and breaks off. */
const brokenAfter = (text: string): ReadableStream<Uint8Array<ArrayBuffer>> => {
  let brought = false;
  return new ReadableStream({
    pull(controller) {
      if (brought) controller.error(new Error("broken off"));
      else controller.enqueue(new TextEncoder().encode(text));
      brought = true;
    },
  });
};
