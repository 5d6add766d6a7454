import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { readChain } from "../../sdk/cli/image_files.ts";
import { builtChain, Image } from "../../sdk/image.ts";

class Folder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async of(files: Readonly<Record<string, string>>): Promise<Folder> {
    const path = await Deno.makeTempDir({ prefix: "berth-image-" });
    const folder = new Folder(path);
    for (const [name, text] of Object.entries(files)) await folder.write(name, text);
    return folder;
  }

  async write(name: string, text: string): Promise<void> {
    const path = `${this.path}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, text);
  }

  async read(image: Image) {
    return await readChain(this.path, builtChain(image)!);
  }

  /** What the context of an image holds: names and modes. */
  async listed(image: Image): Promise<string[]> {
    const { context } = await this.read(image);
    const tar = `${this.path}.tar`;
    await Deno.writeFile(tar, context!.bytes);
    const { stdout } = await new Deno.Command("tar", { args: ["-tvf", tar, "--numeric-owner"] }).output();
    await Deno.remove(tar);
    return new TextDecoder().decode(stdout).trim().split("\n").map((line) => {
      const [mode, owner, , , , name] = line.split(/\s+/);
      return `${mode} ${owner} ${name}`;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Deno.remove(this.path, { recursive: true });
  }
}

const base = Image.python("3.11");

describe("readChain()", () => {
  it("packs what is copied: files under the name that they get, folders with all in them", async () => {
    await using folder = await Folder.of({ "train.py": "1", "data/a.txt": "a", "data/deep/b.txt": "b" });
    await Deno.chmod(`${folder.path}/data/a.txt`, 0o700);
    await Deno.symlink("..", `${folder.path}/data/up`);
    const image = base.copy("train.py", "/srv/").run("true").copy("data", "/data").copy(
      "train.py",
      "/main.py",
    );
    const { chain } = await folder.read(image);
    assert.deepEqual(chain.steps.filter(({ do: verb }) => verb === "copy"), [
      { do: "copy", source: 0, to: "/srv/train.py" },
      { do: "copy", source: 2, to: "/data" },
      { do: "copy", source: 3, to: "/main.py" },
    ]);
    assert.deepEqual(await folder.listed(image), [
      "-rw-r--r-- 0/0 .berth/0",
      "drwxr-xr-x 0/0 .berth/2",
      "-rwxr-xr-x 0/0 .berth/2/a.txt",
      "drwxr-xr-x 0/0 .berth/2/deep",
      "-rw-r--r-- 0/0 .berth/2/deep/b.txt",
      "lrwxr-xr-x 0/0 .berth/2/up",
      "-rw-r--r-- 0/0 .berth/3",
    ]);
    assert.equal((await folder.read(base.run("true"))).context, null);
  });

  it("has one digest for the same files, wherever and whenever they are, and another for others", async () => {
    const files = { "a/one": "1", "a/two": "2" };
    await using one = await Folder.of(files);
    await using two = await Folder.of(Object.fromEntries(Object.entries(files).reverse()));
    await Deno.utime(`${two.path}/a/one`, 1, 1);
    const image = base.copy("a", "/a");
    const digest = async (folder: Folder) => (await folder.read(image)).context!.digest;
    assert.equal(await digest(one), await digest(two));
    await two.write("a/two", "3");
    assert.notEqual(await digest(one), await digest(two));
  });

  it("leaves out what an ignore file names", async () => {
    await using folder = await Folder.of({
      "app/.containerignore": "*.log\ncache\n!cache/keep\n",
      "app/.dockerignore": "main.py\n",
      "app/main.py": "",
      "app/big.log": "",
      "app/cache/x": "",
      "app/cache/keep": "",
    });
    const names = (await folder.listed(base.copy("app", "/app"))).map((line) => line.split(" ").at(-1));
    assert.deepEqual(names, [
      ".berth/0",
      ".berth/0/cache/keep",
      ".berth/0/main.py",
    ]);
  });

  it("reads requirements and Containerfiles", async () => {
    await using folder = await Folder.of({
      "requirements.txt":
        "# ours\nnumpy==2.1.0  # pinned\n\n--extra-index-url https://x.example/simple\nlong \\\n  >=1\n",
      "image/Containerfile": "FROM a\nCOPY b /b\n",
      "image/b": "b",
      "other/c": "c",
    });
    const { chain } = await folder.read(base.pipInstall({ requirements: "requirements.txt" }));
    assert.deepEqual(chain.steps[0], {
      do: "pip",
      packages: [],
      requirements: ["numpy==2.1.0", "--extra-index-url https://x.example/simple", "long    >=1"],
    });
    const image = Image.fromContainerfile("image/Containerfile");
    assert.deepEqual((await folder.read(image)).chain.from, {
      kind: "containerfile",
      text: "FROM a\nCOPY b /b\n",
    });
    assert.deepEqual(await folder.listed(image), ["-rw-r--r-- 0/0 Containerfile", "-rw-r--r-- 0/0 b"]);
    const elsewhere = Image.fromContainerfile("image/Containerfile", { context: "other" });
    assert.deepEqual(await folder.listed(elsewhere), ["-rw-r--r-- 0/0 c"]);
  });

  it("says what it cannot read, and leads nowhere outside", async () => {
    await using folder = await Folder.of({ "r.txt": "a\n-r other.txt\n", "odd name.txt": "" });
    const refused: [Image, RegExp][] = [
      [base.copy("nothing", "/a"), /^Cannot read the file or folder nothing of an image: it is not there$/],
      [base.copy("../up", "/a"), /\.\.\/up of an image: it must be a path below the folder of the module/],
      [base.copy("/etc/passwd", "/a"), /it must be a path below/],
      [
        base.copy("odd name.txt", "/a/"),
        /it would be \/a\/odd name\.txt in the image, which must be an absolute path/,
      ],
      [base.pipInstall({ requirements: "r.txt" }), /^Cannot read r\.txt, line 2: it names another file/],
      [base.pipInstall({ requirements: "none.txt" }), /^Cannot read the requirements none\.txt/],
      [Image.fromContainerfile("None"), /^Cannot read the Containerfile None of an image: it is not there/],
    ];
    for (const [image, message] of refused) {
      await assert.rejects(folder.read(image), (error: Error) => message.test(error.message), `${message}`);
    }
  });
});
