import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { packTar, type TarEntry, unpackTar } from "modern-tar";
import { ownerOfGuests } from "../../runner/engines/oci/folder.ts";
import { realSpawn } from "../../runner/engines/spawn.ts";
import { sharedPathId, Volumes } from "../../runner/volumes.ts";
import { realClock, realRandom, silentLog } from "../../sdk/ports.ts";
import { until, untilTrue } from "../setup/until.ts";

const VOLUME = { id: "vol_1", storage: "node" } as const;

/** The volumes of a node, one of which has `out`, a link that leads out of it, and `deep/er.txt`. */
async function setup() {
  const dir = await Deno.makeTempDir({ prefix: "berth-volumes-" });
  await Deno.mkdir(`${dir}/own`);
  await Deno.writeTextFile(`${dir}/own/secret`, "secret");
  const deps = { spawn: realSpawn, clock: realClock, random: realRandom, log: silentLog };
  const volumes = new Volumes({
    ...deps,
    roots: { node: `${dir}/own`, shared: null },
    owner: ownerOfGuests(),
  });
  const folder = await volumes.folder(VOLUME);
  await Deno.symlink("..", `${folder}/out`);
  await Deno.mkdir(`${folder}/deep`);
  await Deno.writeTextFile(`${folder}/deep/er.txt`, "deeper");
  return {
    dir,
    folder,
    volumes,
    async run(command: string[], stdin: Uint8Array<ArrayBuffer> = new Uint8Array()) {
      const exec = volumes.exec(VOLUME, command);
      const fed = new Blob([stdin]).stream().pipeTo(exec.stdin).catch(() => {});
      const [out, err] = await Promise.all([
        new Response(exec.stdout as ReadableStream<Uint8Array<ArrayBuffer>>).bytes(),
        new Response(exec.stderr as ReadableStream<Uint8Array<ArrayBuffer>>).text(),
      ]);
      const { code } = await exec.exited;
      await fed;
      return { code, out, text: new TextDecoder().decode(out), err: err.trim() };
    },
    async [Symbol.asyncDispose]() {
      volumes.close();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

const file = (name: string, body = "x", mode = 0o644): TarEntry => ({
  header: { name, size: body.length, type: "file", mode },
  body,
});
const link = (name: string, linkname: string, type: "symlink" | "link" = "symlink"): TarEntry => ({
  header: { name, linkname, type, size: 0 },
});

describe("files of a volume", () => {
  it("come in whole, with their rights, for the user that code runs as", async () => {
    await using world = await setup();
    const tar = await packTar([
      { header: { name: "m/", type: "directory", size: 0, mode: 0o700 } },
      file("m/run.sh", "#!/bin/sh", 0o4755),
      file("deep/er.txt", "new"),
      link("m/again", "../deep/er.txt"),
      link("m/same", "deep/er.txt", "link"),
      file("out.txt/a", "a".repeat(3_000_000)),
    ]);
    assert.deepEqual([(await world.run(["put", ""], tar)).err], [""]);
    const { mode, uid } = await Deno.stat(`${world.folder}/m/run.sh`);
    assert.deepEqual([mode! & 0o7777, uid], [0o755, ownerOfGuests().uid]);
    for (const name of ["m/again", "m/same", "deep/er.txt"]) {
      assert.equal(await Deno.readTextFile(`${world.folder}/${name}`), "new");
    }
    assert.equal((await Deno.stat(`${world.folder}/out.txt/a`)).size, 3_000_000);
    assert.deepEqual([...Deno.readDirSync(`${world.folder}/m`)].map(({ name }) => name).sort(), [
      "again",
      "run.sh",
      "same",
    ]);
  });

  it("go out again, but for links that lead out of it", async () => {
    await using world = await setup();
    await Deno.symlink("deep", `${world.folder}/inside`);
    await new Deno.Command("mkfifo", { args: [`${world.folder}/pipe`] }).output();
    const { code, out, err } = await world.run(["get", "."]);
    assert.deepEqual([code, err.split("\n")], [0, ["out", "pipe"]]);
    const entries = await unpackTar(out);
    assert.deepEqual(entries.map(({ header }) => header.name), ["deep/", "deep/er.txt", "inside"]);
    assert.equal(new TextDecoder().decode(entries[1]!.data), "deeper");
    const [one] = await unpackTar((await world.run(["get", "deep/er.txt"])).out);
    assert.equal(one?.header.name, "er.txt");
    assert.deepEqual(JSON.parse((await world.run(["stat", "."])).text), {
      kind: "folder",
      bytes: 6,
      files: 1,
    });
    const names = (await world.run(["ls", ""])).text.trim().split("\n").map((line) => {
      const { name, kind } = JSON.parse(line);
      return `${name} ${kind}`;
    });
    assert.deepEqual(names, ["deep folder", "inside link", "out link", "pipe other"]);
  });

  it("are never reached by way of a link or a path that leads out", async () => {
    await using world = await setup();
    const refused = async (command: string[], why: RegExp, ...entries: TarEntry[]) => {
      const { code, err, out } = await world.run(command, await packTar(entries));
      assert.equal(code, 1, command.join(" "));
      assert.match(err, why);
      assert.equal(out.length, 0);
    };
    await refused(["get", "out/secret"], /Cannot go through "out": it is no folder, or a link/);
    await refused(["stat", "out/secret"], /Cannot go through "out"/);
    await refused(["ls", "out/own"], /Cannot go through "out"/);
    await refused(["get", "../secret"], /within the volume/);
    await refused(["get", "nothing"], /Cannot find "nothing"/);
    await refused(["put", "out"], /Cannot go through "out"/, file("secret", "spoilt"));
    await refused(["put", ".."], /within the volume/, file("secret", "spoilt"));
    await refused(["put", ""], /Cannot go through "out"/, file("out/secret", "spoilt"));
    await refused(["put", ""], /within the volume/, file("../secret", "spoilt"));
    await refused(["put", ""], /Cannot put link "l": it leads to \/etc/, link("l", "/etc"));
    await refused(["put", ""], /it leads to \.\.\/\.\./, link("deep/l", "../../secret"));
    await refused(["put", ""], /Cannot go through "out"/, link("l", "out/secret", "link"));
    await refused(["put", ""], /only files, folders and links travel/, {
      header: { name: "null", type: "character-device", size: 0 },
    });
    await refused(["rm", ""], /there are stat, ls, get and put/);
    assert.equal(await Deno.readTextFile(`${world.dir}/own/secret`), "secret");
    // A file in place of the link, not what the link leads to.
    assert.equal((await world.run(["put", ""], await packTar([file("out", "mine")]))).code, 0);
    assert.equal(await Deno.readTextFile(`${world.folder}/out`), "mine");
  });

  it("leave nothing half when the transfer breaks off", async () => {
    await using world = await setup();
    const tar = await packTar([file("deep/er.txt", "n".repeat(100_000))]);
    assert.equal((await world.run(["put", ""], tar.slice(0, 50_000))).code, 1);
    assert.equal(await Deno.readTextFile(`${world.folder}/deep/er.txt`), "deeper");
    assert.deepEqual([...Deno.readDirSync(`${world.folder}/deep`)].map(({ name }) => name), ["er.txt"]);
    const exec = world.volumes.exec(VOLUME, ["put", ""]);
    exec.kill(); // its client has gone
    assert.equal((await exec.exited).code, 1);
  });
});

describe("Volumes", () => {
  it("measures what was used, once, and tells until that has arrived", async () => {
    await using world = await setup();
    await Deno.writeFile(`${world.folder}/big`, new Uint8Array(1_000_000).fill(1));
    let heard = 0;
    world.volumes.onNews(() => heard++);
    world.volumes.used([VOLUME, VOLUME]);
    const news = await until("it is measured", () => heard > 0 ? world.volumes.news : null);
    assert.deepEqual(news.volumeSizes.map(({ id }) => id), ["vol_1"]);
    const { size } = news.volumeSizes[0]!;
    assert.ok(size >= 1_000_000 && size < 1_200_000, String(size));
    world.volumes.told(news);
    assert.deepEqual(world.volumes.news.volumeSizes, []);
  });

  it("removes what it is told to, and says so as long as it is asked", async () => {
    await using world = await setup();
    const gone = () => world.volumes.news.removedVolumes;
    world.volumes.remove([VOLUME, { id: "vol_2", storage: "node" }]);
    await until("both are gone", () => gone().length === 2 || null);
    assert.deepEqual([...Deno.readDirSync(`${world.dir}/own`)].map(({ name }) => name), ["secret"]);
    world.volumes.remove([VOLUME]);
    assert.deepEqual(gone(), ["vol_1"]);
    world.volumes.remove([]);
    assert.deepEqual(gone(), []);
  });

  it("refuses a volume on a shared path where the node has none", async () => {
    await using world = await setup();
    await assert.rejects(world.volumes.folder({ id: "vol_3", storage: "shared" }), /this node has none/);
  });

  it("takes no empty folder for a shared path that is not mounted any more", async () => {
    await using world = await setup();
    const shared = `${world.dir}/shared`, one = { id: "vol_3", storage: "shared" } as const;
    const logged: string[] = [];
    const log = (event: string) => void logged.push(event);
    const deps = { spawn: realSpawn, clock: realClock, random: realRandom, log };
    const volumes = new Volumes({ ...deps, roots: { node: null, shared }, owner: ownerOfGuests() });
    await Deno.mkdir(shared);
    await sharedPathId(shared, deps);
    assert.equal(await volumes.folder(one), `${shared}/vol_3`);
    await Deno.rename(shared, `${shared}.away`);
    await Deno.mkdir(shared);
    await assert.rejects(volumes.folder(one), /nothing shared is mounted at/);
    volumes.remove([one]);
    await untilTrue("it was tried", () => logged.length > 0);
    assert.deepEqual([logged, volumes.news.removedVolumes], [["volume.remove_failed"], []]);
  });
});

describe("sharedPathId()", () => {
  const deps = { clock: realClock, random: realRandom };

  it("is one for a path, whoever looks first, and another for another", async () => {
    const dir = await Deno.makeTempDir({ prefix: "berth-shared-" });
    const ids = await Promise.all(Array.from({ length: 10 }, () => sharedPathId(dir, deps)));
    assert.equal(new Set(ids).size, 1);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), [".berth-volumes"]);
    await Deno.mkdir(`${dir}/other`);
    assert.notEqual(await sharedPathId(`${dir}/other`, deps), ids[0]);
    await Deno.remove(dir, { recursive: true });
  });

  it("refuses a path that is no folder to write to", async () => {
    await assert.rejects(
      sharedPathId("/nowhere/at/all", deps),
      /option --volumes: \/nowhere\/at\/all must be/,
    );
  });
});
