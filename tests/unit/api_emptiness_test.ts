import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Emptiness } from "../../api/emptiness.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { ManualClock } from "../setup/manual_clock.ts";

function setup() {
  const clock = new ManualClock();
  const wakes = new LocalWakes();
  const idle = new Emptiness<number>({ clock, wakes }, "ready");
  const looks: PromiseWithResolvers<number[]>[] = [];
  const look = () => {
    looks.push(Promise.withResolvers<number[]>());
    return looks.at(-1)!.promise;
  };
  const isEmpty = (found: number[]) => found.length === 0;
  return {
    clock,
    wakes,
    looks,
    ask: () => idle.look(7, [], look, isEmpty),
    askInTurn: () => idle.lookInTurn(7, [], look, isEmpty),
  };
}

describe("Emptiness.look()", () => {
  it("believes for a second that there is nothing, unless a wake says otherwise", async () => {
    const { clock, wakes, looks, ask } = setup();
    const first = ask();
    looks[0]!.resolve([]);
    await first;
    assert.deepEqual([await ask(), looks.length], [[], 1]);
    wakes.wake("ready", 7);
    ask();
    assert.equal(looks.length, 2);
    looks[1]!.resolve([]);
    await clock.advance(1_000);
    ask();
    assert.equal(looks.length, 3);
  });

  it("does not believe what was found while a wake came", async () => {
    const { wakes, looks, ask } = setup();
    const first = ask();
    wakes.wake("ready", 7);
    looks[0]!.resolve([]);
    await first;
    ask();
    assert.equal(looks.length, 2);
  });
});

describe("Emptiness.lookInTurn()", () => {
  it("looks once for all who ask at the same time when there is nothing", async () => {
    const { looks, askInTurn } = setup();
    const all = Promise.all([askInTurn(), askInTurn(), askInTurn()]);
    await Promise.resolve();
    assert.equal(looks.length, 1);
    looks[0]!.resolve([]);
    assert.deepEqual(await all, [[], [], []]);
    assert.equal(looks.length, 1);
  });

  it("lets the next look when the one before has found something, or failed", async () => {
    const { looks, askInTurn } = setup();
    const [first, second, third] = [askInTurn(), askInTurn(), askInTurn()];
    await Promise.resolve();
    looks[0]!.resolve([1]);
    assert.deepEqual(await first, [1]);
    looks[1]!.reject(new Error("away"));
    await assert.rejects(second, /away/);
    await Promise.resolve();
    looks[2]!.resolve([3]);
    assert.deepEqual(await third, [3]);
  });
});
