import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Activity } from "../../scheduler/arrivals.ts";
import { changesAt, crewOf, idledOut } from "../../scheduler/crew.ts";
import { container, fn, NOW } from "../setup/snapshots.ts";

const MINUTE = 60_000;

/** A crew whose function has predicted windows and has been idle since `idleAt`. */
function crew(
  activity: Omit<Activity, "history"> | null,
  idle: readonly number[] = [],
  some: Parameters<typeof fn>[0] = {},
) {
  const one = fn({
    activity: activity && { ...activity, history: null },
    ...some,
    scale: { scaledownWindowMs: null, ...some.scale },
  });
  const containers = idle.map((ms, i) =>
    container({ id: `ctr_${i}`, busyAt: NOW - ms, createdAt: NOW - ms })
  );
  return crewOf(one, containers, () => true, NOW);
}
const idleFor = (ms: number, loadAfter: number, keepFor: number) => ({
  idleAt: NOW - ms,
  loadAt: NOW - ms + loadAfter,
  keepUntil: NOW - ms + loadAfter + keepFor,
});
const leaves = (...of: Parameters<typeof crew>) => idledOut(crew(...of), NOW).map((one) => one.id);

describe("crewOf() with predicted windows", () => {
  it("keeps the last container to the end of the window, the others for the usual minute", () => {
    const activity = idleFor(2 * MINUTE, 0, 10 * MINUTE);
    assert.deepEqual(leaves(activity, [3 * MINUTE, 2 * MINUTE]), ["ctr_0"]);
    assert.deepEqual(leaves(activity, [2 * MINUTE]), []);
    assert.deepEqual(leaves(idleFor(11 * MINUTE, 0, 10 * MINUTE), [11 * MINUTE]), ["ctr_0"]);
  });

  it("lets all go at once when the function is to be loaded later", () => {
    assert.deepEqual(leaves(idleFor(3_000, 30 * MINUTE, MINUTE), [4_000, 3_000]), ["ctr_0", "ctr_1"]);
  });

  it("lets go sooner than after a minute when nothing is expected", () => {
    assert.deepEqual(leaves(idleFor(30_000, 0, 20_000), [30_000]), ["ctr_0"]);
  });

  it("keeps what is idle for a minute before anything is noted", () => {
    assert.deepEqual(leaves(null, [59_000]), []);
    assert.deepEqual(leaves(null, [MINUTE]), ["ctr_0"]);
  });

  it("lacks a container from when it is to be loaded again, to the end of that window", () => {
    const lacking = (ms: number) => crew(idleFor(ms, 30 * MINUTE, 2 * MINUTE)).lacking;
    assert.deepEqual([29, 30, 31, 32].map((n) => lacking(n * MINUTE)), [0, 1, 1, 0]);
    assert.equal(crew(idleFor(31 * MINUTE, 30 * MINUTE, 2 * MINUTE), [30_000]).lacking, 0);
    assert.equal(crew(idleFor(31 * MINUTE, 30 * MINUTE, 2 * MINUTE), [], { removed: true }).lacking, 0);
  });

  it("keeps a container that was loaded ahead until its window ends, and lets it give way meanwhile", () => {
    const made = crew(idleFor(31 * MINUTE, 30 * MINUTE, 2 * MINUTE), [30_000]);
    assert.deepEqual(made.spare.map(({ until }) => until), [NOW + MINUTE]);
    assert.deepEqual(idledOut(made, NOW), []);
    assert.ok(changesAt(made, NOW).includes(NOW + MINUTE));
  });

  it("does not replace a container that merely stayed loaded", () => {
    assert.equal(crew(idleFor(MINUTE, 0, 10 * MINUTE)).lacking, 0);
  });

  it("goes by the load alone while there is some", () => {
    const working = { idleAt: null, loadAt: null, keepUntil: null };
    assert.equal(crew(working, [], { demand: { queued: 3 } }).lacking, 3);
  });

  it("obeys a window that is given", () => {
    const activity = idleFor(6_000, 0, 10 * MINUTE), fixed = { scale: { scaledownWindowMs: 5_000 } };
    assert.deepEqual(leaves(activity, [6_000], fixed), ["ctr_0"]);
    assert.deepEqual(leaves(activity, [4_000], fixed), []);
    assert.equal(crew(idleFor(31 * MINUTE, 30 * MINUTE, 2 * MINUTE), [], fixed).lacking, 0);
  });
});
