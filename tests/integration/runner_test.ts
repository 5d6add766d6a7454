import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { withoutPython } from "../setup/machine.ts";
import type { Failure } from "../../sdk/protocol.ts";
import { TestRunner, tsFunction } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

/** The only end of a call, once it has one. */
const end = (runner: TestRunner, batch: number, index = 0) =>
  until(`call ${batch}:${index} has ended`, () => runner.api.endOf(batch, index) ?? null);

async function failure(runner: TestRunner, batch: number, index = 0): Promise<Failure> {
  const { outcome, value } = await end(runner, batch, index);
  assert.equal(outcome, 1, `expected a failure, got ${JSON.stringify(value)}`);
  return value as Failure;
}

/** A container that exits, and why. */
const exit = (runner: TestRunner, id: string) =>
  until(`container ${id} has exited`, () => runner.api.observed.get(id)?.exit ?? null);

const logText = (runner: TestRunner, batch: number, index = 0) =>
  (runner.api.logs.get(`${batch}:${index}`) ?? []).map(([, , , , stream, text]) => `${stream}: ${text}`);

const ready = (runner: TestRunner, id: string) =>
  untilTrue(`container ${id} is ready`, () => runner.api.observed.get(id)?.observed === "ready");

describe("a runner with TypeScript guests", () => {
  it("runs calls to their results, each once, in batches", async () => {
    await using runner = await TestRunner.start();
    runner.api.want(await runner.assign(tsFunction("(n) => n * 2")));
    const batch = runner.api.call("fn", Array.from({ length: 5_000 }, (_, i) => i));
    const ends = await until("all calls have ended", () => runner.api.endsOf(batch, 5_000));
    assert.deepEqual(ends.map(({ value }) => value), Array.from({ length: 5_000 }, (_, i) => i * 2));
    assert.ok(runner.api.exchangeSizes.length < 500, `${runner.api.exchangeSizes.length} exchanges`);
  });

  it("starts from the pool when a function declares nothing, and alone when it does", async () => {
    await using runner = await TestRunner.start({ poolSize: 1 });
    await untilTrue("the pool is filled", () => runner.prestarted() === 1);
    const [prestarted] = runner.guests();
    const source = tsFunction("() => Deno.pid");
    runner.api.want(await runner.assign(source));
    const pooled = await end(runner, runner.api.call("fn", [0]));
    assert.equal(pooled.value, prestarted);
    await untilTrue("the pool is filled again", () => runner.prestarted() === 1);
    const waiting = runner.guests().find((pid) => pid !== prestarted);
    runner.api.want(await runner.assign(source, { permissions: { env: ["X"] }, env: { X: "1" } }));
    const fresh = await end(runner, runner.api.call("fn", [0]));
    assert.ok(fresh.value !== prestarted && fresh.value !== waiting);
  });

  it("gives code only what its function declares", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(
      '(name) => { try { return Deno.env.get(name) ?? "unset"; } catch (e) { return e.name; } }',
    );
    runner.api.want(await runner.assign(source, { env: { GREETING: "hello" } }));
    const batch = runner.api.call("fn", ["GREETING", "PATH", "BERTH_SLOT"]);
    const ends = await until("all calls have ended", () => runner.api.endsOf(batch, 3));
    assert.deepEqual(ends.map(({ value }) => value), ["hello", "NotCapable", "NotCapable"]);
  });

  it("tells failures of the user's code apart", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`async (what, ctx) => {
      if (what === "throw") throw new TypeError("no such luck");
      if (what === "cycle") { const a = {}; a.a = a; return a; }
      if (what === "exit") Deno.exit(3);
      if (what === "forever") await new Promise((_, fail) => ctx.signal.addEventListener("abort", () => fail(ctx.signal.reason)));
      if (what === "busy") for (;;);
    }`);
    const timeout = { timeout: "400ms" };
    runner.api.want(await runner.assign(source, timeout));
    const thrown = runner.api.call("fn", ["throw", "cycle", "nothing", "forever"]);
    assert.match((await failure(runner, thrown, 0)).message, /TypeError: no such luck/);
    assert.match((await failure(runner, thrown, 1)).message, /^Cannot return this value: results are JSON/);
    assert.equal((await end(runner, thrown, 2)).value, null);
    assert.equal((await failure(runner, thrown, 3)).kind, "timeout");

    const exited = await failure(runner, runner.api.call("fn", ["exit"]));
    assert.equal(exited.kind, "user_error");
    assert.match(exited.message, /ended its own process \(exit code 3\)/);
    assert.equal((await exit(runner, "ctr_1")).kind, "user_error");

    runner.api.want(await runner.assign(source, timeout));
    assert.equal((await failure(runner, runner.api.call("fn", ["busy"]))).kind, "timeout");
    assert.equal((await exit(runner, "ctr_2")).kind, "timeout");
  });

  it("ends what allocates without end, inside the heap and outside", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`async (what) => {
      const kept = [];
      for (;;) {
        kept.push(what === "heap" ? Array.from({ length: 1e5 }, (_, i) => ({ i })) : new Uint8Array(8e6).fill(1));
        if (what === "buffers") await new Promise((done) => setTimeout(done, 1));
      }
    }`);
    for (const [i, what] of ["heap", "buffers"].entries()) {
      runner.api.want(await runner.assign(source, { memory: 160 }));
      assert.equal((await failure(runner, runner.api.call("fn", [what]))).kind, "out_of_memory", what);
      assert.equal((await exit(runner, `ctr_${i + 1}`)).kind, "out_of_memory");
    }
  });

  it("says why a module cannot be loaded", async () => {
    await using runner = await TestRunner.start();
    runner.api.want(
      await runner.assign('throw new Error("not today");'),
      await runner.assign("export const other = 1;"),
      { ...await runner.assign("1"), bundle: "0".repeat(64) },
    );
    assert.match((await exit(runner, "ctr_1")).message, /not today/);
    assert.match((await exit(runner, "ctr_2")).message, /exports no function of that name/);
    assert.equal((await exit(runner, "ctr_3")).kind, "start_failed");
  });

  it("refuses a bundle whose bytes are not those of its digest", async () => {
    await using runner = await TestRunner.start();
    const assignment = await runner.assign(tsFunction("() => 1"));
    runner.api.bundles.set(
      assignment.bundle,
      new TextEncoder().encode('{"version":1,"files":{"app.js":"evil()"}}'),
    );
    runner.api.want(assignment);
    const { kind, message } = await exit(runner, assignment.id);
    assert.equal(kind, "start_failed");
    assert.match(message, /^Cannot use bundle [0-9a-f]{12}…: its bytes have the digest/);
  });

  it("gives up a start that takes too long", async () => {
    await using runner = await TestRunner.start();
    runner.api.want(
      await runner.assign("await new Promise(() => setInterval(() => {}, 1e6));", { startTimeout: "300ms" }),
    );
    const { kind, message } = await exit(runner, "ctr_1");
    assert.deepEqual([kind, message], [
      "start_failed",
      "It was not ready within 300ms: the process connected, but its code was not loaded",
    ]);
    await untilTrue("its process is gone", () => runner.guests().length === 0);
  });

  it("delivers what a call printed before its end, to that call", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`(n, ctx) => {
      console.log("out " + n);
      console.error("err " + n);
      ctx.log("log " + n);
      Deno.stdout.writeSync(new Uint8Array([0xff, 0x00, 0x41]));
      return n;
    }`);
    runner.api.want(await runner.assign(source));
    const batch = runner.api.call("fn", [0, 1, 2, 3]);
    await until("all calls have ended", () => runner.api.endsOf(batch, 4));
    for (const n of [0, 1, 2, 3]) {
      const lines = logText(runner, batch, n).sort();
      assert.deepEqual(
        lines,
        [`log: log ${n}`, `stderr: err ${n}`, `stdout: out ${n}`, "stdout: \ufffd\ufffdA"].sort(),
      );
    }
  });

  it("is not held up by a gigabyte of output, and says what it dropped", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`() => {
      const block = new TextEncoder().encode("x".repeat(99) + "\\n").slice();
      const many = new Uint8Array(1_000_000);
      for (let at = 0; at < many.length; at += 100) many.set(block, at);
      for (let i = 0; i < 1_000; i++) for (let at = 0; at < many.length;) at += Deno.stdout.writeSync(many.subarray(at));
      return "done";
    }`);
    runner.api.want(await runner.assign(source));
    const batch = runner.api.call("fn", [0]);
    assert.equal((await end(runner, batch)).value, "done");
    const lines = logText(runner, batch);
    assert.ok(lines.join("").length < 4_000_000);
    assert.ok(
      lines.some((line) =>
        /^system: Dropped \d+ KiB of output: a container may print 256 KiB a second$/.test(line)
      ),
    );
  });

  it("passes on reports, progress and yields as they happen", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`async function* (to, ctx) {
      for (let n = 1; n <= to; n++) { ctx.progress(n, to); ctx.report({ loss: 1 / n }); yield n; }
      return "end";
    }`);
    runner.api.want(await runner.assign(source));
    const batch = runner.api.call("fn", [2]);
    assert.equal((await end(runner, batch)).value, "end");
    const told = runner.api.events.get(`${batch}:0`)!.map(([, , n, , kind, data]) => [n, kind, data]);
    assert.deepEqual(told, [
      [0, "started", { container: "ctr_1" }],
      [1, "progress", { done: 1, total: 2 }],
      [2, "report", { loss: 1 }],
      [3, "yield", { value: 1 }],
      [4, "progress", { done: 2, total: 2 }],
      [5, "report", { loss: 0.5 }],
      [6, "yield", { value: 2 }],
    ]);
  });

  it("stores checkpoints and loads the last one", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`async (size, ctx) => {
      if (await ctx.checkpoint.load() !== undefined) throw new Error("there should be none");
      await ctx.checkpoint.save(new Uint8Array(size).fill(7));
      const back = await ctx.checkpoint.load();
      await ctx.checkpoint.save(new Uint8Array(0), { name: "shared" });
      return [back.length, back.every((byte) => byte === 7)];
    }`);
    runner.api.want(await runner.assign(source));
    const batch = runner.api.call("fn", [3, 5_000_000]);
    assert.deepEqual((await end(runner, batch, 0)).value, [3, true]);
    assert.deepEqual((await end(runner, batch, 1)).value, [5_000_000, true]);
    assert.equal(runner.api.checkpoints.get("shared")?.length, 0);
  });

  it("passes requests to the platform on, for its container, and the answers back as they come", async () => {
    await using runner = await TestRunner.start();
    const source = `import { App, Function } from "berth";
      const app = new App("test");
      export const fn = app.function({}, async (n) => (await Function.fromName("test", "other").spawn(n)).id);`;
    runner.api.answer = (path) =>
      path.endsWith("/calls")
        ? Response.json(
          { batch: "batch_0000000001", calls: [{ id: "call_0000000001_0", state: "queued" }] },
          { status: 202 },
        )
        : new Response(null, { status: 404 });
    runner.api.want(await runner.assign(source));
    const ended = await end(runner, runner.api.call("fn", [5]));
    assert.equal(ended.value, "call_0000000001_0", JSON.stringify(ended));
    const [request] = runner.api.requests;
    assert.deepEqual([request!.container, request!.path], ["ctr_1", "/v1/apps/test/functions/other/calls"]);
  });
});

