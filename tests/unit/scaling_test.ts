import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { takeNotes } from "../../scheduler/activity.ts";
import { crewOf, rescaled } from "../../scheduler/crew.ts";
import { decide, type KeepInputs, keepStretch, type Scaling } from "../../scheduler/scaling.ts";
import { after, every } from "../setup/bursts.ts";
import { container, demand, dice, fn, NOW, scale, workspace } from "../setup/snapshots.ts";

const reason = (some: Parameters<typeof demand>[0], limits: Parameters<typeof scale>[0] = {}) =>
  decide({ kind: "scale", now: NOW, removed: false, scale: scale(limits), demand: demand(some) }).reason;

function keepInputs(starts: readonly number[], some: Partial<KeepInputs> = {}): KeepInputs {
  const { history, day } = after(starts);
  const policy = { coldWorthMs: 1_200_000, loadMs: 60_000, day };
  return { kind: "keep", idleAt: history.idleAt!, history, policy, leadMs: 2_000, ...some };
}

describe("decide()", () => {
  it("says in words why so many containers are wanted", () => {
    assert.equal(reason({}), "nothing to do");
    assert.equal(reason({}, { min: 2 }), "nothing to do, and scale.min is 2");
    assert.equal(reason({ queued: 3, leased: 1 }), "3 wait and 1 run: 4 slots in 4 containers");
    assert.equal(
      reason({ queued: 40, callMs: 60_000 }, { buffer: 1, max: 5 }),
      "40 wait and 0 run: 40 slots in 40 containers and 1 as buffer; scale.max is 5",
    );
  });

  it("says in words for how long a function stays loaded", () => {
    const stays = decide(keepInputs([NOW]));
    assert.match(stays.reason, /^stays loaded until 2026-01-01T12:\d\d:\d\d/);
    assert.equal(stays.wanted, 1);
    const leaves = decide(keepInputs(every(3_600_000, 10, NOW)));
    assert.match(leaves.reason, /^unloads, to be loaded from 2026-01-01T21:\d\d:\d\d.* to 2026-01-01T22:0\d/);
    assert.equal(leaves.wanted, 0);
    const nothing = decide(keepInputs([NOW], { policy: { ...keepInputs([NOW]).policy, coldWorthMs: 1 } }));
    assert.deepEqual(nothing, { wanted: 0, reason: "unloads: nothing is expected soon" });
  });
});

describe("keepStretch()", () => {
  it("loads so much earlier that the container is ready in time, but not before it was unloaded", () => {
    const starts = every(3_600_000, 10, NOW);
    const on = keepStretch(keepInputs(starts, { leadMs: 0 })),
      early = keepStretch(keepInputs(starts, { leadMs: 40_000 }));
    assert.equal(on.loadAt - early.loadAt, 40_000);
    assert.equal(on.keepUntil, early.keepUntil);
    const inputs = keepInputs(starts, { leadMs: 99_999_999 });
    assert.equal(keepStretch(inputs).loadAt, inputs.idleAt + 1);
  });
});

describe("recorded decisions", () => {
  const replayed = ({ inputs }: Scaling) => decide(JSON.parse(JSON.stringify(inputs)));

  it("lead to the same again, from what was written down (300 seeds)", () => {
    for (let seed = 0; seed < 300; seed++) {
      const { upTo, pick } = dice(seed);
      const leased = upTo(9), queued = upTo(200);
      const one = fn({
        demand: {
          queued,
          leased,
          callMs: pick([null, 0.3, 40, 9_999]),
          requests: upTo(5),
          stuck: upTo(leased),
        },
        scale: {
          max: 1 + upTo(20),
          concurrency: 1 + upTo(4),
          buffer: upTo(2),
          targetWaitMs: 1 + upTo(9_000),
        },
        wantedBefore: -1,
      });
      const [made] = rescaled(crewOf(one, [container({ leased })], () => true, NOW), NOW);
      const { wanted, reason } = made!;
      assert.deepEqual(replayed(made!), { wanted, reason }, `seed ${seed}`);
    }
  });

  it("lead to the same again for windows", () => {
    const { history } = after(every(400_000, 9, NOW - 3_600_000));
    const activity = { idleAt: null, loadAt: null, keepUntil: null, history: { ...history, idleAt: null } };
    const one = fn({ activity, scale: { scaledownWindowMs: null } });
    const [made] = takeNotes([{ fn: one, idle: [] }], [workspace()], NOW).kept;
    const { wanted, reason } = made!;
    assert.deepEqual(replayed(made!), { wanted, reason });
  });

  it("are made only when something else is wanted than before", () => {
    const made = (wantedBefore: number) => {
      const one = fn({ demand: { queued: 2 }, wantedBefore });
      return rescaled(crewOf(one, [], () => true, NOW), NOW).map(({ wanted }) => wanted);
    };
    assert.deepEqual([made(0), made(2)], [[2], []]);
  });
});
