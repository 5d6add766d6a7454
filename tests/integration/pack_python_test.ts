/** Packing Python: what its files declare is read from their text. */
import { after, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { type DenoRun, denoRunner } from "../../sdk/cli/deno_process.ts";
import { SourceError } from "../../sdk/cli/failure.ts";
import { pack } from "../../sdk/cli/pack.ts";
import { realClock, realRandom } from "../../sdk/ports.ts";
import { withoutPython } from "../setup/machine.ts";

const world = { run: denoRunner(realClock), random: realRandom, env: Deno.env.toObject() };
const APP = `import { App } from "berth";\nconst app = new App("shop");\n`;

const made: string[] = [];
after(() => Promise.all(made.map((dir) => Deno.remove(dir, { recursive: true }))));

/** A folder with these files; the path of `app.ts` in it. */
async function project(files: Record<string, string>): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "berth test-" });
  made.push(dir);
  for (const [name, content] of Object.entries(files)) await Deno.writeTextFile(join(dir, name), content);
  return join(dir, "app.ts");
}

const packFiles = async (files: Record<string, string>) =>
  await pack(world, { path: await project(files), typeCheck: false });

async function refusal(files: Record<string, string>): Promise<SourceError> {
  const error = await packFiles(files).then(() => assert.fail("it was packed"), (error) => error);
  assert.ok(error instanceof SourceError, String(error));
  return error;
}

describe("pack() of Python", { skip: withoutPython }, () => {
  const packPython = (entry: string, files: Record<string, string>, options = "{}") =>
    packFiles({ ...files, "app.ts": `${APP}export const job = app.python("${entry}", ${options});\n` });
  const MODEL = [
    "import berth",
    "from base import Base",
    "class Model(Base):",
    "    @berth.enter",
    "    def load(self): raise SystemExit('this is not run')",
    "    @berth.method",
    "    def tokens(self, input, ctx): yield input",
    "    def plain(self): pass",
    "raise SystemExit('neither is this')",
    "",
  ].join("\n");
  const BASE =
    "from berth import method as callable\nclass Base:\n    @callable\n    async def ping(self): pass\n";

  it("finds the methods of a class, its parents' too, without running it", async () => {
    const files = { "model.py": MODEL, "base.py": BASE };
    const { manifest } = await packPython("model.py:Model", files, '{ files: ["base.py"] }');
    const [job] = manifest.functions;
    assert.equal(job!.kind, "class");
    assert.deepEqual(job!.methods, [
      { name: "job.ping", member: "ping", kind: "call", stream: false },
      { name: "job.tokens", member: "tokens", kind: "call", stream: true },
    ]);
  });

  const streams: [code: string, stream: boolean][] = [
    ["def main(n):\n    yield n", true],
    ["async def main(n):\n    for i in range(n): yield i", true],
    ["def main(n):\n    def inner(): yield n\n    return list(inner())", false],
    ["main = lambda n: n", false],
    ["from elsewhere import main", false],
    ["try: from fast import main\nexcept ImportError:\n    def main(n): yield n", true],
  ];
  for (const [code, stream] of streams) {
    it(`${stream ? "streams" : "does not stream"} ${code.replaceAll("\n", "; ")}`, async () => {
      const { manifest } = await packPython("t.py:main", { "t.py": code });
      assert.equal(manifest.functions[0]!.methods[0]!.stream, stream);
    });
  }

  const refused: [code: string, message: RegExp, line: number][] = [
    ["x = 1\ndef main(:\n", /^Cannot deploy "t\.py:main": t\.py does not parse: invalid syntax/, 2],
    ["def train(): pass\ndef _hidden(): pass", /t\.py has no function or class main; it has train$/, 1],
    ["\nclass main: pass", /class main has no @method/, 2],
    ["\ndef main(a, b, c): pass", /main needs a, b, c: a handler is given the input, and ctx/, 2],
    [
      "from berth import method\nclass main:\n    @method()\n    def f(self): pass",
      /@method takes no arguments/,
      3,
    ],
  ];
  for (const [code, message, line] of refused) {
    it(`refuses, with the line, ${code.trim().replaceAll("\n", "; ")}`, async () => {
      const error = await refusal({
        "app.ts": `${APP}export const t = app.python("t.py:main");\n`,
        "t.py": code,
      });
      assert.match(error.message, message);
      assert.deepEqual([error.place?.file, error.place?.line], ["t.py", line]);
    });
  }

  it("refuses a schedule on a class", async () => {
    const app = `${APP}export const t = app.python("base.py:Base", { schedule: "0 * * * *" });\n`;
    const error = await refusal({ "app.ts": app, "base.py": BASE });
    assert.match(error.message, /`schedule` is for functions, and it is a class/);
  });

  it("says what to install where there is no python3", async () => {
    const without = (asked: DenoRun) =>
      world.run(asked.command === "python3" ? { ...asked, command: "no-such-python3" } : asked);
    const app = `${APP}export const t = app.python("base.py:Base");\n`;
    const packing = pack({ ...world, run: without }, {
      path: await project({ "app.ts": app, "base.py": BASE }),
      typeCheck: false,
    });
    await assert.rejects(packing, /Cannot deploy "base\.py:Base": there is no python3 here to read it with/);
  });
});