describe("a runner with Python guests", { skip: withoutPython }, () => {
  const python = { body: "python" } as const;

  it("runs calls, tells failures apart, and delivers what was printed", async () => {
    await using runner = await TestRunner.start();
    const source = [
      "import os, sys",
      "def fn(what):",
      "    print('out', what)",
      "    print('err', what, file=sys.stderr)",
      "    if what == 'raise': raise ValueError('no such luck')",
      "    if what == 'exit': os._exit(4)",
      "    return [what, os.environ.get('GREETING'), os.environ.get('HOME') == os.environ['BERTH_SLOT']]",
    ].join("\n");
    runner.api.want(await runner.assign(source, { ...python, env: { GREETING: "hello" } }));
    const batch = runner.api.call("fn", ["a", "raise"]);
    assert.deepEqual((await end(runner, batch, 0)).value, ["a", "hello", true]);
    assert.match((await failure(runner, batch, 1)).message, /no such luck/);
    assert.deepEqual(logText(runner, batch, 0).sort(), ["stderr: err a", "stdout: out a"]);
    const exited = await failure(runner, runner.api.call("fn", ["exit"]));
    assert.match(exited.message, /^The function ended its own process \(exit code 4\)/);
  });
});

describe("a runner ending calls", () => {
  it("cancels a call that listens, and goes on with the same guest", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`(wait, ctx) => wait
      ? new Promise((_, fail) => ctx.signal.addEventListener("abort", () => fail(ctx.signal.reason)))
      : Deno.pid`);
    runner.api.want(await runner.assign(source));
    const before = await end(runner, runner.api.call("fn", [false]));
    const batch = runner.api.call("fn", [true]);
    await untilTrue("it has started", () => runner.api.events.has(`${batch}:0`));
    runner.api.cancel(batch, 0);
    assert.equal((await end(runner, batch)).outcome, 2);
    assert.equal((await end(runner, runner.api.call("fn", [false]))).value, before.value);
  });

  it("kills the process and its children for a call that does not end", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`async () => {
      const child = new Deno.Command("sleep", { args: ["1000"] }).spawn();
      console.log("child " + child.pid);
      await new Promise(() => setInterval(() => {}, 1e6));
    }`);
    runner.api.want(await runner.assign(source, { permissions: { run: true } }));
    const batch = runner.api.call("fn", [0]);
    const line = await until(
      "it has started a child",
      () => logText(runner, batch).find((text) => /child \d/.test(text)) ?? null,
    );
    const child = Number(line.split(" ").at(-1));
    runner.api.cancel(batch, 0);
    assert.equal((await end(runner, batch)).outcome, 2);
    assert.deepEqual(await exit(runner, "ctr_1"), {
      kind: "cancelled",
      message: "A cancelled call did not end when it was told to",
    });
    await untilTrue("the child is gone", () => !alive(child));
  });

  it("lets the companions of a killed call run again", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(`async (what) => {
      if (what === "stuck") await new Promise(() => setInterval(() => {}, 1e6));
      await new Promise((done) => setTimeout(done, 1_000));
      return what;
    }`);
    runner.api.want(await runner.assign(source, { concurrency: 2 }));
    const stuck = runner.api.call("fn", ["stuck"]);
    const other = runner.api.call("fn", ["other"]);
    await untilTrue(
      "both have started",
      () => runner.api.events.has(`${stuck}:0`) && runner.api.events.has(`${other}:0`),
    );
    runner.api.cancel(stuck, 0);
    await exit(runner, "ctr_1");
    assert.equal((await end(runner, stuck)).outcome, 2);
    assert.equal(runner.api.endOf(other), undefined);
    runner.api.want(await runner.assign(source, { concurrency: 2 }));
    const ended = await end(runner, other);
    assert.deepEqual([ended.value, ended.attempt], ["other", 2]);
  });

  it("drains: what runs ends, what waits runs elsewhere", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(
      "async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; }",
    );
    const assignment = await runner.assign(source);
    runner.api.want(assignment);
    const batch = runner.api.call("fn", [600, 1, 1]);
    await untilTrue("the first has started", () => runner.api.events.has(`${batch}:0`));
    runner.api.want({ ...assignment, desired: "drain" });
    assert.equal((await end(runner, batch, 0)).value, 600);
    assert.deepEqual(await exit(runner, "ctr_1"), { kind: "stopped", message: "It was no longer wanted" });
    assert.equal(runner.api.endOf(batch, 1), undefined);
    runner.api.want(await runner.assign(source));
    const late = await end(runner, batch, 2);
    assert.deepEqual([late.value, late.attempt], [1, 1]);
  });

  it("gives back what was fetched ahead of a slow call, for another container that is free", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(
      "async (ms) => { if (ms > 0) await new Promise((done) => setTimeout(done, ms)); return ms; }",
    );
    runner.api.want(await runner.assign(source));
    await end(runner, runner.api.call("fn", Array(2_000).fill(0)), 1_999);
    const batch = runner.api.call("fn", [60_000, ...Array(200).fill(0)]);
    await untilTrue("the slow one has started", () => runner.api.events.has(`${batch}:0`));
    runner.api.want(...runner.api.wanted, await runner.assign(source));
    await until(
      "all others have ended",
      () => runner.api.endsOf(batch, 201)?.length ?? (others(runner, batch, 200) ? 1 : null),
    );
    assert.equal(runner.api.endOf(batch, 0), undefined);
    assert.ok(runner.api.givenBack >= 64);
  });
});

