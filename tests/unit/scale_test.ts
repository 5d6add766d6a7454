import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  BULK_START,
  BULK_WAIT_MS,
  callSlots,
  idleness,
  isHopeless,
  neededContainers,
  retryAt,
  spare,
  startsAllowed,
  wantedContainers,
} from "../../scheduler/scale.ts";
import { container, demand, dice, fn, NOW, scale } from "../setup/snapshots.ts";

const slots = (some: Parameters<typeof demand>[0], limits: Parameters<typeof scale>[0] = {}) =>
  callSlots(demand(some), scale(limits), NOW);

describe("callSlots()", () => {
  it("is zero without calls", () => assert.equal(slots({}), 0));

  it("gives few calls of unknown length one slot each", () => {
    assert.equal(slots({ queued: 10 }), 10);
    assert.equal(slots({ queued: 12, leased: 8 }, { max: 5, concurrency: 4 }), 20);
  });

  it("starts a bulk of unknown calls with a few containers", () => {
    assert.equal(slots({ queued: 50_000 }), BULK_START);
    assert.equal(slots({ queued: 50_000 }, { concurrency: 8 }), BULK_START * 8);
  });

  it("gives a bulk of unknown calls one slot each once the first have run for a while", () => {
    const leased = { queued: 400, leased: 2 };
    assert.equal(slots({ ...leased, leasedSince: NOW - BULK_WAIT_MS + 1 }), BULK_START);
    assert.equal(slots({ ...leased, leasedSince: NOW - BULK_WAIT_MS }), 402);
  });

  it("gives short calls what empties the queue in time, at least one", () => {
    assert.equal(slots({ queued: 50_000, callMs: 0 }), 1);
    assert.equal(slots({ queued: 50_000, callMs: 0.02 }), 1);
    assert.equal(slots({ queued: 1_000, callMs: 10 }), 10);
    assert.equal(slots({ queued: 1, callMs: 10 }), 1);
  });

  it("gives long calls one slot each", () => {
    assert.equal(slots({ queued: 7, callMs: 1_000 }), 7);
    assert.equal(slots({ queued: 7, leased: 2, callMs: 60_000 }), 9);
  });

  it("gives calls fewer slots the longer they may wait", () => {
    const some = { queued: 100, callMs: 2_000 };
    assert.deepEqual([1_000, 10_000, 100_000].map((targetWaitMs) => slots(some, { targetWaitMs })), [
      100,
      20,
      2,
    ]);
  });

  it("gives calls that are stuck a slot each beside the short ones", () => {
    assert.equal(slots({ queued: 100, leased: 3, stuck: 3, callMs: 10 }), 4);
  });

  it("lies between one and the number of calls, and grows with either (500 seeds)", () => {
    for (let seed = 0; seed < 500; seed++) {
      const { upTo, pick } = dice(seed);
      const leased = upTo(20), stuck = upTo(leased);
      const some = { queued: 1 + upTo(200), leased, stuck, callMs: pick([null, 0, 1, 30, 999, 5_000]) };
      const limits = { max: 1 + upTo(20), concurrency: 1 + upTo(4) };
      const n = slots(some, limits);
      assert.ok(n >= 1 && n <= some.queued + leased, `seed ${seed}`);
      if (some.callMs === null) continue;
      assert.ok(slots({ ...some, queued: some.queued + 50 }, limits) >= n, `seed ${seed}: more calls`);
      assert.ok(slots({ ...some, callMs: some.callMs * 2 }, limits) >= n, `seed ${seed}: longer calls`);
    }
  });
});

describe("wantedContainers()", () => {
  const wanted = (some: Parameters<typeof fn>[0]) => wantedContainers(fn(some), NOW);

  it("is zero for a function at rest, and for one that was removed", () => {
    assert.equal(wanted({}), 0);
    assert.equal(wanted({ removed: true, demand: { queued: 9 }, scale: { min: 2 } }), 0);
  });

  it("leaves zero in the tick that sees one call or one held request", () => {
    assert.equal(wanted({ demand: { queued: 1 } }), 1);
    assert.equal(wanted({ demand: { requestsHeld: 1 } }), 1);
  });

  it("fills containers to their concurrency", () => {
    assert.equal(wanted({ demand: { requests: 8, requestsHeld: 1 }, scale: { concurrency: 8 } }), 2);
    assert.equal(wanted({ demand: { queued: 5, requests: 4 }, scale: { concurrency: 3 } }), 3);
  });

  it("fills containers to their target, where there is one", () => {
    const limits = { concurrency: 8, targetConcurrency: 6 };
    assert.equal(wanted({ demand: { requests: 8, requestsHeld: 1 }, scale: limits }), 2);
    assert.equal(wanted({ demand: { requests: 13 }, scale: limits }), 3);
  });

  it("stays between min and max", () => {
    assert.equal(wanted({ demand: { queued: 3, callMs: 9_000 }, scale: { max: 2 } }), 2);
    assert.equal(wanted({ scale: { min: 3 } }), 3);
  });

  it("adds the buffer while there is load, within max", () => {
    assert.equal(wanted({ scale: { buffer: 2 } }), 0);
    assert.equal(wanted({ demand: { queued: 1 }, scale: { buffer: 2 } }), 3);
    assert.equal(wanted({ demand: { queued: 1 }, scale: { buffer: 20 } }), 10);
  });

  it("counts calls and requests that are being served", () => {
    assert.equal(neededContainers(fn({ demand: { leased: 2, callMs: 60_000, requests: 1 } }), NOW), 3);
  });
});

