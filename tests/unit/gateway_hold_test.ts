import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type HoldEnd, HoldError, HoldQueue } from "../../api/gateway/hold.ts";
import { ManualClock } from "../setup/manual_clock.ts";

function setup(limit = 3) {
  const clock = new ManualClock();
  const queue = new HoldQueue<{ n: number }>({ clock, limit });
  const never = new AbortController().signal;
  const wait = (ms = 1_000, signal = never) => queue.wait({ until: clock.now() + ms, signal });
  return { clock, queue, wait };
}

const ends = (waiting: Promise<unknown>, end: HoldEnd) =>
  assert.rejects(waiting, (error) => error instanceof HoldError && error.end === end);

describe("HoldQueue", () => {
  it("HoldQueue gives to the one who waits longest", async () => {
    const { queue, wait } = setup();
    const waiting = [wait(), wait(), wait()];
    for (let n = 1; n <= 3; n++) assert.equal(queue.give({ n }), true);
    assert.equal(queue.give({ n: 4 }), false);
    assert.deepEqual((await Promise.all(waiting)).map(({ n }) => n), [1, 2, 3]);
  });

  it("HoldQueue refuses one more than its limit, and takes it when another has gone", async () => {
    const { queue, wait } = setup(2);
    const first = wait();
    wait();
    await ends(wait(), "full");
    assert.equal(queue.size, 2);
    queue.give({ n: 1 });
    await first;
    const third = wait();
    queue.give({ n: 2 });
    queue.give({ n: 3 });
    assert.equal((await third).n, 3);
  });

  it("HoldQueue lets nobody wait beyond their time, and keeps the order of the others", async () => {
    const { clock, queue, wait } = setup();
    const late = ends(wait(100), "late");
    const patient = wait(1_000);
    await clock.advance(100);
    await late;
    assert.equal(queue.size, 1);
    queue.give({ n: 7 });
    assert.equal((await patient).n, 7);
    await ends(wait(0), "late");
  });

  it("HoldQueue forgets those whose client has gone, also before they came", async () => {
    const { queue, wait } = setup();
    const client = new AbortController();
    const gone = ends(wait(1_000, client.signal), "gone");
    const next = wait();
    client.abort();
    await gone;
    assert.equal(queue.size, 1);
    await ends(wait(1_000, client.signal), "gone");
    queue.give({ n: 1 });
    assert.equal((await next).n, 1);
  });

  it("HoldQueue knows since when the first one waits", async () => {
    const { clock, queue, wait } = setup();
    assert.equal(queue.oldestAt, null);
    const first = wait(5_000);
    const since = clock.now();
    await clock.advance(500);
    wait(5_000);
    assert.equal(queue.oldestAt, since);
    queue.give({ n: 1 });
    await first;
    assert.equal(queue.oldestAt, since + 500);
  });

  it("HoldQueue.close sends everybody away", async () => {
    const { queue, wait } = setup();
    const all = [ends(wait(), "closed"), ends(wait(), "closed")];
    queue.close("closed");
    await Promise.all(all);
    assert.equal(queue.size, 0);
  });
});
