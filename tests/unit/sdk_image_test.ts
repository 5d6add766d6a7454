import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { containerfile } from "../../sdk/containerfile.ts";
import { describeModule } from "../../sdk/describe.ts";
import { builtChain, Image, imageSpec } from "../../sdk/image.ts";
import type { ImageChain, ImageStep } from "../../sdk/image_steps.ts";
import { App } from "../../sdk/mod.ts";
import { EnsureImage } from "../../sdk/protocol.ts";

const BASES = { deno: "mirror.example/deno:{version}", python: "mirror.example/python:{version}-slim" };
const PYTHON = { kind: "python", version: "3.12" } as const;
const text = (...steps: ImageStep[]) =>
  containerfile({ from: PYTHON, steps }, BASES).split("\n").slice(1, -1);

describe("Image", () => {
  it("is a chain that each step adds to, and that no step changes", () => {
    const base = Image.python("3.12");
    const one = base.aptInstall("curl").pipInstall("numpy==2.1.0", "pillow");
    const two = one.env({ A: "b" }).run("make").copy("src", "/src/").workdir("/src").npmInstall(
      "npm:esbuild@0.25.0",
    );
    assert.deepEqual(base.chain.steps, []);
    assert.equal(one.chain.steps.length, 2);
    assert.deepEqual(two.chain, {
      from: PYTHON,
      steps: [
        { do: "apt", packages: ["curl"] },
        { do: "pip", packages: ["numpy==2.1.0", "pillow"] },
        { do: "env", env: { A: "b" } },
        { do: "run", command: "make" },
        { do: "copy", local: "src", to: "/src/" },
        { do: "workdir", path: "/src" },
        { do: "npm", packages: ["esbuild@0.25.0"] },
      ],
    });
    assert.deepEqual(Image.python().pipInstall({ requirements: "requirements.txt" }).chain.steps, [
      { do: "pip", packages: [], file: "requirements.txt" },
    ]);
  });

  it("needs no build when it lies in a registry", () => {
    assert.deepEqual(imageSpec("python:3.12"), { ref: "python:3.12" });
    const private_ = Image.fromRegistry("private.example/app:1", { secret: "pull" });
    assert.deepEqual(imageSpec(private_), { ref: "private.example/app:1", secret: "pull" });
    assert.equal(builtChain(private_), undefined);
    assert.equal(imageSpec(private_.run("make")), undefined);
    assert.equal(builtChain(Image.deno())?.from.kind, "deno");
  });

  it("refuses what is no name, version, variable or path, by the call that named it", () => {
    const refused: [() => unknown, RegExp][] = [
      [
        () => Image.python().aptInstall("curl; rm -rf /"),
        /\.aptInstall\("curl; rm -rf \/"\): it must be the name of a Debian package/,
      ],
      [() => Image.python().aptInstall("curl\nRUN evil"), /aptInstall/],
      [() => Image.python().aptInstall(), /must name at least one package/],
      [() => Image.python().pipInstall("--index-url=http://evil"), /pipInstall.*and no option/],
      [() => Image.python().pipInstall("a\nb"), /one line/],
      [() => Image.python().npmInstall("left pad; id"), /npmInstall/],
      [() => Image.python().env({ "A B": "c" }), /\.env\("A B"\): it must be the name of a variable/],
      [() => Image.python().env({ A: "b\nc" }), /\.env\("A"\): it must be a value on one line/],
      [() => Image.python().run("  "), /shell command/],
      [() => Image.python().workdir("src"), /absolute path/],
      [() => Image.python().workdir("/a/../b"), /absolute path/],
      [
        () => Image.python().copy("a", "/b$HOME"),
        /\.copy\("a", "\/b\$HOME"\): the destination must be an absolute path/,
      ],
      [() => Image.python("3 RUN"), /must be a version/],
      [() => Image.deno("x\ny"), /must be a version/],
      [() => Image.fromRegistry("NOT an image"), /Cannot read image/],
    ];
    for (const [make, message] of refused) {
      assert.throws(make, (error: Error) => message.test(error.message), `${message}`);
    }
  });

  it("is described by the functions that run in it", () => {
    const app = new App("vision");
    const image = Image.python("3.12").pipInstall("numpy");
    const { images, manifest } = describeModule({
      resize: app.python("resize.py:resize", { image }),
      plain: app.function({ image: "denoland/deno:2.9.6" }, () => 1),
    });
    assert.deepEqual(images, { resize: image.chain });
    const refs = Object.fromEntries(manifest.functions.map(({ name, image }) => [name, image?.ref]));
    assert.deepEqual(refs, { resize: undefined, plain: "denoland/deno:2.9.6" });
  });
});

