import { after, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { keysIn } from "../../api/secrets/key_file.ts";
import { openFolder } from "../../api/up/folder.ts";
import { adminKeyOf } from "../../api/up/secrets.ts";
import { realRandom } from "../../sdk/ports.ts";

const made: string[] = [];
after(() => Promise.all(made.map((dir) => Deno.remove(dir, { recursive: true }))));

async function temporary(): Promise<string> {
  const dir = await Deno.realPath(await Deno.makeTempDir({ prefix: "berth-" }));
  made.push(dir);
  return dir;
}

describe("openFolder()", () => {
  it("makes the folder for its owner alone", async () => {
    const dir = join(await temporary(), "a/b");
    const folder = await openFolder(dir, "/tmp");
    assert.equal((await Deno.stat(dir)).mode! & 0o777, 0o700);
    assert.equal(folder.socket, join(dir, "api.sock"));
    folder.release();
  });

  it("lets one in, tells others who it is, and the next in when it has left", async () => {
    const dir = await temporary();
    const first = await openFolder(dir, "/tmp");
    await assert.rejects(openFolder(dir, "/tmp"), /another `berth up` is starting there/);
    await first.announce({ pid: 7, url: "http://127.0.0.1:1" });
    await assert.rejects(
      openFolder(dir, "/tmp"),
      /another `berth up` runs there \(pid 7, http:\/\/127\.0\.0\.1:1\)/,
    );
    first.release();
    (await openFolder(dir, "/tmp")).release();
  });

  it("puts the socket elsewhere when the path is longer than a socket's may be, always at the same place", async () => {
    const [tmp, dir] = [await temporary(), join(await temporary(), "d".repeat(100))];
    const folder = await openFolder(dir, tmp);
    folder.release();
    assert.ok(folder.socket.length <= 100 && folder.socket.startsWith(tmp), folder.socket);
    const again = await openFolder(dir, tmp);
    again.release();
    assert.equal(again.socket, folder.socket);
  });

  it("refuses a place for the socket that others can reach into", async () => {
    const [tmp, dir] = [await temporary(), join(await temporary(), "d".repeat(100))];
    const { socket, release } = await openFolder(dir, tmp);
    release();
    await Deno.chmod(join(socket, ".."), 0o777);
    await assert.rejects(openFolder(dir, tmp), /belongs to somebody else/);
  });

  it("says what is wrong with a folder that cannot be made", async () => {
    const file = join(await temporary(), "file");
    await Deno.writeTextFile(file, "");
    await assert.rejects(openFolder(join(file, "data"), "/tmp"), /Cannot use .*file\/data as data folder/);
  });
});

describe("adminKeyOf()", () => {
  it("makes a key once, readable by its owner alone", async () => {
    const dir = await temporary();
    const key = await adminKeyOf(dir, realRandom);
    assert.match(key, /^berth_[0-9a-f]{64}$/);
    assert.equal(await adminKeyOf(dir, realRandom), key);
    assert.equal((await Deno.stat(join(dir, "key"))).mode! & 0o777, 0o600);
  });
});

describe("keysIn()", () => {
  it("makes a key that its owner alone can read, and keeps it", async () => {
    const dir = await temporary();
    const first = await keysIn(dir, realRandom);
    assert.equal(first.length, 1);
    assert.equal((await Deno.stat(join(dir, "secrets.keys"))).mode! & 0o777, 0o600);
    assert.deepEqual(await keysIn(dir, realRandom), first);
  });

  it("reads several, the newest first, and refuses a file that others may read or that holds none", async () => {
    const dir = await temporary();
    const path = join(dir, "secrets.keys");
    const [old] = await keysIn(dir, realRandom);
    const newest = realRandom.bytes(32).toBase64();
    await Deno.writeTextFile(path, `${newest}\n${old}\n\n`);
    assert.deepEqual(await keysIn(dir, realRandom), [newest, old]);
    await Deno.writeTextFile(path, `${newest}\nc2hvcnQ=\n`);
    await assert.rejects(
      keysIn(dir, realRandom),
      (error: Error) => /line 2 must be 32 bytes/.test(error.message) && !error.message.includes("c2hvcnQ"),
    );
    await Deno.writeTextFile(path, "\n");
    await assert.rejects(keysIn(dir, realRandom), /holds no key/);
    await Deno.chmod(path, 0o640);
    await assert.rejects(keysIn(dir, realRandom), /others may read it, `chmod 600/);
  });
});
