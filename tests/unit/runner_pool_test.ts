import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Pool } from "../../runner/pool.ts";
import { silentLog } from "../../sdk/ports.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

class Thing {
  readonly #ended = Promise.withResolvers<void>();
  discarded = false;

  get ended(): Promise<void> {
    return this.#ended.promise;
  }
  end(): void {
    this.#ended.resolve();
  }
  discard(): void {
    this.discarded = true;
  }
}

function setup(size: number) {
  const clock = new ManualClock();
  const made: Thing[] = [];
  let failures = 0;
  const pool = new Pool<Thing>({
    size,
    clock,
    log: silentLog,
    make: async () => {
      await settle();
      if (failures-- > 0) throw new Error("not now");
      made.push(new Thing());
      return made.at(-1)!;
    },
  });
  return { pool, made, clock, fail: (n: number) => failures = n };
}

describe("Pool", () => {
  it("is filled to its size, and not again until asked", async () => {
    const { pool, made } = setup(2);
    assert.equal(pool.take(), null);
    await Promise.all([pool.fill(), pool.fill()]);
    assert.equal(made.length, 2);
    assert.equal(pool.take(), made[0]);
    assert.equal(pool.size, 1);
    await settle();
    assert.equal(made.length, 2);
    await pool.fill();
    assert.equal(made.length, 3);
  });

  it("replaces one that ended while it waited, never one that was taken", async () => {
    const { pool, made } = setup(1);
    await pool.fill();
    made[0]!.end();
    for (let i = 0; i < 4; i++) await settle();
    assert.equal(pool.size, 1);
    assert.equal(pool.take(), made[1]);
    made[1]!.end();
    for (let i = 0; i < 4; i++) await settle();
    assert.equal(made.length, 2);
  });

  it("tries again, with pauses, when making fails", async () => {
    const { pool, made, clock, fail } = setup(1);
    fail(2);
    const filled = pool.fill();
    await clock.advance(400);
    assert.equal(made.length, 0);
    await clock.advance(800);
    await filled;
    assert.equal(made.length, 1);
  });

  it("discards all when it is closed, also what is being made", async () => {
    const { pool, made } = setup(2);
    const filled = pool.fill();
    await pool.close();
    await filled;
    assert.equal(pool.size, 0);
    assert.ok(made.every(({ discarded }) => discarded));
    assert.equal(made.length, 1);
  });
});
