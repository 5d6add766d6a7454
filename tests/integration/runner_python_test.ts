/** Real Python guests under a real runner: forked from a process that has their imports, and the worst that they do. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Failure } from "../../sdk/protocol.ts";
import { withoutPython } from "../setup/machine.ts";
import { TestRunner } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

const python = { body: "python" } as const;

const end = (runner: TestRunner, batch: number) =>
  until(`call ${batch}:0 has ended`, () => runner.api.endOf(batch) ?? null);

async function failure(runner: TestRunner, batch: number): Promise<Failure> {
  const { outcome, value } = await end(runner, batch);
  assert.equal(outcome, 1, `expected a failure, got ${JSON.stringify(value)}`);
  return value as Failure;
}

const logged = (runner: TestRunner, batch: number) =>
  (runner.api.logs.get(`${batch}:0`) ?? []).map(([, , , , stream, text]) => `${stream}: ${text}`);

describe("a runner with preloaded Python", { skip: withoutPython }, () => {
  // Some machines have a shell script in the place of python3, which adds variables to a fresh start.
  const WHERE = `import os, re, sys
BY_A_SHELL = re.compile("PWD$|OLDPWD$|SHLVL$|_$|_?PYENV_")
def fn(what):
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)
    if what == "abort": os.abort()
    if what == "exit": sys.exit(5)
    return {
        "parent": os.getppid(), "group": os.getpgid(0) == os.getpid(), "session": os.getsid(0) == os.getpid(),
        "cwd": os.getcwd() == os.environ["BERTH_SLOT"] + "/app", "env": sorted(name for name in os.environ if not BY_A_SHELL.match(name)), "again": os.environ["A"],
        "decimal": "decimal" in sys.modules, "argv": sys.argv[1:], "fds": len(os.listdir("/proc/self/fd")),
        "shell": os.system("echo shell > /dev/stdout"),
    }
`;
  const spec = { ...python, preload: ["decimal", "json.tool"], env: { A: "1" } };

  it("forks guests from one process, each as a fresh start would make it", async () => {
    await using runner = await TestRunner.start();
    const seen: Record<string, unknown>[] = [];
    for (const preload of [[], spec.preload, spec.preload]) {
      runner.api.want(await runner.assign(WHERE, { ...spec, preload }));
      const batch = runner.api.call("fn", ["look"]);
      seen.push((await end(runner, batch)).value as Record<string, unknown>);
      assert.deepEqual(logged(runner, batch).sort(), ["stderr: err", "stdout: out", "stdout: shell"]);
    }
    const [fresh, first, second] = seen.map(({ parent, decimal, ...rest }) => ({ parent, decimal, rest }));
    assert.deepEqual([first!.rest, second!.rest], [fresh!.rest, fresh!.rest]);
    assert.deepEqual([fresh!.decimal, first!.decimal, second!.decimal], [false, true, true]);
    assert.equal(first!.parent, second!.parent);
    assert.notEqual(first!.parent, fresh!.parent);
  });

  it("sees how they end, and ends them", async () => {
    await using runner = await TestRunner.start();
    for (
      const [what, message] of [["exit", /ended its own process \(exit code 5\)/], [
        "abort",
        /crashed \(SIGABRT\)/,
      ]] as const
    ) {
      runner.api.want(await runner.assign(WHERE, spec));
      assert.match((await failure(runner, runner.api.call("fn", [what]))).message, message);
    }
    runner.api.want(await runner.assign("def fn(_):\n    while True: pass", spec));
    const batch = runner.api.call("fn", [0]);
    await untilTrue("it has started", () => runner.api.events.has(`${batch}:0`));
    runner.api.cancel(batch, 0);
    await end(runner, batch);
    runner.api.want();
    await untilTrue("only the process with the imports is left", () => runner.guests().length === 1);
  });

  const refused: [module: string, code: string, why: RegExp][] = [
    ["no_such_module", "", /ModuleNotFoundError: No module named 'no_such_module'/],
    [
      "threaded",
      "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='pump').start()",
      /it started threads \(pump\), which a fork would lose/,
    ],
    [
      "torch",
      "class cuda:\n    is_initialized = staticmethod(lambda: True)",
      /initialised CUDA, which no fork survives/,
    ],
    ["leaves", "import os\nos._exit(1)", /the process that had imported it has ended/],
  ];
  for (const [module, code, why] of refused) {
    it(`starts afresh, and says why, when ${module} cannot be shared`, async () => {
      const folder = await Deno.makeTempDir({ prefix: "berth-modules-" });
      if (code !== "") await Deno.writeTextFile(`${folder}/${module}.py`, code);
      await using runner = await TestRunner.start();
      const env = { PYTHONPATH: folder };
      runner.api.want(await runner.assign("def fn(n): return n", { ...python, env, preload: [module] }));
      const batch = runner.api.call("fn", [7]);
      assert.equal((await end(runner, batch)).value, 7);
      assert.match(logged(runner, batch).join("\n"), why);
      await Deno.remove(folder, { recursive: true });
    });
  }
});

describe("a runner with Python that does its worst", { skip: withoutPython }, () => {
  const ends: [what: string, code: string, message: RegExp][] = [
    ["os.abort", "os.abort()", /^The process crashed \(SIGABRT\): .*train|app\.py", line 3 in fn/s],
    [
      "a C stack that overflows",
      "sys.setrecursionlimit(10**8)\n    def deeper(_=0): return sorted([0], key=deeper)\n    deeper()",
      /^The process crashed \(SIGSEGV\)/,
    ],
    [
      "sys.exit with a word",
      "sys.exit('no weights')",
      /^The function ended its own process \(exit code 1\): no weights$/,
    ],
    [
      "a channel of its own that it closes",
      "os.closerange(3, 100)\n    return 1",
      /^The function ended its own process \(exit code 0\)$/,
    ],
  ];
  for (const [what, code, message] of ends) {
    it(`fails the call as user_error with ${what}`, async () => {
      await using runner = await TestRunner.start();
      runner.api.want(await runner.assign(`import os, sys\ndef fn(_):\n    ${code}`, python));
      const failed = await failure(runner, runner.api.call("fn", [0]));
      assert.equal(failed.kind, "user_error");
      assert.match(failed.message, message);
    });
  }

  it("delivers what is no UTF-8 with replacements", async () => {
    await using runner = await TestRunner.start();
    runner.api.want(
      await runner.assign(
        "import os\ndef fn(_): os.write(1, b'\\xff raw\\n'); os.write(2, b'\\xfe\\n')",
        python,
      ),
    );
    const batch = runner.api.call("fn", [0]);
    await end(runner, batch);
    assert.deepEqual(logged(runner, batch).sort(), ["stderr: \ufffd", "stdout: \ufffd raw"]);
  });
});
