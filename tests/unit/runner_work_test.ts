import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { adoptedLease } from "../../runner/adopted.ts";
import { Leases } from "../../runner/leases.ts";
import { Outbox } from "../../runner/outbox.ts";
import { Redactor } from "../../runner/redact.ts";
import { Work } from "../../runner/work.ts";
import { type Failure, formatCallId, type Json, LIMITS, type Report } from "../../sdk/protocol.ts";

const TIMEOUT_MS = 1_000;
const GRACE_MS = 100;

/** Work of one container with a clock that the test moves, and all that came of it. */
function setup({ concurrency = 1, printing = false, redactor = new Redactor(), stream = false } = {}) {
  let now = 10_000;
  const outbox = new Outbox();
  const leases = new Leases();
  const sent: Record<string, unknown>[] = [];
  const killed: string[] = [];
  const quiet = Promise.withResolvers<void>();
  const cpu = { us: 0 };
  const work = new Work({
    container: "ctr_1",
    spec: { concurrency, timeout: "1s", methods: [{ name: "fn", kind: "call", stream }] },
    graceMs: GRACE_MS,
    outbox,
    now: () => now,
    send: (frame) => void sent.push(JSON.parse(frame)),
    backlog: () => 0,
    cpuUs: () => cpu.us,
    kill: (why) => void killed.push(why),
    printing: () => printing,
    quiet: () => quiet.promise,
    hungry: () => {},
    redactor: () => redactor,
  });
  let claims = 0;
  const give = (...inputs: Json[]) => {
    const claim = {
      lease: ++claims,
      container: "ctr_1",
      batch: 7,
      lo: 100 * claims,
      attempt: 2,
      method: "fn",
      inputs,
    };
    const lease = leases.open(claim, now)!;
    work.give(lease);
    return lease;
  };
  return {
    work,
    outbox,
    sent,
    killed,
    quiet,
    cpu,
    give,
    calls: () => sent.filter(({ t }) => t === "call").map(({ c }) => c),
    pass: (ms: number) => {
      now += ms;
      work.tick(now);
    },
    /** The guest returns a value; the turn is over. */
    result: (number: number, value: Json = null) => {
      const wrong = work.result(number, value, 10);
      work.endOfTurn();
      return wrong;
    },
    reports: () => [...outbox.take()?.reports.values() ?? []].flat(),
  };
}

const outcomes = (reports: readonly Report[]) => reports.map(([index, outcome]) => [index, outcome]);
const failureOf = (report: Report | undefined) => report![2] as Failure;

describe("Work sending calls", () => {
  it("sends as many as may run, and the next when one ends", () => {
    const { give, calls, result } = setup({ concurrency: 2 });
    give("a", "b", "c");
    assert.deepEqual(calls(), [0, 1]);
    result(1);
    assert.deepEqual(calls(), [0, 1, 2]);
  });

  it("sends what the call is", () => {
    const { give, sent } = setup();
    give({ x: 1 });
    assert.deepEqual(sent, [{
      t: "call",
      c: 0,
      id: "call_0000000007_2s",
      method: "fn",
      attempt: 2,
      input: { x: 1 },
    }]);
  });

  it("sends short calls ahead once it knows that they are short", () => {
    const { give, calls, result, work } = setup();
    give(...Array(500).fill(0));
    for (let n = 0; n < 100; n++) result(n);
    assert.equal(calls().length, 100 + 1 + 64);
    assert.ok(work.free(4_000) > 0);
  });

  it("asks for exactly as many as may run while the pace is not known", () => {
    const { work, give } = setup({ concurrency: 3 });
    assert.equal(work.free(4_000), 3);
    give("a", "b");
    assert.equal(work.free(4_000), 1);
    give("c", "d");
    assert.equal(work.free(4_000), 0);
  });
});

