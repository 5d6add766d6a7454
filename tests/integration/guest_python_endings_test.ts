/** How calls in guest.py end when user code does the worst: each as runner/README.md says. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { withoutPython } from "../setup/machine.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { Host, pythonGuest } from "../setup/guest_host.ts";

const METHODS = { train: { member: null, kind: "call", stream: false } } as const;

/** A ready guest whose train.py is this code, which defines `train`. */
async function ready(code: string, concurrency = 1): Promise<Host> {
  const host = await Host.start(pythonGuest, { "train.py": code });
  const answer = await host.load({ path: host.slot, entry: "train.py:train", methods: METHODS, concurrency });
  assert.equal(answer.t, "ready", JSON.stringify(answer));
  return host;
}

/** The guest is as good as before. */
async function goesOn(host: Host, input: unknown = "again"): Promise<void> {
  host.call(99, input);
  assert.equal(await host.value(99), input);
}

describe("guest.py stands what is large", { skip: withoutPython }, () => {
  it("an input of 100 MB, far above what a runner sends", async () => {
    await using host = await ready("def train(text): return len(text)");
    const size = 100_000_000;
    const head = '{"t":"call","c":1,"id":"call_0000000001_1","method":"train","attempt":1,"input":"';
    const frame = new Uint8Array(head.length + size + 3).fill("x".charCodeAt(0));
    frame.set(new TextEncoder().encode(head));
    frame.set(new TextEncoder().encode('"}\n'), head.length + size);
    host.write(frame);
    assert.equal(await host.value(1), size);
  });

  it("the largest input that may travel, and a result of the same size", async () => {
    await using host = await ready("def train(text): return text");
    await goesOn(host, "x".repeat(LIMITS.inputBytes - 2));
  });

  it("a generator of 100,000 yields", async () => {
    await using host = await ready("def train(n):\n    for i in range(n): yield i\n    return 'end'");
    host.call(1, 100_000);
    assert.equal(await host.value(1), "end");
    const yields = host.all("event");
    assert.equal(yields.length, 100_000);
    assert.deepEqual(yields.at(-1)!.data, { value: 99_999 });
  });

  const deep: [what: string, code: string, message: RegExp][] = [
    [
      "a result nested too deep for its readers",
      "x = []\n    for _ in range(800): x = [x]\n    return x",
      /nested 801 levels deep, at most/,
    ],
    [
      "such a result that would be stored for its size",
      `v = "x" * ${LIMITS.resultBytes}\n    for _ in range(800): v = [v]\n    return v`,
      /nested 800 levels deep, at most/,
    ],
  ];
  for (const [what, code, message] of deep) {
    it(`fails a call with ${what}, and goes on`, async () => {
      await using host = await ready(`def train(n):\n    if n: return n\n    ${code}`);
      host.call(1, null);
      const error = await host.error(1);
      assert.match(error.message, message);
      assert.equal(error.retryable, false);
      await goesOn(host);
    });
  }
});

