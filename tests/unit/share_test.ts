import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  Account,
  accountsOf,
  CORE_IN_GPUS,
  faded,
  MEMORY_S,
  USAGE_EVERY_MS,
  USAGE_HALF_LIFE_MS,
  usageNotes,
  usedOfLate,
} from "../../scheduler/share.ts";
import { container, fn, NOW, workspace } from "../setup/snapshots.ts";

const gpus = (n: number) => ({ gpuMilli: n * 1000, cpuMilli: 0 });
const cores = (n: number) => ({ gpuMilli: 0, cpuMilli: n * 1000 });
const holding = (n: number, some: Parameters<typeof container>[0] = {}) =>
  container({
    cpuMilli: 0,
    gpus: Array.from({ length: n }, (_, index) => ({ index, milli: 1000 })),
    ...some,
  });
const near = (a: number, b: number) =>
  assert.ok(Math.abs(a - b) <= 1e-6 * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

describe("usedOfLate()", () => {
  it("adds what was held since the last note, and lets what was noted fade", () => {
    const at = workspace({ used: 100, usedAt: NOW - USAGE_HALF_LIFE_MS });
    near(usedOfLate(at, [], NOW), 50);
    const second = workspace({ used: 0, usedAt: NOW - 1_000 });
    assert.ok(Math.abs(usedOfLate(second, [holding(2, { createdAt: 0 })], NOW) - 2) < 0.001);
  });

  it("counts a container from its start, and not before", () => {
    const noted = workspace({ usedAt: NOW - 10_000 });
    const used = usedOfLate(noted, [holding(1, { createdAt: NOW - 3_000 })], NOW);
    assert.ok(Math.abs(used - 3) < 0.01, `${used}`);
  });

  it("comes to the same however often it is noted", () => {
    const one = [holding(3, { createdAt: 0 })];
    let noted = workspace({ used: 7, usedAt: NOW });
    const once = usedOfLate(noted, one, NOW + 3_600_000);
    for (let ms = 60_000; ms <= 3_600_000; ms += 60_000) {
      noted = { ...noted, used: usedOfLate(noted, one, NOW + ms), usedAt: NOW + ms };
    }
    near(noted.used, once);
  });

  it("never comes to more than what is held, times the memory", () => {
    const noted = workspace({ usedAt: NOW - 1e12 });
    near(usedOfLate(noted, [holding(4, { createdAt: 0 })], NOW), 4 * MEMORY_S);
  });

  it("counts a core as a part of a GPU", () => {
    const noted = workspace({ usedAt: NOW - 1e12 });
    near(
      usedOfLate(noted, [holding(0, { cpuMilli: 2_000, createdAt: 0 })], NOW),
      2 * CORE_IN_GPUS * MEMORY_S,
    );
  });

  it("starts from nothing where nothing was ever noted", () => {
    assert.equal(usedOfLate(workspace(), [holding(1, { createdAt: 0 })], NOW), 0);
    assert.equal(faded(workspace(), NOW), 0);
  });
});

describe("usageNotes()", () => {
  const notes = (usedAt: number | null, held = [holding(1)]) =>
    usageNotes(
      accountsOf({ workspaces: [workspace({ usedAt })], functions: [fn()] }, held, [], NOW).values(),
      NOW,
    );

  it("notes what is held, when the last note is old", () => {
    assert.equal(notes(null).length, 1);
    assert.equal(notes(NOW - USAGE_EVERY_MS).length, 1);
    assert.deepEqual(notes(NOW - USAGE_EVERY_MS + 1), []);
  });

  it("notes nothing of who holds nothing: that fades by itself", () => {
    assert.deepEqual(notes(NOW - 1e9, []), []);
  });
});

describe("Account", () => {
  it("has a larger share for having used, for holding, and for less weight", () => {
    const share = (used: number, held: number, weight: number) => {
      const account = new Account(workspace({ weight }), used);
      account.take(gpus(held));
      return account.share();
    };
    const base = share(10, 1, 100);
    assert.ok(share(11, 1, 100) > base && share(10, 2, 100) > base && share(10, 1, 99) > base);
  });

  it("is promised what lies within its quota, also of cores where it has one", () => {
    const account = new Account(workspace({ gpuQuotaMilli: 2000, cpuQuotaMilli: 1000 }), 0);
    assert.equal(account.isPromised(gpus(2)), true);
    assert.equal(account.isPromised(gpus(3)), false);
    assert.equal(account.isPromised({ gpuMilli: 1000, cpuMilli: 1001 }), false);
    account.take(gpus(1));
    assert.equal(account.isPromised(gpus(2)), false);
    assert.equal(new Account(workspace(), 0).isPromised(gpus(1)), false);
    assert.equal(new Account(workspace({ cpuQuotaMilli: 9000 }), 0).isPromised(gpus(1)), false);
    assert.equal(new Account(workspace({ cpuQuotaMilli: 1000 }), 0).isPromised(cores(1)), true);
  });

  it("has borrowed what it holds beyond its quota: all of it without one", () => {
    const account = new Account(workspace({ gpuQuotaMilli: 2000 }), 0);
    account.take({ gpuMilli: 3000, cpuMilli: 500 });
    assert.deepEqual(account.borrowed, { gpuMilli: 1000, cpuMilli: 500 });
    account.part({ gpuMilli: 3000, cpuMilli: 500 });
    assert.deepEqual(account.borrowed, { gpuMilli: 0, cpuMilli: 0 });
  });

  it("may not exceed its limits, what leaves included", () => {
    const account = new Account(workspace({ gpuLimitMilli: 2000 }), 0);
    account.take(gpus(2));
    assert.equal(account.excess(gpus(1)), "its workspace uses 2 of its limit of 2 GPUs");
    assert.equal(account.excess(cores(64)), null);
    account.part(gpus(1));
    assert.equal(account.excess(gpus(1)), "its workspace uses 2 of its limit of 2 GPUs");
    assert.equal(account.excessSoon(gpus(1)), null);
    account.await(gpus(1));
    assert.equal(account.excessSoon(gpus(1)), "its workspace uses 2 of its limit of 2 GPUs");
    assert.equal(account.excessSoon({ gpuMilli: 0, cpuMilli: 0 }), null);
  });

  it("says how much would be too much", () => {
    const account = new Account(workspace({ gpuLimitMilli: 1500, cpuLimitMilli: 1000 }), 0);
    account.take(gpus(1));
    assert.equal(account.excess(gpus(1)), "its workspace uses 1 of its limit of 1.5 GPUs and this takes 1");
    assert.equal(account.excess(cores(2)), "its workspace uses 0 of its limit of 1 core and this takes 2");
  });
});
