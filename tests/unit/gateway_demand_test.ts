import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  COALESCE_MS,
  DemandReporter,
  type FunctionDemand,
  isDue,
  QUIET_MS,
  REFRESH_MS,
} from "../../api/gateway/demand.ts";
import { silentLog } from "../../sdk/ports.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

const NOW = 50_000;

function demand(now: Partial<FunctionDemand>, said: Partial<FunctionDemand["said"]> = {}): FunctionDemand {
  const { inFlight = 0 } = now;
  return {
    waiting: 0,
    oldestAt: null,
    peak: inFlight,
    activeAt: NOW,
    ...now,
    inFlight,
    said: { inFlight: 0, waiting: 0, at: NOW - COALESCE_MS, ...said },
  };
}

describe("isDue()", () => {
  it("isDue() at once when the first request waits", () => {
    assert.equal(isDue(demand({ waiting: 1 }, { at: NOW }), NOW), true);
    assert.equal(isDue(demand({ waiting: 2 }, { waiting: 1, at: NOW }), NOW), false);
  });

  it("isDue() after a moment when more are in flight or another number waits", () => {
    assert.equal(isDue(demand({ inFlight: 3 }, { inFlight: 2 }), NOW), true);
    assert.equal(isDue(demand({ inFlight: 3 }, { inFlight: 2, at: NOW - COALESCE_MS + 1 }), NOW), false);
    assert.equal(isDue(demand({ inFlight: 3 }, { inFlight: 2, waiting: 1 }), NOW), true);
    assert.equal(isDue(demand({ inFlight: 3 }, { inFlight: 3 }), NOW), false);
  });

  it("isDue() not for a short lull, but when there has been nothing for a while", () => {
    assert.equal(isDue(demand({ inFlight: 0, peak: 1 }, { inFlight: 1 }), NOW), false);
    assert.equal(isDue(demand({ activeAt: NOW - QUIET_MS + 1 }, { inFlight: 1 }), NOW), false);
    assert.equal(isDue(demand({ activeAt: NOW - QUIET_MS }, { inFlight: 1 }), NOW), true);
  });

  it("isDue() now and then while there is something, and never again when there is nothing", () => {
    assert.equal(isDue(demand({ inFlight: 1 }, { inFlight: 1, at: NOW - REFRESH_MS }), NOW), true);
    assert.equal(isDue(demand({ inFlight: 1 }, { inFlight: 1, at: NOW - REFRESH_MS + 1 }), NOW), false);
    assert.equal(isDue(demand({ activeAt: 0 }, { at: 0 }), NOW), false);
  });
});

function setup() {
  const clock = new ManualClock();
  const start = clock.now();
  const said: string[] = [];
  let ticks = 0;
  const store = { failing: false, tries: 0 };
  const reporter = new DemandReporter({
    clock,
    log: silentLog,
    wakes: { wake: (topic) => void (topic === "tick" && ticks++) },
    report: (rows, now) => {
      store.tries++;
      if (store.failing) return Promise.reject(new Error("away"));
      for (const { functionId, inFlight, waiting, activeAt } of rows) {
        said.push(`${now - start}: fn ${functionId} ${inFlight}+${waiting} active ${activeAt - start}`);
      }
      return Promise.resolve();
    },
  });
  const note = (inFlight: number, waiting = 0, functionId = 1) =>
    reporter.note(functionId, { inFlight, waiting, oldestAt: waiting > 0 ? clock.now() : null });
  return { clock, reporter, said, note, store, ticks: () => ticks };
}

describe("DemandReporter", () => {
  it("DemandReporter reports the first waiting request without any delay, and wakes the scheduler", async () => {
    const { said, note, ticks } = setup();
    note(0, 1);
    await settle();
    assert.deepEqual(said, ["0: fn 1 0+1 active 0"]);
    assert.equal(ticks(), 1);
  });

  it("DemandReporter joins what follows, and ends with zero", async () => {
    const { clock, said, note, ticks } = setup();
    note(0, 1);
    await settle();
    for (let i = 2; i <= 50; i++) note(0, i);
    await clock.advance(100);
    note(50, 0);
    await clock.advance(100);
    for (let i = 49; i >= 0; i--) note(i);
    await clock.advance(60_000);
    assert.deepEqual(said, [
      "0: fn 1 0+1 active 0",
      "100: fn 1 0+50 active 100",
      "200: fn 1 50+0 active 200",
      "1200: fn 1 0+0 active 200",
    ]);
    assert.equal(ticks(), 2);
  });

  it("DemandReporter writes seldom under steady traffic of short requests, and says its peak", async () => {
    const { clock, said, note } = setup();
    for (let ms = 0; ms < 18_000; ms += 50) {
      note(1);
      note(2);
      note(1);
      note(0);
      await clock.advance(50);
    }
    await clock.advance(5_000);
    assert.deepEqual(said, [
      "100: fn 1 2+0 active 50",
      "5100: fn 1 2+0 active 5050",
      "10100: fn 1 2+0 active 10050",
      "15100: fn 1 2+0 active 15050",
      "19000: fn 1 0+0 active 17950",
    ]);
  });

  it("DemandReporter keeps a long request alive", async () => {
    const { clock, said, note } = setup();
    note(1);
    await clock.advance(12_000);
    assert.deepEqual(said, [
      "100: fn 1 1+0 active 100",
      "5100: fn 1 1+0 active 5100",
      "10100: fn 1 1+0 active 10100",
    ]);
  });

  it("DemandReporter tells functions apart and reports them together", async () => {
    const { clock, said, note, store } = setup();
    note(1, 0, 7);
    note(2, 0, 8);
    await clock.advance(100);
    assert.deepEqual(said, ["100: fn 7 1+0 active 100", "100: fn 8 2+0 active 100"]);
    assert.equal(store.tries, 1);
  });

  it("DemandReporter tries again when the store was away, without hurry", async () => {
    const { clock, said, note, store } = setup();
    store.failing = true;
    for (let i = 1; i <= 50; i++) {
      note(0, i);
      await settle();
    }
    assert.equal(store.tries, 1);
    await clock.advance(1_000);
    assert.equal(store.tries, 11);
    store.failing = false;
    await clock.advance(100);
    assert.deepEqual(said, ["1100: fn 1 0+50 active 1100"]);
  });

  it("DemandReporter.close takes back what was said, and says nothing more", async () => {
    const { clock, said, note, reporter } = setup();
    note(0, 1);
    await settle();
    await reporter.close();
    assert.deepEqual(said.slice(1), ["0: fn 1 0+0 active 0"]);
    note(5);
    await clock.advance(10_000);
    assert.equal(said.length, 2);
  });
});