describe("guest.py fails the call, and goes on", { skip: withoutPython }, () => {
  const failing: [what: string, code: string, message: RegExp][] = [
    [
      "too deep a recursion",
      "def deeper(): return deeper()\n    deeper()",
      /^RecursionError: maximum recursion/,
    ],
    ["a message that is a number", "raise ValueError(42)", /^ValueError: 42$/],
    ["a message that is bytes", "raise ValueError(b'\\xff')", /^ValueError: b'\\xff'$/],
    [
      "a message that cannot be made",
      "class Mute(Exception):\n        def __str__(self): raise RuntimeError('no')\n    raise Mute()",
      /^Mute: its message cannot be shown$/,
    ],
    [
      "a message that is no text",
      "class Odd(Exception):\n        def __str__(self): return 7\n    raise Odd()",
      /^Odd: its message cannot be shown$/,
    ],
    ["KeyboardInterrupt", "raise KeyboardInterrupt", /^KeyboardInterrupt$/],
    ["SIGINT", "import os, signal\n    os.kill(os.getpid(), signal.SIGINT)", /^KeyboardInterrupt$/],
    ["GeneratorExit", "raise GeneratorExit", /^GeneratorExit$/],
    ["a lone surrogate", "raise ValueError('\\udcff')", /^ValueError: \udcff$/],
    [
      "a closed stdout",
      "import sys\n    sys.stdout.close()\n    print('?')",
      /I\/O operation on closed file/,
    ],
    ["fd 1 closed", "import os\n    os.close(1)\n    print('?')", /Bad file descriptor/],
  ];
  for (const [what, code, message] of failing) {
    it(`after ${what}`, async () => {
      await using host = await ready(`def train(n):\n    if n: return n\n    ${code}`);
      host.call(1, null);
      assert.match((await host.error(1)).message, message);
      await goesOn(host);
    });
  }

  it("after fd 2 was closed, says no more there", async () => {
    await using host = await ready("import os\ndef train(n):\n    os.close(2)\n    return n");
    await goesOn(host);
  });

  it("prints what is no UTF-8 as it is", async () => {
    await using host = await ready(
      "import os\ndef train(n):\n    os.write(1, b'\\xff\\xfe raw\\n')\n    print('\\udcff')\n    return n",
    );
    await goesOn(host);
    await host.printed("\ufffd\ufffd raw\n\\udcff\n");
  });

  for (const define of ["def", "async def"]) {
    it(`heeds no signal handler that user code has left behind (${define})`, async () => {
      await using host = await ready(`
import os, signal
def late(*_): raise TimeoutError("left behind")
def ring(*_):
    signal.raise_signal(signal.SIGALRM)
    print("rung")
${define} train(n):
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE): signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGUSR1, ring)
    if n == "ring": signal.raise_signal(signal.SIGUSR1)
    if n == "interrupt": signal.raise_signal(signal.SIGINT)
    return n
`);
      await goesOn(host);
      for (const signal of ["SIGINT", "SIGALRM", "SIGUSR1"] as const) Deno.kill(host.process.pid, signal);
      host.call(3, "still"); // Python may hear of signals only when its main thread wakes
      assert.equal(await host.value(3), "still");
      await host.printed("rung");
      host.call(4, "ring"); // in user code they raise, through each other too
      assert.match((await host.error(4)).message, /left behind/);
      host.call(5, "interrupt");
      assert.match((await host.error(5)).message, /^KeyboardInterrupt$/);
      host.call(6, "still");
      assert.equal(await host.value(6), "still");
    });
  }

  it("says nothing for a call that has ended, though its threads go on", async () => {
    await using host = await ready(`
import threading
end, ended = threading.Event(), threading.Event()
def beside(ctx):
    end.wait()
    ctx.log("late")
    ctx.report(loss=1)
    try: ctx.checkpoint.save(b"late")
    except RuntimeError as error: print(error)
    ended.set()
def train(n, ctx):
    if n == "start": threading.Thread(target=beside, args=(ctx,)).start()
    else:
        end.set()
        ended.wait()
    return n
`);
    host.call(1, "start");
    assert.equal(await host.value(1), "start");
    await goesOn(host);
    await host.printed("Cannot save a checkpoint: the call has ended");
    assert.deepEqual([host.all("log"), host.all("event"), host.all("checkpoint-save")], [[], [], []]);
  });

  it("lets a process that user code forked not speak for it", async () => {
    await using host = await ready(`
import os
def train(n, ctx):
    child = os.fork()
    if child == 0:
        ctx.log("from the child")
        try: ctx.checkpoint.load()
        except RuntimeError as error: print(error)
        if n == "exit": os._exit(3)
        return "of the child"
    return [n, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
`);
    host.call(1, "return");
    assert.deepEqual(await host.value(1), ["return", 0]);
    host.call(2, "exit");
    assert.deepEqual(await host.value(2), ["exit", 3]);
    await host.printed("Cannot ask the platform from a forked process");
    assert.deepEqual([host.all("log").length, host.all("result").length], [0, 2]);
  });
});

describe("guest.py ends with the code that ends its process", { skip: withoutPython }, () => {
  const leaving: [code: string, exit: number, stderr: RegExp][] = [
    ["sys.exit()", 0, /^$/],
    ["sys.exit(7)", 7, /^$/],
    ["sys.exit(256 + 9)", 9, /^$/],
    ["sys.exit('no weights')", 1, /^no weights\n$/],
    ["os._exit(4)", 4, /^$/],
  ];
  for (const [code, exit, stderr] of leaving) {
    it(code, async () => {
      await using host = await ready(
        `import os, sys\ndef train(n):\n    if n: return n\n    print('last', end='')\n    ${code}`,
      );
      host.call(1, "before");
      host.call(2, null);
      const output = await host.output();
      assert.equal(output.code, exit);
      assert.match(output.stderr, stderr);
      if (!code.startsWith("os")) assert.equal(output.stdout, "last");
      assert.equal(await host.value(1), "before");
    });
  }

  const crashing: [what: string, code: string, signal: Deno.Signal][] = [
    ["os.abort", "os.abort()", "SIGABRT"],
    [
      "a C stack that overflows",
      "sys.setrecursionlimit(10**8)\n    def deeper(_=0): return sorted([0], key=deeper)\n    deeper()",
      "SIGSEGV",
    ],
  ];
  for (const [what, code, signal] of crashing) {
    it(`crashes with ${what}, and says in which line`, async () => {
      await using host = await ready(`import os, sys\ndef train(n):\n    ${code}`);
      host.call(1, null);
      const { stderr } = await host.output();
      assert.equal((await host.process.status).signal, signal);
      assert.match(stderr, /train\.py", line [34] in (train|deeper)/);
    });
  }
});
