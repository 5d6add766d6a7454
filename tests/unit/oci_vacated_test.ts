import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Vacated } from "../../runner/engines/oci/vacated.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

function setup() {
  const clock = new ManualClock();
  const vacated = new Vacated(clock);
  const state = { settled: false };
  const wait = () => vacated.settled().then(() => state.settled = true);
  return { clock, vacated, state, wait };
}

describe("Vacated", () => {
  it("holds nothing up when no server has ended", async () => {
    const { state, wait } = setup();
    wait();
    await settle();
    assert.ok(state.settled);
  });

  it("holds starts up until the platform has heard of every end", async () => {
    const { vacated, state, wait } = setup();
    const [one, two] = [vacated.leave(), vacated.leave()];
    wait();
    one();
    await settle();
    assert.ok(!state.settled);
    two();
    await settle();
    assert.ok(state.settled);
  });

  it("waits for an api that is away for five seconds at most", async () => {
    const { clock, vacated, state, wait } = setup();
    vacated.leave();
    wait();
    await clock.advance(4_900);
    assert.ok(!state.settled);
    await clock.advance(200);
    assert.ok(state.settled);
  });
});
