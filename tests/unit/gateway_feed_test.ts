import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { RouteFeed } from "../../api/gateway/feed.ts";
import { type RouteTable, routeTable } from "../../api/gateway/routes.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

/** A store whose loads end when the test says so. */
function setup() {
  const clock = new ManualClock();
  const wakes = new LocalWakes();
  const loads: PromiseWithResolvers<RouteTable>[] = [];
  const logged: string[] = [];
  let tables = 0;
  const feed = new RouteFeed({
    clock,
    wakes,
    log: (event) => void logged.push(event),
    load: () => {
      loads.push(Promise.withResolvers<RouteTable>());
      return loads.at(-1)!.promise;
    },
    changed: () => void tables++,
  });
  const answer = async (i = loads.length - 1) => {
    loads[i]!.resolve(routeTable([]));
    await settle();
  };
  const start = async () => {
    const started = feed.start();
    await answer();
    await started;
  };
  return { clock, wakes, feed, loads, logged, answer, start, tables: () => tables };
}

describe("RouteFeed", () => {
  it("RouteFeed loads at the start, on wakes and every second", async () => {
    const { clock, wakes, loads, answer, start, tables, feed } = setup();
    await start();
    assert.equal(loads.length, 1);
    wakes.wake("routes");
    assert.equal(loads.length, 2);
    await answer();
    await clock.advance(1_000);
    assert.equal(loads.length, 3);
    await answer();
    assert.equal(tables(), 3);
    feed.close();
  });

  it("RouteFeed joins wakes during a load into one more load, which begins after it", async () => {
    const { wakes, loads, answer, start, feed } = setup();
    await start();
    for (let i = 0; i < 20; i++) wakes.wake("routes");
    assert.equal(loads.length, 2);
    await answer(1);
    assert.equal(loads.length, 3);
    await answer(2);
    assert.equal(loads.length, 3);
    feed.close();
  });

  it("RouteFeed.refresh ends with a load that began after it was asked", async () => {
    const { loads, answer, start, feed } = setup();
    await start();
    const first = feed.refresh();
    const second = feed.refresh();
    let ended = false;
    second.then(() => ended = true);
    await answer(1);
    await first;
    assert.equal(ended, false);
    assert.equal(loads.length, 3);
    await answer(2);
    await second;
    feed.close();
  });

  it("RouteFeed.missed loads seldom however many ask", async () => {
    const { clock, loads, answer, start, feed } = setup();
    await start();
    const misses = Array.from({ length: 100 }, () => feed.missed());
    await clock.advance(0);
    assert.equal(loads.length, 2);
    await answer();
    await Promise.all(misses);
    const more = Array.from({ length: 100 }, () => feed.missed());
    await clock.advance(49);
    assert.equal(loads.length, 2);
    await clock.advance(1);
    assert.equal(loads.length, 3);
    await answer();
    await Promise.all(more);
    feed.close();
  });

  it("RouteFeed keeps its table while loads fail, says so once, and tells who asked", async () => {
    const { clock, loads, logged, answer, start, tables, feed } = setup();
    await start();
    const table = feed.table;
    for (let i = 1; i <= 3; i++) {
      await clock.advance(1_000);
      loads[i]!.reject(new Error("away"));
      await settle();
    }
    assert.deepEqual(logged, ["gateway.routes_failed"]);
    const asked = assert.rejects(feed.refresh(), /away/);
    loads.at(-1)!.reject(new Error("away"));
    await asked;
    assert.equal(feed.table, table);
    await clock.advance(1_000);
    await answer();
    assert.equal(tables(), 2);
    feed.close();
  });

  it("RouteFeed.close stops loading", async () => {
    const { clock, wakes, loads, start, feed } = setup();
    await start();
    feed.close();
    wakes.wake("routes");
    await clock.advance(10_000);
    assert.equal(loads.length, 1);
  });
});
