import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { coldWorthMs, noteOf, SETTLE_MS, settlesAt, takeNotes } from "../../scheduler/activity.ts";
import { type Activity, NO_DAY } from "../../scheduler/arrivals.ts";
import { CPU_COLD_WORTH_MS, GPU_COLD_WORTH_MS } from "../../scheduler/keepalive.ts";
import type { Fn } from "../../scheduler/model.ts";
import { idleness } from "../../scheduler/scale.ts";
import { after, every } from "../setup/bursts.ts";
import { container, fn, NOW, workspace } from "../setup/snapshots.ts";

type Parts = Parameters<typeof fn>[0] & { readonly containers?: readonly Parameters<typeof container>[0][] };

/** A function with predicted windows, and its containers. */
function staffed({ containers = [], ...some }: Parts) {
  const one: Fn = fn({ ...some, scale: { scaledownWindowMs: null, ...some.scale } });
  return { fn: one, idle: idleness(one, containers.map(container)) };
}
const note = (some: Parts) => noteOf(staffed(some), NO_DAY, NOW);

const working: Activity = {
  idleAt: null,
  loadAt: null,
  keepUntil: null,
  history: { ...after([NOW - 60_000]).history, idleAt: null },
};
const idleSince = (at: number): Activity => ({
  idleAt: at,
  loadAt: at,
  keepUntil: at + 60_000,
  history: after([at - 1_000]).history,
});

describe("noteOf()", () => {
  it("notes the first work of a function, from when it waited", () => {
    const made = note({ demand: { queued: 1, queuedSince: NOW - 300 } });
    assert.deepEqual([made?.history.burstAt, made?.idleAt, made?.loadAt], [NOW - 300, null, null]);
  });

  it("counts calls and requests alike, and those that came and went between two ticks", () => {
    const activity = idleSince(NOW - 60_000);
    for (
      const parts of [
        { demand: { leased: 1, leasedSince: NOW - 5 } },
        { demand: { requestsHeld: 1, heldSince: NOW - 5 } },
        { demand: { requestedAt: NOW - 5 } },
        { containers: [{ leasedAt: NOW - 5 }] },
      ]
    ) assert.equal(note({ activity, ...parts })?.history.burstAt, NOW - 5);
  });

  it("says nothing while what is noted still holds", () => {
    assert.equal(note({}), null);
    assert.equal(note({ activity: working, demand: { leased: 1 } }), null);
    assert.equal(note({ activity: idleSince(NOW - 5_000), containers: [{ busyAt: NOW - 5_000 }] }), null);
    assert.equal(
      note({ activity: { ...idleSince(NOW - 5_000), history: null }, demand: { queued: 1 } }),
      null,
    );
  });

  it("says nothing of functions whose window is fixed, or that are removed", () => {
    assert.equal(note({ demand: { queued: 1 }, scale: { scaledownWindowMs: 60_000 } }), null);
    assert.equal(note({ demand: { queued: 1 }, removed: true }), null);
  });

  it("takes a container that was loaded ahead for no sign of work", () => {
    const activity = idleSince(NOW - 60_000);
    assert.equal(note({ activity, containers: [{ createdAt: NOW - 9_000, busyAt: NOW - 9_000 }] }), null);
  });

  it("notes the end of work once it has lasted, as of when it ended, with the windows that follow", () => {
    const ended = (at: number) => note({ activity: working, containers: [{ busyAt: at }] });
    assert.equal(ended(NOW - SETTLE_MS + 1), null);
    const at = NOW - SETTLE_MS, made = ended(at);
    assert.deepEqual([made?.idleAt, made?.loadAt, made?.history.idleAt], [at, at, at]);
    assert.ok(made!.keepUntil! > at + 60_000);
  });

  it("ends the work of a function without containers", () => {
    assert.ok(note({ activity: working })!.idleAt! < NOW);
  });

  it("unloads what comes every hour, to be loaded again some time before it comes", () => {
    const { history } = after(every(3_600_000, 10, NOW - 9 * 3_600_000 - 10_000), 5_000);
    const activity = { ...working, history: { ...history, idleAt: null } };
    const made = note({ activity, startMs: 30_000, containers: [{ busyAt: NOW - 5_000 }] })!;
    const next = history.burstAt + 3_600_000;
    assert.ok(made.loadAt! < next - 30_000 && made.loadAt! > next - 120_000, `${next - made.loadAt!}`);
    assert.ok(made.keepUntil! > next);
  });
});

describe("settlesAt()", () => {
  it("is when the end of work may be noted, and nothing while there is work or nothing to end", () => {
    const at = (some: Parts) => settlesAt(staffed(some), NOW);
    assert.equal(at({ activity: working, containers: [{ busyAt: NOW - 500 }] }), NOW - 500 + SETTLE_MS);
    assert.equal(at({ activity: working, demand: { leased: 1 } }), null);
    assert.equal(at({ activity: idleSince(NOW - 9_000) }), null);
    assert.equal(at({}), null);
  });
});

describe("coldWorthMs()", () => {
  const worth = (some: Parameters<typeof fn>[0]) => coldWorthMs(fn(some));
  const gpu = (count: number, milli: number) => ({
    need: { gpu: [{ model: "any", count, milli, vramMiB: 0 }] },
  });

  it("is idle time of all GPUs that are held: more of them, and a cold start is worth less of it", () => {
    assert.equal(worth({}), CPU_COLD_WORTH_MS);
    assert.equal(worth(gpu(1, 1000)), GPU_COLD_WORTH_MS);
    assert.equal(worth(gpu(8, 1000)), GPU_COLD_WORTH_MS / 8);
    assert.equal(worth({ ...gpu(8, 1000), nodes: 2 }), GPU_COLD_WORTH_MS / 16);
    assert.equal(worth(gpu(1, 500)), GPU_COLD_WORTH_MS * 2);
    assert.equal(worth(gpu(1, 1)), GPU_COLD_WORTH_MS * 4);
  });
});

describe("takeNotes()", () => {
  it("adds work that began to the day of its workspace, and records what was decided where it ended", () => {
    const crews = [
      staffed({ id: 1, demand: { queued: 1 } }),
      staffed({ id: 2, demand: { queued: 1 } }),
      staffed({ id: 3, workspace: "other", activity: working }),
    ];
    const { notes, days, kept } = takeNotes(crews, [workspace(), workspace({ id: "other" })], NOW);
    assert.deepEqual(notes.map((one) => one.functionId), [1, 2, 3]);
    assert.deepEqual(days.map(({ workspace, day }) => [workspace, day.hours[12]]), [["default", 2]]);
    assert.deepEqual(kept.map(({ functionId, inputs }) => [functionId, inputs.kind]), [[3, "keep"]]);
  });
});
