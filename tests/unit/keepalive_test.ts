import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type KeepPolicy, observe, type Windows, windows } from "../../scheduler/keepalive.ts";
import { after, every, type Known } from "../setup/bursts.ts";
import { dice, NOW } from "../setup/snapshots.ts";

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const NINE = NOW - 3 * HOUR;

function windowsOf({ history, day }: Known, some: Partial<KeepPolicy> = {}): Windows {
  return windows(history, history.idleAt!, { coldWorthMs: 20 * MINUTE, loadMs: 0, day, ...some });
}

/** Whether a window covers a burst that begins so long after the end of the one before. */
const covers = ({ prewarmMs, keepMs }: Windows, gapMs: number): boolean =>
  gapMs >= prewarmMs && gapMs <= prewarmMs + keepMs;

describe("windows()", () => {
  it("stays loaded for some minutes after the first burst", () => {
    const { prewarmMs, keepMs } = windowsOf(after([NINE]));
    assert.equal(prewarmMs, 0);
    assert.ok(keepMs >= MINUTE && keepMs <= 20 * MINUTE, `${keepMs}`);
  });

  it("stays loaded for longer in a session than after a single burst", () => {
    const session = windowsOf(after(every(90_000, 20, NINE)));
    assert.ok(session.keepMs > windowsOf(after([NINE])).keepMs);
  });

  it("stays loaded for longer the more a cold start is worth", () => {
    const known = after(every(7 * MINUTE, 10, NINE).map((at, i) => at + (i % 3) * 100_000));
    const windowAt = (coldWorthMs: number) => windowsOf(known, { coldWorthMs });
    const ends = [2, 20, 200].map((n) => windowAt(n * MINUTE)).map((one) => one.prewarmMs + one.keepMs);
    assert.deepEqual(ends, ends.toSorted((a, b) => a - b));
    assert.ok(ends[0]! < ends[2]!);
  });

  it("unloads and is back in time for what comes every hour, for seconds rather than an hour", () => {
    const window = windowsOf(after(every(HOUR, 12, NINE)));
    assert.ok(covers(window, HOUR - 1_000), JSON.stringify(window));
    assert.ok(window.prewarmMs > 50 * MINUTE && window.keepMs < 2 * MINUTE, JSON.stringify(window));
  });

  it("stays loaded when a load costs more than the idle time it saves", () => {
    const known = after(every(2 * MINUTE, 16, NINE));
    assert.ok(windowsOf(known).prewarmMs > 0);
    const window = windowsOf(known, { loadMs: 5 * MINUTE });
    assert.equal(window.prewarmMs, 0);
    assert.ok(covers(window, 2 * MINUTE - 1_000), JSON.stringify(window));
  });

  it("does not take a single interval for a rhythm", () => {
    assert.ok(!covers(windowsOf(after([NINE, NINE + 5 * HOUR])), 5 * HOUR - 1_000));
  });

  it("knows the hours of the day: before a night it gives up sooner than in the morning", () => {
    const hours = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((hour) => every(DAY, 10, NINE - 10 * DAY + hour * HOUR));
    const workdays = hours.toSorted((a, b) => a - b).flatMap((at) => every(11 * MINUTE + at % 7_000, 5, at));
    const morning = windowsOf(after([...workdays, NINE]));
    const evening = windowsOf(after([...workdays, ...every(11 * MINUTE, 48, NINE)]));
    assert.ok(evening.prewarmMs + evening.keepMs < 20 * HOUR);
    assert.ok(morning.keepMs > 0 && evening.keepMs < morning.keepMs, JSON.stringify({ morning, evening }));
  });

  it("answers windows within a day whatever came before (300 seeds), the same for the same history as text", () => {
    for (let seed = 0; seed < 300; seed++) {
      const { upTo, pick } = dice(seed);
      let at = NOW;
      const starts = Array.from(
        { length: 1 + upTo(60) },
        () => at += 2_000 + pick([1, 60, 3_600, 90_000]) * upTo(3_000),
      );
      const known = after(starts, upTo(1_000));
      const policy = { coldWorthMs: 1 + upTo(DAY), loadMs: upTo(HOUR) };
      const window = windowsOf(known, policy);
      for (const ms of [window.prewarmMs, window.keepMs]) {
        assert.ok(Number.isFinite(ms) && ms >= 0, `seed ${seed}`);
      }
      assert.ok(window.prewarmMs + window.keepMs <= DAY, `seed ${seed}`);
      assert.deepEqual(windowsOf(JSON.parse(JSON.stringify(known)), policy), window, `seed ${seed}`);
    }
  });
});

describe("observe()", () => {
  it("changes nothing when an event says nothing new", () => {
    const busy = observe(null, { kind: "work", at: NOW });
    assert.equal(observe(busy, { kind: "work", at: NOW + 1 }), busy);
    const idle = observe(busy, { kind: "idle", at: NOW + 2 });
    assert.equal(observe(idle, { kind: "idle", at: NOW + 3 }), idle);
  });

  it("keeps a summary that does not grow", () => {
    const size = (n: number) => JSON.stringify(after(every(777_777, n, NOW)).history).length;
    assert.ok(size(2_000) < 1.1 * size(200), `${size(2_000)}`);
    assert.ok(size(2_000) < 2_000);
  });

  it("forgets: after many gaps of another kind the old kind no longer counts", () => {
    const slow = every(HOUR, 30, NOW - 60 * HOUR), fast = every(MINUTE, 400, NOW);
    const { history } = after([...slow, ...fast]);
    const ended = (from: number) => history.ended.slice(from).reduce((sum, n) => sum + n, 0);
    assert.ok(ended(15) < 0.1, `${ended(15)}`);
    assert.ok(ended(0) > 20);
  });
});