describe("containerfile()", () => {
  it("has a line for each step", () => {
    assert.deepEqual(
      text(
        { do: "apt", packages: ["curl=7.88.1-10", "git"] },
        { do: "copy", source: 1, to: "/srv/app" },
        { do: "workdir", path: "/srv" },
        { do: "run", command: "make\nmake install" },
      ),
      [
        `RUN ["/bin/sh","-c","apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends 'curl=7.88.1-10' 'git' && rm -rf /var/lib/apt/lists/*"]`,
        `COPY [".berth/1","/srv/app"]`,
        "WORKDIR /srv",
        String.raw`RUN ["/bin/sh","-c","make\nmake install"]`,
      ],
    );
  });

  it("hands requirements to pip without a shell, or as words of one", () => {
    const [line] = text({ do: "pip", packages: ["numpy>=2; python_version<'3.13'", "a @ file:///w/a.whl"] });
    assert.deepEqual(JSON.parse(line!.slice("RUN ".length)).slice(-4), [
      "pip",
      "install",
      "numpy>=2; python_version<'3.13'",
      "a @ file:///w/a.whl",
    ]);
    const [lines] = text({ do: "pip", packages: [], requirements: ["--no-index", "it's; rm -rf /"] });
    assert.match(
      JSON.parse(lines!.slice("RUN ".length))[2],
      /^printf '%s\\n' '--no-index' 'it'\\''s; rm -rf \/' >/,
    );
  });

  it("expands nothing in values of variables", () => {
    assert.deepEqual(text({ do: "env", env: { A: 'say "$HOME" \\n', B: "" } }), [
      String.raw`ENV A="say \"\$HOME\" \\n" B=""`,
    ]);
  });

  it("begins where the platform says, and builds as root on what others made", () => {
    const from = (chain: ImageChain) => containerfile(chain, BASES);
    const steps = [{ do: "run", command: "make" }] as const;
    const run = 'RUN ["/bin/sh","-c","make"]\n';
    assert.equal(
      from({ from: { kind: "python", version: "3.13" }, steps }),
      `FROM mirror.example/python:3.13-slim\n${run}`,
    );
    assert.equal(
      from({ from: { kind: "deno", version: "2.9.0" }, steps }),
      `FROM mirror.example/deno:2.9.0\n${run}`,
    );
    assert.equal(
      from({ from: { kind: "registry", ref: "a.example/b:1" }, steps }),
      `FROM a.example/b:1\nUSER 0\n${run}`,
    );
    assert.equal(
      from({ from: { kind: "containerfile", text: "FROM a AS b\nFROM c\nUSER 5\n\n" }, steps }),
      `FROM a AS b\nFROM c\nUSER 5\nUSER 0\n${run}`,
    );
    assert.equal(from({ from: { kind: "containerfile", text: "FROM a" }, steps: [] }), "FROM a\n");
  });
});

describe("EnsureImage", () => {
  it("takes every chain that Image makes", () => {
    const { from, steps } =
      Image.deno().aptInstall("a1").pipInstall("b").npmInstall("@c/d@^1").env({ E: "f" })
        .run("g").workdir("/h").chain;
    const chain = { from, steps: [...steps, { do: "copy", source: 0, to: "/i" }] };
    assert.deepEqual(EnsureImage.parse({ chain }), { chain, rebuild: false });
  });

  it("refuses steps that it does not know", () => {
    assert.throws(() => EnsureImage.parse({ chain: { from: PYTHON, steps: [{ do: "add", from: "x" }] } }));
    assert.throws(() =>
      EnsureImage.parse({ chain: { from: PYTHON, steps: [{ do: "run", command: "a", user: "b" }] } })
    );
  });
});
