import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { createScheduler } from "../../scheduler/loop.ts";
import type { Pool } from "../../scheduler/store/connect.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { realRandom, silentLog } from "../../sdk/ports.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

const TICK_MS = 10;

describe("the loop of ticks", () => {
  it("rests for nine times as long as a tick took, unless it was quiet that long before", async () => {
    const clock = new ManualClock(), wakes = new LocalWakes(), began: number[] = [];
    const start = clock.now();
    const begin = async () => {
      began.push(clock.now() - start);
      await clock.sleep(TICK_MS);
      return null; // another leads
    };
    const sql = { begin } as unknown as Pool;
    const stop = new AbortController();
    const running = createScheduler({ sql, clock, wakes, random: realRandom, log: silentLog }).run(
      stop.signal,
    );
    const pass = async (until: number) => {
      while (clock.now() - start < until) {
        await clock.advance(TICK_MS / 2);
        for (let i = 0; i < 4; i++) await settle();
      }
    };
    await pass(1_020);
    wakes.wake("tick"); // after a second in which nobody did
    await pass(1_040);
    wakes.wake("tick");
    await pass(1_200);
    assert.deepEqual(began, [0, 1_000, 1_020, 1_110]); // before the third it was quiet for 10 ms
    stop.abort();
    await pass(1_300);
    await running;
  });
});
