/** guest.py as a real process: the same protocol, the same manners as guest.ts. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { withoutPython } from "../setup/machine.ts";
import { LIMITS } from "../../sdk/protocol.ts";
import { Host, type Kind, pythonGuest } from "../setup/guest_host.ts";

const METHODS = { train: { member: null, kind: "call", stream: false } } as const;

/** A ready guest whose train.py is this code, which defines `train`. */
async function ready(code: string, { concurrency = 1, files = {} } = {}): Promise<Host> {
  const host = await Host.start(pythonGuest, { "train.py": code, ...files });
  const answer = await host.load({ path: host.slot, entry: "train.py:train", methods: METHODS, concurrency });
  assert.equal(answer.t, "ready", JSON.stringify(answer));
  return host;
}

async function broken(code: string) {
  const host = await Host.start(pythonGuest, { "train.py": code });
  const answer = await host.load({ path: host.slot, entry: "train.py:train", methods: METHODS });
  assert.ok(answer.t === "broken");
  return { host, answer };
}

describe("guest.py runs calls", { skip: withoutPython }, () => {
  it("gives the handler its input and the facts of its call", async () => {
    await using host = await ready(`
def train(n, ctx):
    return [n * 2, ctx.call_id, ctx.attempt, ctx.app, ctx.function, ctx.container, ctx.rank, ctx.world_size]
`);
    host.call(7, 21, { attempt: 3 });
    assert.deepEqual(await host.value(7), [42, "call_0000000001_7", 3, "digits", "train", "ctr_1", 0, 1]);
  });

  const signatures: [code: string, result: unknown][] = [
    ["def train(): return 'none'", "none"],
    ["def train(input): return input", 5],
    ["def train(ctx): return ctx.attempt", 1],
    ["def train(input, *, ctx): return [input, ctx.attempt]", [5, 1]],
    ["def train(*all): return len(all)", 2],
    ["train = lambda input, ctx=None: ctx.attempt", 1],
  ];
  for (const [code, result] of signatures) {
    it(`passes what is asked for to ${code}`, async () => {
      await using host = await ready(code);
      host.call(1, 5);
      assert.deepEqual(await host.value(1), result);
    });
  }

  it("delivers None as null, tuples as lists, dataclasses as objects and NaN as null", async () => {
    await using host = await ready(`
import dataclasses
@dataclasses.dataclass
class Epoch:
    loss: float
def train(n):
    return [None, (1, 2), Epoch(0.5), float("nan"), "é€😀"]
`);
    host.call(1, null);
    assert.deepEqual(await host.value(1), [null, [1, 2], { loss: 0.5 }, null, "é€😀"]);
  });

  it("imports other modules of the bundle", async () => {
    await using host = await ready("from lib import double\ndef train(n): return double(n)", {
      files: { "lib.py": "def double(n): return 2 * n" },
    });
    host.call(1, 4);
    assert.equal(await host.value(1), 8);
  });

  it("starts calls in their order, one at a time, on the main thread", async () => {
    await using host = await ready(`
import threading
order = []
def train(n):
    order.append(n)
    return [list(order), threading.current_thread() is threading.main_thread()]
`);
    for (let c = 0; c < 500; c++) host.call(c, c);
    assert.deepEqual(await host.value(499), [Array.from({ length: 500 }, (_, i) => i), true]);
  });

  it("runs sync handlers side by side, no more than concurrency", async () => {
    await using host = await ready(
      `
import threading
together = threading.Barrier(3)
lock, now, most = threading.Lock(), 0, 0
def train(n):
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    together.wait()
    with lock: now -= 1
    return most
`,
      { concurrency: 3 },
    );
    for (let c = 0; c < 6; c++) host.call(c, null);
    assert.equal(await host.value(5), 3);
  });

  it("runs async handlers side by side, no more than concurrency", async () => {
    await using host = await ready(
      `
import asyncio
now, most = 0, 0
async def train(n):
    global now, most
    now += 1
    most = max(most, now)
    await asyncio.sleep(0.001)
    now -= 1
    return most
`,
      { concurrency: 3 },
    );
    for (let c = 0; c < 9; c++) host.call(c, null);
    for (let c = 0; c < 9; c++) await host.end(c);
    assert.equal(await host.value(8), 3);
  });

  it("sends each yield as an event, of generators and async generators", async () => {
    await using sync = await ready("def train(n):\n    for i in range(n): yield i\n    return 'end'");
    sync.call(1, 2);
    assert.equal(await sync.value(1), "end");
    assert.deepEqual(sync.all("event").map(({ kind, data }) => [kind, data]), [["yield", { value: 0 }], [
      "yield",
      { value: 1 },
    ]]);
    await using later = await ready("async def train(n):\n    for i in range(n): yield i");
    later.call(1, 2);
    assert.equal(await later.value(1), null);
    assert.deepEqual(later.all("event").map(({ data }) => data), [{ value: 0 }, { value: 1 }]);
  });

  it("passes on logs, reports, progress and what is printed", async () => {
    await using host = await ready(`
def train(n, ctx):
    ctx.log("epoch", n=n)
    ctx.report({"step": 1}, loss=float("nan"))
    ctx.progress(1, 2)
    print("printed", n)
`);
    host.call(1, 1);
    await host.end(1);
    await host.printed("printed 1\n");
    assert.deepEqual(host.all("log").map(({ c, text }) => [c, text]), [[1, 'epoch {"n":1}']]);
    assert.deepEqual(host.all("event").map(({ kind, data }) => [kind, data]), [
      ["report", { step: 1, loss: null }],
      ["progress", { done: 1, total: 2 }],
    ]);
  });
});

