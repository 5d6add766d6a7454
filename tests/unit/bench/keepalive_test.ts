import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { fixed, hybrid } from "../../bench/keepalive_baselines.ts";
import { madeUpCase } from "../../bench/keepalive_load.ts";
import { berthPolicy } from "../../bench/keepalive_policy.ts";
import { judge, type KeepAlive, type KeepCase } from "../../bench/keepalive_referee.ts";
import { poisson } from "../../bench/poisson.ts";
import { dice } from "../../setup/snapshots.ts";

/** Requests of one endpoint at these seconds, each with work for a second, in an hour. */
const caseOf = (...seconds: number[]): KeepCase => ({
  loadMs: 10_000,
  horizonMs: 3_600_000,
  requests: seconds.map((s) => ({ endpoint: "a", atMs: s * 1_000, execMs: 1_000 })),
});
const always = (prewarmS: number, keepS: number): KeepAlive => ({
  request: () => {},
  idle: () => ({ prewarmMs: prewarmS * 1_000, keepMs: keepS * 1_000 }),
});
const idleSeconds = (kase: KeepCase, policy: KeepAlive) => Math.round(judge(kase, policy).idleHours * 3_600);

describe("judge()", () => {
  it("counts as cold what comes to an instance that is not loaded, and not what comes while it loads or works", () => {
    assert.equal(judge(caseOf(0, 5, 100), always(0, 0)).coldPercent, 200 / 3);
    assert.equal(judge(caseOf(0, 5, 100), always(0, 100)).coldPercent, 100 / 3);
  });

  it("counts idle time from the end of work to the next, to the end of the window, or to that of the case", () => {
    assert.equal(idleSeconds(caseOf(0, 31), always(0, 600)), 20 + 600);
    assert.equal(idleSeconds(caseOf(0, 3_031), always(0, 600)), 600 + 558);
  });

  it("knows windows that begin later", () => {
    assert.equal(judge(caseOf(0, 311), always(290, 20)).coldPercent, 50);
    assert.equal(idleSeconds(caseOf(0, 311), always(290, 20)), 10 + 20);
    assert.equal(judge(caseOf(0, 111), always(290, 20)).coldPercent, 100);
  });
});

describe("the baselines", () => {
  it("keep what they are known to: a fixed time, or what the histogram of idle times says", () => {
    assert.deepEqual(fixed(7).idle("a", 0), { prewarmMs: 0, keepMs: 7 });
    const policy = hybrid(3_600_000);
    assert.deepEqual(policy.idle("a", 0), { prewarmMs: 0, keepMs: 3_600_000 });
    for (let i = 1; i <= 20; i++) {
      policy.request("a", i * 1_800_000);
      policy.idle("a", i * 1_800_000);
    }
    const { prewarmMs, keepMs } = policy.idle("a", 36_000_000);
    assert.equal(prewarmMs, 0.9 * 1_800_000);
    assert.ok(Math.abs(prewarmMs + keepMs - 1.1 * 1_860_000) < 1);
  });
});

describe("madeUpCase()", () => {
  it("is the same for the same seed, in the order of time", () => {
    const { requests } = madeUpCase(7, 0.1);
    assert.deepEqual(madeUpCase(7, 0.1).requests, requests);
    assert.ok(requests.every(({ atMs }, i) => i === 0 || atMs >= requests[i - 1]!.atMs));
  });

  it("is colder with fixed windows than with predicted ones that cost no more", () => {
    const kase = madeUpCase(2, 0.3);
    const ours = judge(kase, berthPolicy({ coldWorthMs: 900_000, loadMs: kase.loadMs }));
    const theirs = judge(kase, fixed(600_000));
    assert.ok(ours.idleHours < theirs.idleHours && ours.coldPercent < theirs.coldPercent);
  });
});

describe("poisson()", () => {
  it("finds the weights that made the counts", () => {
    const { next } = dice(1);
    const samples = Array.from({ length: 20_000 }, () => {
      const x = [1, next() * 2 - 1, next()];
      const rate = Math.exp(-3 + 0.8 * x[1]! - 0.5 * x[2]!);
      return { x, count: Number(next() < 1 - Math.exp(-rate)), exposure: 1 };
    });
    const [base, first, second] = poisson(samples, () => 0.01);
    assert.ok(Math.abs(base! + 3) < 0.15 && Math.abs(first! - 0.8) < 0.1 && Math.abs(second! + 0.5) < 0.2);
  });
});
