import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Kept, type Running } from "../../api/up/keep.ts";
import type { Clock } from "../../sdk/ports.ts";

/** A part whose every start and sleep is seen, in a time that only sleeping moves. */
function world(failsAt: readonly number[] = []) {
  const slept: number[] = [];
  const parts: { end: () => void; stopped: boolean }[] = [];
  let now = 0;
  let starts = 0;
  const clock: Clock = {
    now: () => now,
    sleep: (ms) => {
      slept.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
  const events: string[] = [];
  const start = (): Promise<Running> => {
    if (failsAt.includes(++starts)) return Promise.reject(new Error("no luck"));
    const ended = Promise.withResolvers<void>();
    const part = { end: ended.resolve, stopped: false };
    parts.push(part);
    const stop = () => {
      part.stopped = true;
      ended.resolve();
      return Promise.resolve();
    };
    return Promise.resolve({ pid: starts, exited: ended.promise, stop });
  };
  const options = { part: "runner", start, clock, log: (event: string) => void events.push(event) };
  return { options, parts, slept, events, pass: (ms: number) => now += ms };
}

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

describe("Kept", () => {
  it("starts a part again that ended by itself", async () => {
    const { options, parts, events } = world();
    await using kept = await Kept.start(options);
    parts[0]!.end();
    await turn();
    assert.deepEqual([kept.pid, parts.length], [2, 2]);
    assert.deepEqual(events, ["up.part_ended", "up.part_restarted"]);
  });

  it("waits longer each time while it cannot be started", async () => {
    const { options, parts, slept } = world([2, 3, 4]);
    await using kept = await Kept.start(options);
    parts[0]!.end();
    await turn();
    assert.deepEqual(slept, [50, 100, 200, 400]);
    assert.equal(kept.pid, 5);
  });

  it("waits 5 s at most", async () => {
    const { options, parts, slept } = world(Array.from({ length: 12 }, (_, i) => i + 2));
    await using _kept = await Kept.start(options);
    parts[0]!.end();
    await turn();
    assert.equal(Math.max(...slept), 5_000);
  });

  it("forgets old failures once a part has run for long", async () => {
    const { options, parts, slept, pass } = world([2]);
    await using _kept = await Kept.start(options);
    parts[0]!.end();
    await turn();
    pass(60_000);
    parts[1]!.end();
    await turn();
    assert.deepEqual(slept, [50, 100, 50]);
  });

  it("stops the part and does not start it again", async () => {
    const { options, parts, events } = world();
    const kept = await Kept.start(options);
    await kept.stop();
    await turn();
    assert.deepEqual([parts.length, parts[0]!.stopped, events], [1, true, []]);
  });

  it("stops a part that was being started again", async () => {
    const { options, parts } = world();
    const kept = await Kept.start(options);
    const start = options.start;
    const gate = Promise.withResolvers<void>();
    Object.assign(options, { start: () => gate.promise.then(start) });
    parts[0]!.end();
    await turn();
    const stopped = kept.stop();
    gate.resolve();
    await stopped;
    assert.deepEqual(parts.map(({ stopped }) => stopped), [true, true]);
  });

  it("cannot be had when the first start fails", async () => {
    const { options } = world([1]);
    await assert.rejects(Kept.start(options), /no luck/);
  });
});