describe("Work of a guest that an earlier runner started", () => {
  /** Three calls of a batch, 0.4 s old, of which the middle one has been reported. */
  const open = {
    lease: 5,
    container: "ctr_1",
    batch: 7,
    attempt: 2,
    method: "fn",
    indexes: [100, 102, 103],
    ageMs: 400,
  };
  const call = (c: number, index: number, attempt = 2) => ({
    c,
    id: formatCallId({ batch: 7, index }),
    attempt,
  });
  const adopt = (options: Parameters<typeof setup>[0] = {}) => {
    const all = setup({ concurrency: 4, ...options });
    const lease = adoptedLease(open, 10_000);
    all.work.adopt([lease]);
    return { ...all, lease };
  };

  it("goes on with what runs, and loses what does not", () => {
    const { work, result, reports, give, calls } = adopt();
    assert.equal(work.idle, false);
    work.resume({ next: 9, running: [call(3, 100), call(8, 103)] });
    assert.deepEqual(reports().map(([index, , value]) => [index, (value as Failure).kind]), [[
      102,
      "node_lost",
    ]]);
    assert.equal(result(3, "a"), null);
    assert.deepEqual(reports(), [[100, 0, "a", 9_600, 10_000, 0]]);
    give("new");
    assert.deepEqual(calls(), [9]);
  });

  it("counts the time that a call has run already", () => {
    const { work, pass, sent } = adopt();
    work.resume({ next: 1, running: [call(0, 100)] });
    pass(599);
    assert.deepEqual(sent, []);
    pass(2);
    assert.deepEqual(sent, [{ t: "cancel", c: 0, reason: "timeout" }]);
  });

  it("numbers what is told above all that may have been told before", () => {
    const { work, outbox } = adopt();
    work.resume({ next: 1, running: [call(0, 100)] });
    assert.equal(work.log(0, "log", "a line"), null);
    const [[, index, n]] = outbox.take()!.logs as unknown as [[number, number, number]];
    assert.equal(index, 100);
    assert.ok(n > 400 * 100);
  });

  it("ends what nobody waits for, and passes over what it says", () => {
    const { work, pass, sent, result, reports } = adopt();
    work.resume({ next: 4, running: [call(1, 55), call(2, 100, 1), call(3, 100)] });
    pass(1);
    assert.deepEqual(sent.map(({ t, c }) => [t, c]), [["cancel", 1], ["cancel", 2]]);
    reports();
    assert.equal(result(1), null);
    assert.deepEqual(reports().map(([index, outcome]) => [index, outcome]), [[55, 2]]); // of no lease
    assert.equal(result(0), null, "what it had ended before");
    assert.match(result(4)!, /does not run/);
  });

  it("does streams again: what they have told is not known", () => {
    const { work, pass, sent, reports } = adopt({ stream: true });
    work.resume({ next: 1, running: [call(0, 100)] });
    pass(1);
    assert.deepEqual(sent, [{ t: "cancel", c: 0, reason: "cancelled" }]);
    reports();
    work.error(0, { message: "aborted", retryable: true });
    assert.equal(failureOf(reports()[0]).kind, "node_lost");
  });

  it("cancels before it knows the number", () => {
    const { work, pass, sent, lease } = adopt();
    work.cancel(lease.calls[0]!);
    assert.deepEqual(sent, []);
    work.resume({ next: 1, running: [call(0, 100)] });
    pass(1);
    assert.deepEqual(sent, [{ t: "cancel", c: 0, reason: "cancelled" }]);
  });

  it("loses all when it never says what runs", () => {
    const { work, reports } = adopt();
    work.end({ kind: "node_lost", message: "gone" });
    assert.deepEqual(outcomes(reports()), [[100, 1], [102, 1], [103, 1]]);
    assert.equal(work.idle, true);
  });
});

