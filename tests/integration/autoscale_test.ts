import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { decide } from "../../scheduler/scaling.ts";
import { listScalings, remember } from "../../scheduler/store/autoscale.ts";
import { reportDemand } from "../../scheduler/store/demand.ts";
import { TestApi } from "../setup/api.ts";
import { schedulerWorld } from "../setup/scheduler.ts";
import { NOW } from "../setup/world.ts";

const SECOND = 1_000, MINUTE = 60_000, HOUR = 60 * MINUTE;

/** A world with one function whose windows are predicted, and ways to give it work. */
async function setup() {
  const world = await schedulerWorld();
  const { sql, runner } = world;
  const functionId = await world.deploy({
    scale: { min: 0, max: 4, buffer: 0 },
  });
  const arrival = async () =>
    (await sql<{ idleAt: Date | null; loadAt: Date | null; keepUntil: Date | null; xmin: string }[]>`
      select idle_at, load_at, keep_until, xmin::text from arrival where function_id = ${functionId}`)[0];
  /** Ticks whenever there may be something to do. */
  const until = async (at: number) => {
    while (world.clock.now() < at) {
      await world.tick();
      await runner.ready();
      await runner.leave();
      const now = world.clock.now(), noted = await arrival();
      const ahead = [noted?.loadAt, noted?.keepUntil].map((one) => one?.getTime() ?? 0).filter((ms) =>
        ms > now
      );
      const soon = (await runner.containers()).length > 0 ? now + 10 * SECOND : Infinity;
      await world.pass(Math.min(at, soon, ...ahead) - now);
    }
    await world.tick();
  };
  return {
    ...world,
    functionId,
    until,
    /** One call, from its creation to its end. */
    async work() {
      await world.call(functionId, [1]);
      await world.tick();
      await runner.ready();
      await world.tick();
      const [container] = await runner.containers();
      const [claimed] = await runner.claim(container!.id);
      await runner.complete(claimed!.lease, [0]);
      await world.tick();
    },
    arrival,
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}

describe("the autoscaler's memory", () => {
  it("notes when work begins and ends, and nothing in between", async () => {
    await using world = await setup();
    await world.tick();
    assert.equal(await world.arrival(), undefined);
    await world.work();
    const during = await world.arrival();
    assert.equal(during?.idleAt, null);
    await world.tick();
    assert.deepEqual(await world.arrival(), during);
    await world.until(world.clock.now() + 3 * SECOND);
    const after = await world.arrival();
    assert.ok(after!.idleAt !== null && after!.keepUntil!.getTime() > world.clock.now());
    await world.until(world.clock.now() + 10 * SECOND);
    assert.deepEqual(await world.arrival(), after);
  });

  it("counts requests of endpoints too", async () => {
    await using world = await setup();
    const at = world.clock.now();
    const { functionId } = world;
    const rows = [{ functionId, inFlight: 1, waiting: 0, oldestAt: null, activeAt: at }];
    await reportDemand(world.sql, world.now(), { gateway: "gw_1", rows });
    await world.tick();
    assert.equal((await world.arrival())?.idleAt, null);
  });

  it("notes nothing of functions whose window is fixed", async () => {
    await using world = await schedulerWorld();
    const scale = { min: 0, max: 1, buffer: 0, scaledownWindow: "10s" };
    await world.call(await world.deploy({ scale }), [1]);
    await world.tick();
    assert.deepEqual([...await world.sql`select from arrival`], []);
  });

  it("unloads a function that has work every hour, and loads it again before the next", async () => {
    await using world = await setup();
    const start = world.clock.now();
    for (let hour = 0; hour < 8; hour++) {
      await world.until(start + hour * HOUR);
      await world.work();
    }
    await world.until(start + 7 * HOUR + 30 * MINUTE);
    assert.deepEqual(await world.runner.containers(), []);
    await world.until(start + 8 * HOUR);
    assert.deepEqual((await world.runner.containers()).map(({ desired, observed }) => [desired, observed]), [[
      "run",
      "ready",
    ]]);
    const [{ reason }] = await world.sql<
      [{ reason: string }]
    >`select reason from container order by created_at desc, id desc limit 1`;
    assert.equal(reason, "work is expected");
    await world.until(start + 8 * HOUR + 30 * MINUTE);
    assert.deepEqual(await world.runner.containers(), []);
  });

  it("records each decision that differs from the last, and they lead to the same again", async () => {
    await using world = await setup();
    await world.work();
    await world.until(world.clock.now() + 5 * SECOND);
    const of = { workspace: "default", app: "demo", function: "work", limit: 100 };
    const rows = await listScalings(world.sql, of);
    assert.deepEqual(rows!.map(({ inputs, wanted }) => [inputs.kind, wanted]), [["keep", 1], ["scale", 0], [
      "scale",
      1,
    ]]);
    for (const { inputs, wanted, reason } of rows!) assert.deepEqual(decide(inputs), { wanted, reason });
    assert.equal(await listScalings(world.sql, { ...of, function: "play" }), null);
    assert.equal(await listScalings(world.sql, { ...of, workspace: "other" }), null);
  });
});

describe("remember()", () => {
  it("forgets decisions that are hours old", async () => {
    await using world = await schedulerWorld();
    const functionId = await world.deploy();
    const write = () =>
      remember(world.sql, world.now(), {
        notes: [],
        days: [],
        scalings: [{ functionId, inputs: { kind: "scale" } as never, wanted: 1, reason: "" }],
      });
    await write();
    await write();
    await world.pass(5 * HOUR);
    await write();
    await world.pass(2 * HOUR);
    await write();
    const [{ count }] = await world.sql<[{ count: number }]>`select count(*)::int from scaling`;
    assert.equal(count, 2);
  });
});

describe("GET /v1/apps/{app}/functions/{function}/scaling", () => {
  async function recorded() {
    const api = await TestApi.start();
    await api.deploy("demo", ["work"]);
    const [{ functionId }] = await api.db.sql<
      [{ functionId: number }]
    >`select id as function_id from function`;
    const scale = {
      min: 0,
      max: 9,
      buffer: 0,
      scaledownWindowMs: null,
      targetWaitMs: 1_000,
      concurrency: 1,
      targetConcurrency: 1,
    };
    for (let wanted = 1; wanted <= 3; wanted++) {
      const demand = {
        ...{
          queued: wanted,
          queuedSince: 1,
          priority: 50,
          levels: [],
          keyed: 0,
          leased: 0,
          leasedSince: null,
          stuck: 0,
        },
        ...{ callMs: null, requests: 0, requestsHeld: 0, heldSince: null, requestedAt: null },
      };
      const inputs = { kind: "scale" as const, now: 1, removed: false, scale, demand };
      const reason = wanted === 2 ? "something else" : decide(inputs).reason;
      await remember(api.db.sql, NOW, {
        notes: [],
        days: [],
        scalings: [{ functionId, inputs, wanted, reason }],
      });
    }
    return api;
  }

  it("lists decisions page by page, newest first, replayed when asked", async () => {
    await using api = await recorded();
    interface Page {
      readonly items: { wanted: number; reason: string; replayed?: { wanted: number; reason: string } }[];
      readonly nextCursor?: string;
    }
    const path = "/v1/apps/demo/functions/work/scaling?replay=true&limit=2";
    const first = (await api.ask<Page>(path)).body;
    assert.deepEqual(first.items.map(({ wanted, replayed }) => [wanted, replayed?.wanted]), [[3, 3], [2, 2]]);
    assert.deepEqual(first.items.map(({ reason, replayed }) => reason === replayed?.reason), [true, false]);
    const rest = (await api.ask<Page>(`${path}&cursor=${first.nextCursor}`)).body;
    assert.deepEqual(rest.items.map(({ wanted }) => wanted), [1]);
    assert.equal(rest.nextCursor, undefined);
    const plain = (await api.ask<Page>("/v1/apps/demo/functions/work/scaling")).body;
    assert.equal(plain.items[0]?.replayed, undefined);
  });

  it("says which name is not there", async () => {
    await using api = await recorded();
    const message = async (path: string) => {
      const { status, body } = await api.ask<{ error: { message: string } }>(path);
      return [status, body.error.message];
    };
    const [status, text] = await message("/v1/apps/demo/functions/wrok/scaling");
    assert.equal(status, 404);
    assert.match(String(text), /^Cannot find function "wrok": app "demo" has none of this name/);
    assert.equal((await message("/v1/apps/dmeo/functions/work/scaling"))[0], 404);
  });
});
