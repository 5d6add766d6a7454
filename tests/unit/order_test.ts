import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Claimant, inOrder } from "../../scheduler/order.ts";
import { dice } from "../setup/snapshots.ts";

const claimant = (functionId: number, some: Partial<Claimant> = {}): Claimant => ({
  functionId,
  priority: 50,
  nth: 0,
  since: 0,
  ...some,
});
const ids = (claimants: Claimant[]) => inOrder(claimants).map((one) => one.functionId);

describe("inOrder()", () => {
  it("puts higher priority first, however young", () => {
    assert.deepEqual(ids([claimant(1, { since: 1 }), claimant(2, { since: 9, priority: 60 })]), [2, 1]);
  });

  it("gives each function its first container before anyone's second", () => {
    const many = [0, 1, 2].map((nth) => claimant(1, { nth, since: 1 }));
    assert.deepEqual(ids([...many, claimant(2, { since: 9 })]), [1, 2, 1, 1]);
  });

  it("puts the longest wait first among equals", () => {
    assert.deepEqual(ids([claimant(1, { since: 9 }), claimant(2, { since: 1 })]), [2, 1]);
  });

  it("never ranks a claimant lower for having waited longer (200 seeds)", () => {
    for (let seed = 0; seed < 200; seed++) {
      const { upTo } = dice(seed);
      const draw = (id: number) => claimant(id, { priority: upTo(2), nth: upTo(2), since: 100 + upTo(3) });
      const others = Array.from({ length: 1 + upTo(8) }, (_, i) => draw(i + 2));
      const one = draw(1);
      const rank = (since: number) => ids([...others, { ...one, since }]).indexOf(1);
      assert.ok(rank(one.since - 50) <= rank(one.since), `seed ${seed}`);
    }
  });
});