/** Whether calls 1 to `count` of a batch have ended. */
const others = (runner: TestRunner, batch: number, count: number) =>
  Array.from({ length: count }, (_, i) => runner.api.endOf(batch, i + 1)).every((ended) =>
    ended !== undefined
  );

/** A process that is not a zombie. */
function alive(pid: number): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`) !== "";
  } catch {
    return false;
  }
}

describe("a runner among failures", () => {
  it("kill -9 of a guest during a map: every call ends once, with its result", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(
      "async (n) => { if (n % 50 === 0) await new Promise((done) => setTimeout(done, 20)); return n; }",
    );
    const spec = { concurrency: 4 };
    runner.api.want(await runner.assign(source, spec), await runner.assign(source, spec));
    const batch = runner.api.call("fn", Array.from({ length: 2_000 }, (_, i) => i));
    await untilTrue("some have ended", () => runner.api.ended.size > 100);
    Deno.kill(runner.guests()[0]!, "SIGKILL");
    await untilTrue("a container is gone", () => runner.api.wanted.length === 1);
    runner.api.want(...runner.api.wanted, await runner.assign(source, spec));
    const ends = await until("all calls have ended", () => runner.api.endsOf(batch, 2_000));
    assert.deepEqual(ends.map(({ value }) => value), Array.from({ length: 2_000 }, (_, i) => i));
    assert.ok(ends.every(({ outcome }) => outcome === 0));
  });

  it("lost replies: claims come again, reports count once", async () => {
    await using runner = await TestRunner.start();
    runner.api.loseReplies = 8;
    runner.api.want(await runner.assign(tsFunction("(n) => n")));
    const batch = runner.api.call("fn", Array.from({ length: 3_000 }, (_, i) => i));
    const ends = await until("all calls have ended", () => runner.api.endsOf(batch, 3_000));
    assert.deepEqual(ends.map(({ value }) => value), Array.from({ length: 3_000 }, (_, i) => i));
    assert.ok(ends.every(({ attempt }) => attempt === 1));
    assert.equal(runner.api.loseReplies, 0);
  });

  it("an api that is away for a while: what finished meanwhile is told when it is back", async () => {
    await using runner = await TestRunner.start();
    runner.api.want(
      await runner.assign(
        tsFunction("async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; }"),
      ),
    );
    const batch = runner.api.call("fn", [300]);
    await untilTrue("it has started", () => runner.api.events.has(`${batch}:0`));
    runner.api.away = true;
    await untilTrue("it has tried in vain", () => runner.api.turnedAway >= 8);
    assert.equal(runner.api.endOf(batch), undefined);
    runner.api.away = false;
    const ended = await end(runner, batch);
    assert.deepEqual([ended.value, ended.attempt], [300, 1]);
  });

  it("a result that cannot be stored fails its call alone", async () => {
    await using runner = await TestRunner.start();
    runner.api.refuses = ({ reports }) =>
      JSON.stringify(reports).includes('"poison"') ? "cannot be stored" : null;
    runner.api.want(await runner.assign(tsFunction("(n) => n")));
    const inputs = Array.from({ length: 300 }, (_, i) => i === 150 ? "poison" : i);
    const batch = runner.api.call("fn", inputs);
    const ends = await until("all calls have ended", () => runner.api.endsOf(batch, 300));
    assert.deepEqual(ends.map(({ outcome }) => outcome), inputs.map((input) => input === "poison" ? 1 : 0));
    assert.equal((ends[150]!.value as Failure).message, "Cannot store the result: cannot be stored");
  });

  it("code that speaks into its guest's channel is killed, and its calls fail", async () => {
    await using runner = await TestRunner.start();
    const source = `import { Socket } from "node:net";\n` + tsFunction(`async (frame) => {
      for (let fd = 3; fd < 40; fd++) try { new Socket({ fd }).write(frame + "\\n"); } catch { /* not a socket */ }
      await new Promise((done) => setTimeout(done, 2_000));
    }`);
    for (
      const [i, frame] of ['{"t":"result","c":999,"v":1}', "nonsense", '{"t":"hello","protocol":1,"pid":1}']
        .entries()
    ) {
      runner.api.want(await runner.assign(source));
      const { kind, message } = await failure(runner, runner.api.call("fn", [frame]));
      assert.equal(kind, "user_error");
      assert.match(message, /^The function spoke outside the guest protocol: /);
      await exit(runner, `ctr_${i + 1}`);
    }
  });

  it("a new session: what ran is gone and the node begins afresh", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(
      "async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; }",
    );
    runner.api.want(await runner.assign(source));
    await ready(runner, "ctr_1");
    const [pid] = runner.guests();
    runner.api.want();
    runner.api.evict();
    await untilTrue("it has joined again", () => runner.api.joins.length === 2);
    assert.notEqual(runner.api.joins[0]!.session, runner.api.joins[1]!.session);
    await untilTrue("the old guest is gone", () => !alive(pid!));
    runner.api.want(await runner.assign(source));
    assert.equal((await end(runner, runner.api.call("fn", [1]))).value, 1);
  });

  it("stopping: what runs may end, the rest is given back, everything is told", async () => {
    const runner = await TestRunner.start({ drainMs: 3_000 });
    runner.api.want(
      await runner.assign(
        tsFunction("async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; }"),
      ),
    );
    const batch = runner.api.call("fn", [500]);
    await untilTrue("it has started", () => runner.api.events.has(`${batch}:0`));
    runner.agent.stop();
    await runner.ran;
    assert.equal(runner.api.endOf(batch)?.value, 500);
    assert.equal(runner.api.observed.get("ctr_1")?.exit?.kind, "stopped");
    assert.deepEqual(runner.guests(), []);
    await runner[Symbol.asyncDispose]();
  });
});
