import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Known, reconcile } from "../../runner/reconcile.ts";
import type { Assignment, Failure, Report } from "../../sdk/protocol.ts";
import { GRACE_MS, loneContainer } from "../setup/lone_container.ts";

const NOTICE_MS = 8_000;
const PREEMPTIBLE = { preemptible: true, preemptNotice: "8s" };

const failureOf = (report: Report | undefined) => report![2] as Failure;
const outcomes = (reports: readonly Report[]) => reports.map(([index, outcome]) => [index, outcome]);

/** A container with two calls that run and one that waits, which has just been told to give way. */
async function preempted() {
  const world = await loneContainer({ spec: { ...PREEMPTIBLE, concurrency: 2 } });
  world.give("a", "b", "c");
  await world.pass(10);
  world.container.preempt();
  await world.pass(0);
  return world;
}

describe("Container.preempt()", () => {
  it("gives back what has not started, gives notice, then drains, in this order", async () => {
    const { guest, reports, container } = await preempted();
    assert.deepEqual(outcomes(reports()), [[2, 3]]);
    assert.deepEqual(guest.heard.slice(-2), [{ t: "preempt", deadlineMs: NOTICE_MS }, { t: "drain" }]);
    assert.deepEqual([container.state, container.givesWay, container.free(10)], ["draining", true, 0]);
  });

  it("recalls what was sent ahead before the notice, and takes it back", async () => {
    const { give, say, container, guest, reports } = await loneContainer({ spec: PREEMPTIBLE });
    give(...Array(200).fill(0));
    for (let c = 0; c < 100; c++) await say({ t: "result", c });
    container.preempt();
    await say();
    assert.deepEqual(guest.kinds().slice(-3), ["recall", "preempt", "drain"]);
    reports();
    const ahead = guest.heard.filter(({ t, c }) => t === "call" && (c as number) > 100).map(({ c }) => c);
    await say({ t: "recalled", calls: ahead });
    assert.ok(ahead.length > 0);
    assert.deepEqual(outcomes(reports()), ahead.map((c) => [c, 3]));
  });

  it("lets a call that returns in time succeed, and reports one that throws as preempted", async () => {
    const { say, reports } = await preempted();
    reports();
    await say({ t: "result", c: 0, v: 1 }, { t: "error", c: 1, message: "I was told to end" });
    const [returned, threw] = reports();
    assert.deepEqual(returned!.slice(0, 3), [0, 0, 1]);
    assert.deepEqual([threw![1], failureOf(threw).kind, failureOf(threw).retryable], [1, "preempted", true]);
  });

  it("kills at the end of the notice, not before, and reports what ran as preempted", async () => {
    const { pass, reports, guest, exit } = await preempted();
    reports();
    await pass(NOTICE_MS - 1);
    assert.equal(guest.killed, 0);
    await pass(1);
    assert.equal(guest.killed > 0, true);
    assert.deepEqual(reports().map((report) => failureOf(report).kind), ["preempted", "preempted"]);
    assert.equal(exit()!.kind, "stopped");
  });

  it("reports a process that dies after the notice as preempted, whatever it died of", async () => {
    const { guest, pass, reports } = await preempted();
    reports();
    guest.exit(1);
    await pass(0);
    assert.deepEqual(reports().map((report) => failureOf(report).kind), ["preempted", "preempted"]);
  });

  it("counts a call as told that began while the notice was on its way", async () => {
    const { give, say, container, reports } = await loneContainer({ spec: PREEMPTIBLE });
    give(...Array(200).fill(0));
    for (let c = 0; c < 100; c++) await say({ t: "result", c });
    container.preempt();
    reports();
    await say({ t: "result", c: 100 }, { t: "error", c: 101, message: "I was told to end" });
    assert.deepEqual(reports().map((report) => report[1] === 0 ? "ok" : failureOf(report).kind), [
      "ok",
      "preempted",
    ]);
  });

  it("leaves by itself once it has nothing left", async () => {
    const { say, guest, exit, pass } = await preempted();
    await say({ t: "result", c: 0 }, { t: "result", c: 1 });
    guest.exit(0);
    await pass(0);
    assert.equal(exit()!.kind, "stopped");
  });

  it("does not give a call more time for being cancelled, and ends it as cancelled", async () => {
    const { container, give, say, pass, guest, reports } = await loneContainer({ spec: PREEMPTIBLE });
    const { calls } = give("a");
    container.preempt();
    await pass(NOTICE_MS - 10);
    container.cancel(calls[0]!);
    await say();
    assert.deepEqual(guest.heard.at(-1), { t: "cancel", c: 0, reason: "cancelled" });
    await pass(10);
    assert.equal(guest.killed > 0, true);
    assert.deepEqual(outcomes(reports()), [[0, 2]]);
  });

  it("kills at the end of the notice though it was told to stop meanwhile", async () => {
    const { container, pass, guest } = await preempted();
    await pass(NOTICE_MS - 100);
    container.stop();
    await pass(100);
    assert.ok(GRACE_MS > 100 && guest.killed > 0);
  });

  it("gives notice to what a container still runs that drains already", async () => {
    const { container, give, guest, say, pass } = await loneContainer({ spec: PREEMPTIBLE });
    give("a");
    container.drain();
    container.preempt();
    await say();
    assert.deepEqual(guest.kinds().slice(-2), ["drain", "preempt"]);
    await pass(NOTICE_MS);
    assert.ok(guest.killed > 0);
  });

  it("stops a container that is not ready yet", async () => {
    const { container, exit, say } = await loneContainer({ starts: false });
    container.preempt();
    await say();
    assert.equal(exit()!.kind, "stopped");
  });
});

describe("reconcile() with preemption", () => {
  const wanted = (some: Partial<Assignment>) => ({ id: "ctr_1", desired: "drain", ...some }) as Assignment;
  const acts = (assignment: Assignment, known: Partial<Known>) =>
    reconcile([assignment], [{ id: "ctr_1", state: "ready", ...known }]);

  it("preempts once, also what drains already", () => {
    const preempt = [{ do: "preempt", id: "ctr_1" }];
    assert.deepEqual(acts(wanted({ preemptAt: 1 }), {}), preempt);
    assert.deepEqual(acts(wanted({ preemptAt: 1 }), { state: "draining" }), preempt);
    assert.deepEqual(acts(wanted({ preemptAt: 1 }), { state: "draining", givesWay: true }), []);
    assert.deepEqual(acts(wanted({ preemptAt: 1 }), { state: "exited" }), []);
  });

  it("stops when the time is over, and only drains what need not give way", () => {
    const stop = [{ do: "stop", id: "ctr_1" }];
    assert.deepEqual(
      acts(wanted({ desired: "stop", preemptAt: 1 }), { state: "draining", givesWay: true }),
      stop,
    );
    assert.deepEqual(acts(wanted({}), {}), [{ do: "drain", id: "ctr_1" }]);
  });
});
