import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Claim, IDLE_PRIORITY, inTurn, levelAt, queueOf, waitingFrom } from "../../scheduler/order.ts";
import { Account, MEMORY_S } from "../../scheduler/share.ts";
import { dice, fn, NOW, workspace } from "../setup/snapshots.ts";

const GPU = { gpuMilli: 1000, cpuMilli: 0 };
const DEFAULT = new Account(workspace(), 0);

const claim = (functionId: number, some: Partial<Claim> = {}): Claim => ({
  functionId,
  account: DEFAULT,
  amount: GPU,
  priority: 50,
  nth: 0,
  since: 0,
  ...some,
});
const ids = (claims: Claim[]) => [...inTurn(claims)].map((one) => one.functionId);

/** Ids in turn when each claim is given what it asks for. */
function given(claims: Claim[]): number[] {
  const order: number[] = [];
  for (const one of inTurn(claims)) {
    one.account.take(one.amount);
    order.push(one.functionId);
  }
  return order;
}

const accountOf = (some: Parameters<typeof workspace>[0] = {}, used = 0) =>
  new Account(workspace(some), used);

describe("inTurn() within a workspace", () => {
  it("puts higher priority first, however young", () => {
    assert.deepEqual(ids([claim(1, { since: 1 }), claim(2, { since: 9, priority: 60 })]), [2, 1]);
  });

  it("puts who waits before what is kept warm", () => {
    const kept = { priority: IDLE_PRIORITY, since: Infinity };
    assert.deepEqual(ids([claim(1, kept), claim(2, { since: 9, priority: 0 })]), [2, 1]);
  });

  it("gives each function its first container before anyone's second", () => {
    const many = [0, 1, 2].map((nth) => claim(1, { nth, since: 1 }));
    assert.deepEqual(ids([...many, claim(2, { since: 9 })]), [1, 2, 1, 1]);
  });

  it("puts the longest wait first among equals", () => {
    assert.deepEqual(ids([claim(1, { since: 9 }), claim(2, { since: 1 })]), [2, 1]);
  });

  it("never ranks a claim lower for having waited longer (200 seeds)", () => {
    for (let seed = 0; seed < 200; seed++) {
      const { upTo, pick } = dice(seed);
      const accounts = [accountOf({ id: "a" }, upTo(9)), accountOf({ id: "b", weight: 300 }, upTo(9))];
      const draw = (id: number) =>
        claim(id, { account: pick(accounts), priority: upTo(2), nth: upTo(2), since: 100 + upTo(3) });
      const others = Array.from({ length: 1 + upTo(8) }, (_, i) => draw(i + 2));
      const one = draw(1);
      const rank = (since: number) => ids([...others, { ...one, since }]).indexOf(1);
      assert.ok(rank(one.since - 50) <= rank(one.since), `seed ${seed}`);
    }
  });
});

describe("inTurn() between workspaces", () => {
  const many = (functionId: number, account: Account, n: number, some: Partial<Claim> = {}) =>
    Array.from({ length: n }, (_, nth) => claim(functionId, { account, nth, ...some }));

  it("fills them evenly as containers are given, by weight", () => {
    const [a, b] = [accountOf({ id: "a", weight: 300 }), accountOf({ id: "b", weight: 100 })];
    assert.deepEqual(given([...many(1, a, 6), ...many(2, b, 6)]).slice(0, 8), [1, 2, 1, 1, 2, 1, 1, 1]);
  });

  it("lets stand back who has used more of late, as far as that goes", () => {
    const [a, b] = [accountOf({ id: "a" }, 2 * MEMORY_S), accountOf({ id: "b" })];
    assert.deepEqual(given([...many(1, a, 4), ...many(2, b, 4)]), [2, 2, 1, 2, 1, 2, 1, 1]);
  });

  it("puts priority before shares", () => {
    const [a, b] = [accountOf({ id: "a" }, 1e6), accountOf({ id: "b" })];
    assert.deepEqual(ids([...many(1, a, 1, { priority: 60 }), ...many(2, b, 1)]), [1, 2]);
  });

  it("puts what is promised before what would be borrowed, whatever its priority", () => {
    const [a, b] = [accountOf({ id: "a", gpuQuotaMilli: 1000 }), accountOf({ id: "b" })];
    assert.deepEqual(given([...many(1, a, 2), ...many(2, b, 1, { priority: 90 })]), [1, 2, 1]);
  });

  it("counts work without GPUs a little", () => {
    const [a, b] = [accountOf({ id: "a" }), accountOf({ id: "b" })];
    const cores = { amount: { gpuMilli: 0, cpuMilli: 1000 } };
    assert.deepEqual(given([...many(1, a, 3, cores), ...many(2, b, 2)]), [1, 2, 1, 1, 2]);
  });
});

describe("queueOf()", () => {
  const levels = [
    { priority: 90, queued: 1, since: NOW },
    { priority: 10, queued: 5, since: NOW - 9 },
  ];
  const waiting = fn({ demand: { queued: 6, levels, requestsHeld: 2, heldSince: NOW } });

  it("has held requests at the default priority among the calls", () => {
    assert.deepEqual(queueOf(waiting).map(({ priority, queued }) => [priority, queued]), [[90, 1], [50, 2], [
      10,
      5,
    ]]);
  });

  it("tells the level of each that waits, and how many are as important", () => {
    const queue = queueOf(waiting);
    assert.deepEqual([0, 1, 2, 3, 7, 8].map((nth) => levelAt(queue, nth)?.priority), [
      90,
      50,
      50,
      10,
      10,
      undefined,
    ]);
    assert.deepEqual([91, 90, 50, 11, 10].map((priority) => waitingFrom(queue, priority)), [0, 1, 3, 3, 8]);
  });
});
