import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Bell } from "../../api/bell.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import type { Clock } from "../../sdk/ports.ts";

/** A clock that stands still: sleeps end by their signal, or when `pass` is called. */
function stillClock(): Clock & { pass(): void; asleep: number } {
  const sleepers = new Set<() => void>();
  return {
    get asleep() {
      return sleepers.size;
    },
    now: () => 0,
    sleep: (_, signal) =>
      new Promise((resolve) => {
        const wake = () => {
          sleepers.delete(wake);
          resolve();
        };
        if (signal?.aborted) return resolve();
        sleepers.add(wake);
        signal?.addEventListener("abort", wake);
      }),
    pass: () => sleepers.forEach((wake) => wake()),
  };
}

describe("Bell", () => {
  it("hears a wake that came while nobody waited, once", async () => {
    const [clock, wakes] = [stillClock(), new LocalWakes()];
    using bell = new Bell(clock).on(wakes, "done", 7);
    wakes.wake("done", 7);
    assert.equal(await bell.rung(1_000), true);
    const again = bell.rung(1_000);
    clock.pass();
    assert.equal(await again, false);
  });

  it("ends its wait at a wake, at the time, or when the signal aborts", async () => {
    const [clock, wakes] = [stillClock(), new LocalWakes()];
    using bell = new Bell(clock).on(wakes, "done", 7).on(wakes, "call", 7);
    const rung = bell.rung(1_000);
    wakes.wake("call", 7);
    assert.equal(await rung, true);
    const gone = new AbortController();
    const left = bell.rung(1_000, gone.signal);
    gone.abort();
    assert.equal(await left, false);
    assert.equal(clock.asleep, 0);
  });

  it("hears only what it listens to, and nothing once it is disposed of", async () => {
    const [clock, wakes] = [stillClock(), new LocalWakes()];
    const bell = new Bell(clock).on(wakes, "done", 7);
    wakes.wake("done", 8);
    bell[Symbol.dispose]();
    wakes.wake("done", 7);
    const rung = bell.rung(1_000);
    clock.pass();
    assert.equal(await rung, false);
  });
});
