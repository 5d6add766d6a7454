/** Packages that code brings, installed for plain processes. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { tinyIndex } from "../setup/components/tiny_index.ts";
import { withoutPython } from "../setup/machine.ts";
import { denoDir } from "../setup/platform.ts";
import { TestRunner, tsFunction } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

const end = (runner: TestRunner, batch: number) =>
  until(`call ${batch} has ended`, () => runner.api.endOf(batch) ?? null);

const logText = (runner: TestRunner, batch: number) =>
  (runner.api.logs.get(`${batch}:0`) ?? []).map(([, , , , stream, text]) => `${stream}: ${text}`);

describe("a runner with npm packages that are not in the bundle", () => {
  it("installs them from where the runner is told, and finds them there when the code runs", async () => {
    await using index = await tinyIndex();
    const registry = `http://127.0.0.1:${index.port}/`;
    await using runner = await TestRunner.start({
      env: { NPM_CONFIG_REGISTRY: registry, NPM_CONFIG_TOKEN: "s3cret" },
    });
    const source = `import { triple } from "npm:tinynpm@1.0.0";\n${
      tsFunction("(n) => [triple(n), Deno.env.get('NPM_CONFIG_TOKEN') ?? null]")
    }`;
    const assigned = await runner.assign(source, { permissions: { env: true } });
    runner.api.want({ ...assigned, external: ["npm:tinynpm@1.0.0"] });
    assert.deepEqual((await end(runner, runner.api.call("fn", [14]))).value, [42, null]);
    await Deno.remove(`${denoDir()}/npm/${index.port}`, { recursive: true });
  });
});

describe("a runner with requirements of Python", { skip: withoutPython }, () => {
  const python = { body: "python" } as const;

  it("installs requirements once, into an environment of their own, and says what it does", async () => {
    const wheels = await Deno.makeTempDir({ prefix: "berth-wheels-" });
    await makeWheel(wheels);
    await using runner = await TestRunner.start({ env: { PIP_NO_INDEX: "1", PIP_FIND_LINKS: wheels } });
    const source = "import tiny, sys\ndef fn(_): return [tiny.VALUE, sys.prefix]";
    const spec = { ...python, requirements: ["tiny==1.0"] };
    runner.api.want(await runner.assign(source, spec));
    const batch = runner.api.call("fn", [0]);
    const [value, prefix] = (await end(runner, batch)).value as [number, string];
    assert.equal(value, 42);
    assert.ok(prefix.startsWith(`${runner.dir}/venvs/`));
    assert.deepEqual(logText(runner, batch), [
      "system: Creating the virtual environment",
      "system: Installing 1 requirements",
    ]);
    runner.api.want(await runner.assign(source, spec));
    const again = runner.api.call("fn", [0]);
    assert.deepEqual((await end(runner, again)).value, [42, prefix]);
    assert.deepEqual(logText(runner, again), []);
    await Deno.remove(wheels, { recursive: true });
  });

  it("keeps an environment that is in use, and no more of the others than fit their budget", async () => {
    const wheels = await Deno.makeTempDir({ prefix: "berth-wheels-" });
    await makeWheel(wheels);
    const env = { PIP_NO_INDEX: "1", PIP_FIND_LINKS: wheels };
    await using runner = await TestRunner.start({ env, packagesMiB: 1 });
    const kept = () => [...Deno.readDirSync(`${runner.dir}/venvs`)].map(({ name }) => name);
    const source = "def fn(_):\n  import tiny\n  return tiny.VALUE";
    runner.api.want(await runner.assign(source, { ...python, requirements: ["tiny==1.0"] }));
    await untilTrue("it is ready", () => runner.api.observed.get("ctr_1")?.observed === "ready");
    assert.equal((await end(runner, runner.api.call("fn", [0]))).value, 42);
    assert.equal(kept().length, 1);
    runner.api.want();
    await untilTrue("it is gone", () => kept().length === 0);
    await Deno.remove(wheels, { recursive: true });
  });

  it("says why requirements cannot be installed", async () => {
    await using runner = await TestRunner.start({ env: { PIP_NO_INDEX: "1", PIP_FIND_LINKS: "" } });
    runner.api.want(
      await runner.assign("def fn(_): pass", { ...python, requirements: ["no-such-package==1"] }),
    );
    const { kind, message } = await until(
      "it has exited",
      () => runner.api.observed.get("ctr_1")?.exit ?? null,
    );
    assert.equal(kind, "start_failed");
    assert.match(message, /^Cannot install the requirements: .*no-such-package==1/s);
  });
});

/** A wheel with one module, made by hand. */
async function makeWheel(folder: string): Promise<void> {
  const script = [
    "import sys, zipfile",
    "info = 'tiny-1.0.dist-info/'",
    "with zipfile.ZipFile(sys.argv[1] + '/tiny-1.0-py3-none-any.whl', 'w') as wheel:",
    "    wheel.writestr('tiny.py', 'VALUE = 42')",
    "    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')",
    "    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: hand\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')",
    "    wheel.writestr(info + 'RECORD', '')",
  ].join("\n");
  const { success } = await new Deno.Command("python3", { args: ["-c", script, folder] }).output();
  assert.ok(success);
}