describe("Work taking what the guest says", () => {
  it("reports a result with its times and its share of the CPU time", () => {
    const { give, pass, result, reports, cpu } = setup();
    give("a");
    pass(50);
    cpu.us = 700;
    result(0, { y: 2 });
    assert.deepEqual(reports(), [[100, 0, { y: 2 }, 10_000, 10_050, 700]]);
  });

  it("refuses results for calls that do not run: never given, ended, or not yet begun", () => {
    const { give, result, work } = setup();
    assert.match(result(0)!, /^a result for call 0, which does not run$/);
    give(...Array(300).fill(0));
    for (let n = 0; n < 100; n++) assert.equal(result(n), null);
    assert.match(result(99)!, /call 99/);
    assert.match(result(140)!, /call 140/);
    assert.match(work.error(99, { message: "no", retryable: true })!, /call 99/);
  });

  it("fails a call whose result is too large, and goes on", () => {
    const { give, work, reports } = setup();
    give("a");
    const value = "€".repeat(LIMITS.resultBytes / 3);
    assert.equal(work.result(0, value, value.length + 30), null);
    const [report] = reports();
    assert.match(failureOf(report).message, /^The result is larger than 4194304 bytes/);
    assert.equal(failureOf(report).retryable, false);
  });

  it("passes a result that is as large as it may be", () => {
    const { give, work, reports } = setup();
    give("a");
    const value = "x".repeat(LIMITS.resultBytes - 2);
    assert.equal(work.result(0, value, value.length + 30), null);
    assert.equal(reports()[0]![1], 0);
  });

  it("puts log lines and events before the report, numbered, after the start", () => {
    const { give, work, outbox, result } = setup();
    give("a");
    work.log(0, "log", "hello");
    work.event(0, "progress", { done: 1, total: 2 }, 50);
    result(0);
    const { logs, events, reportCount } = outbox.take()!;
    assert.deepEqual(logs, [[1, 100, 1, 10_000, "log", "hello"]]);
    assert.deepEqual(events, [
      [1, 100, 0, 10_000, "started", { container: "ctr_1" }],
      [1, 100, 2, 10_000, "progress", { done: 1, total: 2 }],
    ]);
    assert.equal(reportCount, 1);
  });

  it("says nothing about the start of a call that is soon over, and says it once of one that lasts", () => {
    const { give, outbox, pass } = setup();
    give("a");
    pass(99);
    assert.equal(outbox.empty, true);
    pass(1);
    pass(1);
    assert.deepEqual(outbox.take()!.events, [[1, 100, 0, 10_000, "started", { container: "ctr_1" }]]);
  });

  it("ignores what an ended call says, and refuses what was said for one never given", () => {
    const { give, work, result, outbox } = setup();
    give("a");
    result(0);
    outbox.take();
    assert.equal(work.log(0, "log", "late"), null);
    assert.equal(outbox.empty, true);
    assert.match(work.log(1, "log", "forged")!, /^a frame for call 1, which it was never given$/);
  });

  it("holds a report back until what was printed has been read, and sends no call meanwhile", async () => {
    const { give, result, reports, quiet, calls, work } = setup({ printing: true });
    const lease = give("a", "b");
    result(0);
    assert.deepEqual(reports(), []);
    assert.deepEqual(calls(), [0]);
    assert.equal(work.speaker, lease.calls[0]);
    quiet.resolve();
    await quiet.promise;
    assert.deepEqual(outcomes(reports()), [[100, 0]]);
    assert.deepEqual(calls(), [0, 1]);
  });
});

describe("Work ending calls", () => {
  it("tells a call that ran out of time, and kills when it does not end", () => {
    const { give, pass, sent, killed } = setup();
    give("a");
    pass(TIMEOUT_MS);
    assert.equal(sent.length, 1);
    pass(1);
    assert.deepEqual(sent.at(-1), { t: "cancel", c: 0, reason: "timeout" });
    pass(GRACE_MS - 1);
    assert.deepEqual(killed, []);
    pass(1);
    assert.deepEqual(killed, ["timeout"]);
  });

  it("reports a timeout whatever the guest answers after it", () => {
    const { give, pass, result, reports } = setup();
    give("a");
    pass(TIMEOUT_MS + 1);
    result(0, "too late");
    const [report] = reports();
    assert.deepEqual(failureOf(report), {
      kind: "timeout",
      message: "The call ran longer than its timeout of 1s",
      retryable: true,
    });
  });

  it("cancels: at once what waits, by notice what runs", () => {
    const { give, work, sent, reports, result } = setup();
    const lease = give("a", "b");
    work.cancel(lease.calls[1]!);
    assert.deepEqual(outcomes(reports()), [[101, 2]]);
    work.cancel(lease.calls[0]!);
    work.cancel(lease.calls[0]!);
    assert.deepEqual(sent.filter(({ t }) => t === "cancel"), [{ t: "cancel", c: 0, reason: "cancelled" }]);
    result(0);
    assert.deepEqual(outcomes(reports()), [[100, 2]]);
  });

  it("cancels a call that was sent ahead as soon as it runs", () => {
    const { give, work, result, sent, pass } = setup();
    const lease = give(...Array(300).fill(0));
    for (let n = 0; n < 100; n++) result(n);
    work.cancel(lease.calls[101]!);
    pass(1);
    assert.equal(sent.some(({ t }) => t === "cancel"), false);
    result(100);
    pass(1);
    assert.deepEqual(sent.filter(({ t }) => t === "cancel"), [{ t: "cancel", c: 101, reason: "cancelled" }]);
  });

  it("gives back what is stuck behind a slow call, from the runner and from the guest", () => {
    const { give, work, result, sent, pass, reports } = setup();
    give(...Array(300).fill(0));
    for (let n = 0; n < 100; n++) result(n);
    assert.equal(reports().length, 100);
    pass(101);
    const back = reports();
    assert.deepEqual(new Set(back.map(([, outcome]) => outcome)), new Set([3]));
    assert.equal(back.length, 300 - 100 - 1 - 64);
    assert.deepEqual(sent.at(-1), { t: "recall" });
    assert.equal(work.recalled(Array.from({ length: 64 }, (_, i) => 101 + i)), null);
    assert.equal(reports().length, 64);
    assert.equal(work.free(4_000), 0);
    result(100);
    assert.equal(work.free(4_000), 1);
  });

  it("refuses a recall that nobody asked for", () => {
    assert.equal(setup().work.recalled([]), "a recall that nobody asked for");
  });

  it("closes: gives back what has not started, takes no more", () => {
    const { give, work, reports, result } = setup();
    give("a", "b", "c");
    work.close();
    assert.deepEqual(outcomes(reports()), [[101, 3], [102, 3]]);
    assert.equal(work.free(4_000), 0);
    give("d");
    assert.deepEqual(outcomes(reports()), [[200, 3]]);
    result(0, "done");
    assert.deepEqual(outcomes(reports()), [[100, 0]]);
    assert.equal(work.idle, true);
  });

  it("stops: a call that ends on notice counts if it succeeded, and runs again elsewhere if not", () => {
    const { give, work, reports, result, sent } = setup({ concurrency: 2 });
    give("a", "b");
    work.stop();
    assert.equal(sent.filter(({ t }) => t === "cancel").length, 2);
    result(0, "made it");
    work.error(1, { message: "aborted", retryable: true });
    const [first, second] = reports();
    assert.deepEqual(first!.slice(0, 3), [100, 0, "made it"]);
    assert.equal(failureOf(second).kind, "preempted");
  });
});