describe("idleness()", () => {
  const since = (some: Parameters<typeof fn>[0], containers: ReturnType<typeof container>[]) =>
    Object.fromEntries(idleness(fn(some), containers).map((one) => [one.container.id, one.idleSince]));

  it("holds a container with leased calls to be busy", () => {
    assert.deepEqual(since({}, [container({ leased: 1, busyAt: NOW - 9_000 })]), { ctr_1: null });
  });

  it("counts from the last note of work, or the last lease if that is later", () => {
    assert.deepEqual(
      since({}, [
        container({ id: "a", busyAt: NOW - 5_000 }),
        container({ id: "b", busyAt: NOW - 5_000, leasedAt: NOW - 100 }),
      ]),
      {
        a: NOW - 5_000,
        b: NOW - 100,
      },
    );
  });

  it("gives requests to the oldest ready containers, so that the youngest fall idle", () => {
    const crew = [
      container({ id: "starting", observed: "starting", createdAt: NOW - 30_000, busyAt: NOW - 1 }),
      container({ id: "old", createdAt: NOW - 20_000, busyAt: NOW - 2 }),
      container({ id: "young", createdAt: NOW - 10_000, busyAt: NOW - 3 }),
    ];
    const some = { demand: { requests: 4 }, scale: { concurrency: 4 } };
    assert.deepEqual(since(some, crew), { old: null, young: NOW - 3, starting: NOW - 1 });
  });

  it("counts the last request for the oldest container", () => {
    const crew = [container({ id: "a", busyAt: NOW - 9_000 }), container({ id: "b", busyAt: NOW - 9_000 })];
    assert.deepEqual(since({ demand: { requestedAt: NOW - 40 } }, crew), { a: NOW - 40, b: NOW - 9_000 });
  });
});

describe("spare()", () => {
  it("names idle containers beyond the wanted ones, longest idle first", () => {
    const idle = [5, 3, null, 4].map((idleSince, i) => ({ container: container({ id: `${i}` }), idleSince }));
    assert.deepEqual(spare(idle, 2).map((one) => one.container.id), ["1", "3"]);
    assert.deepEqual(spare(idle, 0).map((one) => one.container.id), ["1", "3", "0"]);
    assert.deepEqual(spare(idle, 9), []);
  });
});

describe("failed starts", () => {
  const failed = (count: number) => ({ count, lastAt: NOW, message: "boom" });

  it("back off 1 s, 2 s, 4 s … 60 s", () => {
    const waits = [1, 2, 3, 6, 7, 50].map((count) => (retryAt(failed(count)) - NOW) / 1_000);
    assert.deepEqual(waits, [1, 2, 4, 32, 60, 60]);
  });

  it("are tried again by one container at a time", () => {
    const broken = fn({ startFailures: failed(1) });
    assert.equal(startsAllowed(broken, 0, NOW + 999), 0);
    assert.equal(startsAllowed(broken, 0, NOW + 1_000), 1);
    assert.equal(startsAllowed(broken, 1, NOW + 1_000), 0);
    assert.equal(startsAllowed(fn(), 3, NOW), Infinity);
  });

  it("make a function hopeless after three in a row, for the calls that waited for them", () => {
    const hopeless = (count: number, queuedSince: number | null) =>
      isHopeless(
        fn({ startFailures: failed(count), demand: { queued: queuedSince === null ? 0 : 1, queuedSince } }),
      );
    assert.equal(hopeless(3, NOW - 1), true);
    assert.equal(hopeless(2, NOW - 1), false);
    assert.equal(hopeless(3, NOW + 1), false);
    assert.equal(hopeless(3, null), false);
  });
});