describe("guest.py tells what went wrong", { skip: withoutPython }, () => {
  it("sends the exception and a traceback that begins at the user's code", async () => {
    await using host = await ready(`
def layer(n):
    raise KeyError("no such layer")
def train(n):
    try: layer(n)
    except KeyError as error: raise RuntimeError("training failed") from error
`);
    host.call(1, null);
    const { message, stack, retryable } = await host.error(1);
    assert.equal(message, "RuntimeError: training failed");
    assert.match(stack!, /KeyError: 'no such layer'/);
    assert.match(stack!, /train\.py", line 6, in train/);
    assert.doesNotMatch(stack!, /berth_guest/);
    assert.equal(retryable, true);
  });

  it("marks an exception as final when it says so itself", async () => {
    await using host = await ready(`
class Negative(ValueError):
    retryable = False
def train(n): raise Negative("negative")
`);
    host.call(1, null);
    assert.equal((await host.error(1)).retryable, false);
  });

  it("has a result stored that is too large to travel, or looks like a reference, and ends with where it lies", async () => {
    await using host = await ready(
      `def train(c): return "€" * ${LIMITS.resultBytes / 2} if c == 1 else {"$blob": "0" * 32}`,
    );
    for (
      const [c, value] of [[1, "€".repeat(LIMITS.resultBytes / 2)], [2, { $blob: "0".repeat(32) }]] as const
    ) {
      host.call(c, c);
      const { frame, body } = await host.seen(({ frame }) => frame.t === "value-save" && frame.n === c);
      assert.deepEqual(JSON.parse(new TextDecoder().decode(body)), value);
      assert.equal(host.all("result").length, c - 1, "the call goes on meanwhile");
      const id = String(c).repeat(32);
      host.send({ t: "reply", n: (frame as Kind<"value-save">).n, ok: true, id });
      assert.deepEqual(await host.value(c), { $blob: id });
    }
    host.call(3, 1);
    const { n } = (await host.seen(({ frame }) => frame.t === "value-save" && frame.n === 3)).frame as Kind<
      "value-save"
    >;
    host.send({ t: "reply", n, ok: false, message: "the store is full" });
    assert.match((await host.error(3)).message, /the store is full/);
  });

  it("reads an input that stands for a large one before the handler runs", async () => {
    await using host = await ready(`def train(given): return len(given["text"])`);
    host.call(1, { $blob: "a".repeat(32) });
    const { n, id } = await host.next("value-load");
    assert.equal(id, "a".repeat(32));
    host.send(
      { t: "reply", n, ok: true },
      new TextEncoder().encode(JSON.stringify({ text: "é".repeat(3_000_000) })),
    );
    assert.equal(await host.value(1), 3_000_000);
    host.call(2, { text: "four", $blob: 1 });
    assert.equal(await host.value(2), 4);
    host.call(3, { $blob: "b".repeat(32) });
    const asked = (await host.seen(({ frame }) => frame.t === "value-load" && frame.id !== id)).frame as Kind<
      "value-load"
    >;
    host.send({ t: "reply", n: asked.n, ok: false, message: "there is none" });
    assert.match((await host.error(3)).message, /there is none/);
  });

  const unsendable: [what: string, code: string, message: RegExp][] = [
    [
      "a cycle",
      "def train(n):\n    a = []\n    a.append(a)\n    return a",
      /Cannot return this value.*Circular/,
    ],
    ["an object", "def train(n): return object()", /Cannot return this value.*an? object is not JSON/],
    ["bytes", "def train(n): return b'1'", /Cannot return this value.*a bytes is not JSON/],
    ["a yield that is no JSON", "def train(n): yield object()", /Cannot yield this value/],
  ];
  for (const [what, code, message] of unsendable) {
    it(`fails a call that returns ${what}, for good`, async () => {
      await using host = await ready(code);
      host.call(1, null);
      const error = await host.error(1);
      assert.match(error.message, message);
      assert.equal(error.retryable, false);
      host.call(2, null);
      await host.error(2);
    });
  }

  it("says where a module raised on import", async () => {
    const { host, answer } = await broken("x = 1\nraise RuntimeError('no weights')");
    await using _ = host;
    assert.equal(answer.message, "RuntimeError: no weights");
    assert.match(answer.stack!, /^Traceback.*\n {2}File ".*train\.py", line 2/);
  });

  it("says where a module does not parse", async () => {
    const { host, answer } = await broken("def train(:\n  pass");
    await using _ = host;
    assert.match(answer.message, /SyntaxError: .*train\.py, line 1/);
  });

  it("says that a function is missing", async () => {
    const { host, answer } = await broken("def other(): pass");
    await using _ = host;
    assert.match(answer.message, /train\.py has no function train/);
  });

  it("ends the process when the code exits it", async () => {
    await using host = await ready("import sys\ndef train(n):\n    print('leaving')\n    sys.exit(7)");
    host.call(1, null);
    const { code, stdout } = await host.output();
    assert.deepEqual([code, stdout], [7, "leaving\n"]);
  });
});

describe("guest.py ends calls and itself", { skip: withoutPython }, () => {
  const WAITS =
    "def train(n, ctx):\n    ctx.log('started')\n    ctx.cancelled.wait()\n    raise RuntimeError('told')";

  it("hears a cancel while a sync handler keeps the thread busy", async () => {
    await using host = await ready(
      "def train(n, ctx):\n    ctx.log('started')\n    while not ctx.cancelled.is_set(): pass\n    return 'told'",
    );
    host.call(1, null);
    await host.next("log");
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    assert.equal(await host.value(1), "told");
  });

  it("cancels an async handler where it waits", async () => {
    await using host = await ready(`
import asyncio
async def train(n, ctx):
    ctx.log("started")
    try: await asyncio.sleep(3600)
    finally: print("cleaned up")
`);
    host.call(1, null);
    await host.next("log");
    host.send({ t: "cancel", c: 1, reason: "timeout" });
    assert.match((await host.error(1)).message, /CancelledError/);
    await host.printed("cleaned up");
  });

  it("ends each async call that is cancelled, however early", async () => {
    await using host = await ready("import asyncio\nasync def train(n):\n    await asyncio.sleep(3600)", {
      concurrency: 50,
    });
    for (let c = 0; c < 50; c++) {
      host.call(c, null);
      host.send({ t: "cancel", c, reason: "cancelled" });
    }
    for (let c = 0; c < 50; c++) assert.match((await host.error(c)).message, /Cancelled/);
  });

  it("ends a generator that never ends by itself, and runs its finally", async () => {
    await using host = await ready(
      "def train(n):\n    try:\n        while True: yield 1\n    finally: print('closed')",
    );
    host.call(1, null);
    await host.next("event");
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    await host.error(1);
    await host.printed("closed");
  });

  it("gives back what it has not started, and drops what was cancelled before", async () => {
    await using host = await ready(WAITS);
    for (const c of [1, 2, 3, 4]) host.call(c, c);
    await host.next("log");
    host.send({ t: "cancel", c: 3, reason: "cancelled" });
    await host.error(3);
    host.send({ t: "recall" });
    assert.deepEqual((await host.next("recalled")).calls, [2, 4]);
    host.send({ t: "cancel", c: 1, reason: "cancelled" });
    assert.match((await host.error(1)).message, /told/);
    assert.equal(host.all("log").length, 1);
  });

  for (
    const [kind, code] of [["sync", "def train(n): return n"], [
      "async",
      "async def train(n): return n",
    ]] as const
  ) {
    it(`finishes what it was given before it leaves, when ${kind}`, async () => {
      await using host = await ready(`import atexit\natexit.register(print, "at exit")\n${code}`, {
        concurrency: 2,
      });
      for (const c of [1, 2, 3]) host.call(c, c);
      host.send({ t: "drain" });
      const { code: exit, stdout } = await host.output();
      assert.deepEqual([exit, stdout], [0, "at exit\n"]);
      assert.deepEqual(host.all("result").map(({ v }) => v as number).sort(), [1, 2, 3]);
    });
  }

  it("leaves when its host has gone, whatever runs", async () => {
    await using host = await ready(WAITS);
    host.call(1, null);
    await host.hangUp();
    assert.equal((await host.output()).code, 0);
  });
});

describe("ctx.checkpoint of guest.py", { skip: withoutPython }, () => {
  it("returns from save when the host has committed, and loads what was saved, byte for byte", async () => {
    await using host = await ready(`
def train(n, ctx):
    if n == "save":
        ctx.checkpoint.save(bytes([10, 0, 123, 10, 255]), name="weights")
        return "saved"
    data = ctx.checkpoint.load()
    return None if data is None else list(data)
`);
    host.call(1, "save");
    const { frame, body } = await host.seen(({ frame }) => frame.t === "checkpoint-save");
    assert.ok(frame.t === "checkpoint-save");
    assert.deepEqual([frame.c, frame.name, body], [1, "weights", new Uint8Array([10, 0, 123, 10, 255])]);
    assert.equal(host.all("result").length, 0);
    host.send({ t: "reply", n: frame.n, ok: true });
    assert.equal(await host.value(1), "saved");
    host.call(2, "load");
    const load = await host.next("checkpoint-load");
    assert.deepEqual([load.c, load.name], [2, undefined]);
    host.send({ t: "reply", n: load.n, ok: true }, new Uint8Array([10, 13]));
    assert.deepEqual(await host.value(2), [10, 13]);
  });

  it("raises the host's reason", async () => {
    await using host = await ready("def train(n, ctx): ctx.checkpoint.save(b'1')");
    host.call(1, null);
    const { n } = await host.next("checkpoint-save");
    host.send({ t: "reply", n, ok: false, message: "the attempt is over" });
    assert.match((await host.error(1)).message, /the attempt is over/);
  });
});

describe("ctx of guest.py beside TypeScript's", { skip: withoutPython }, () => {
  it("says why a call must end", async () => {
    await using host = await ready(`
def train(n, ctx):
    ctx.on_preempt(lambda left: ctx.log({"left": left}))
    ctx.log("started")
    ctx.cancelled.wait()
    return [ctx.reason, ctx.preempted.is_set()]
`);
    for (const [c, reason] of [[1, "cancelled"], [2, "timeout"]] as const) {
      host.call(c, null);
      await host.seen(({ frame }) => frame.t === "log" && frame.c === c);
      host.send({ t: "cancel", c, reason });
      assert.deepEqual(await host.value(c), [reason, false]);
    }
    host.call(3, null);
    await host.seen(({ frame }) => frame.t === "log" && frame.c === 3);
    host.send({ t: "preempt", deadlineMs: 500 });
    assert.deepEqual(await host.value(3), ["preempted", true]);
  });

  const wrong: [code: string, message: RegExp][] = [
    ["ctx.checkpoint.save('text')", /^TypeError: Cannot save a checkpoint: expected bytes, got str$/],
    ["ctx.checkpoint.save(b'', name='two words')", /^ValueError: Cannot name a checkpoint 'two words'/],
    ["ctx.report(loss=object())", /^Cannot report this value: .*a object is not JSON$/],
  ];
  for (const [code, message] of wrong) {
    it(`refuses ${code}, and the container goes on`, async () => {
      await using host = await ready(`def train(n, ctx):\n    if n: return n\n    ${code}`);
      host.call(1, null);
      assert.match((await host.error(1)).message, message);
      host.call(2, 2);
      assert.equal(await host.value(2), 2);
    });
  }
});

describe("guest.py's limits", { skip: withoutPython }, () => {
  it("are those of the contract", async () => {
    const source = await Deno.readTextFile(
      new URL("../../runner/guests/berth_guest/wire.py", import.meta.url),
    );
    for (
      const key of [
        "resultBytes",
        "valueBytes",
        "checkpointBytes",
        "logLineBytes",
        "failureMessageLength",
        "failureStackLength",
      ] as const
    ) {
      const name = key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
      const factors = new RegExp(`^${name} = (.+)$`, "m").exec(source)![1]!.replaceAll("_", "").split(" * ")
        .map(Number);
      assert.equal(factors.reduce((a, b) => a * b), LIMITS[key], name);
    }
  });
});