describe("Work when the guest is gone", () => {
  it("fails what ran by the cause, and gives back what did not", () => {
    const causes = {
      user_error: "user_error",
      out_of_memory: "out_of_memory",
      node_lost: "node_lost",
      stopped: "preempted",
    };
    for (const [kind, expected] of Object.entries(causes)) {
      const { give, work, reports } = setup({ concurrency: 2 });
      give("a", "b", "c");
      work.end({ kind: kind as "user_error", message: "gone" });
      const [first, second, third] = reports();
      assert.equal(failureOf(first).kind, expected);
      assert.equal(failureOf(second).kind, expected);
      assert.deepEqual(third!.slice(0, 2), [102, 3]);
      assert.equal(work.idle, true);
    }
  });

  it("blames a killed guest on the call that did not end, not on its companions", () => {
    const { give, work, pass, reports, result } = setup({ concurrency: 2 });
    give("slow", "quick");
    pass(TIMEOUT_MS);
    result(1);
    give("innocent");
    reports();
    pass(1);
    work.end({ kind: "timeout", message: "killed" });
    assert.deepEqual(reports().map((report) => [report[0], failureOf(report).kind]), [[100, "timeout"], [
      200,
      "preempted",
    ]]);
  });

  it("reports what was held back for its output", () => {
    const { give, work, result, reports } = setup({ printing: true });
    give("a");
    result(0, "value");
    work.end({ kind: "stopped", message: "" });
    assert.deepEqual(outcomes(reports()), [[100, 0]]);
  });
});

describe("Work of a function with secrets", () => {
  const redactor = new Redactor([{ name: "db", as: "env", values: { PASSWORD: "correct horse" } }]);
  const LABEL = "[secret db.PASSWORD]";

  it("tells lines, reports and failures without their values, and leaves what is returned and yielded", () => {
    const { give, work, outbox, result, pass } = setup({ concurrency: 2, redactor });
    give("a", "b");
    pass(0);
    work.log(0, "stdout", "the password is correct horse");
    work.event(0, "report", { note: "correct horse" }, 40);
    work.event(0, "yield", { value: "correct horse" }, 40);
    result(0, "correct horse");
    work.error(1, { message: "no correct horse", stack: "Error: correct%20horse\n at x", retryable: true });
    const sent = outbox.take()!;
    assert.deepEqual(sent.logs.map((line) => line[5]), [`the password is ${LABEL}`]);
    assert.deepEqual(sent.events.filter(([, , , , kind]) => kind !== "started").map((event) => event[5]), [
      { note: LABEL },
      { value: "correct horse" },
    ]);
    const [first, second] = [...sent.reports.values()].flat();
    assert.equal(first![2], "correct horse");
    const { message, stack } = failureOf(second);
    assert.deepEqual([message, stack], [`no ${LABEL}`, `Error: ${LABEL}\n at x`]);
  });
});
