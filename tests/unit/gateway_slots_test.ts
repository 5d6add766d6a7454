import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { HoldError } from "../../api/gateway/hold.ts";
import { type FunctionRoute, routeTable, routeTableOf } from "../../api/gateway/routes.ts";
import { parseAddress } from "../../sdk/container_address.ts";
import { Slots } from "../../api/gateway/slots.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

const never = new AbortController().signal;

function setup({ containers = 1, concurrency = 1, limit = 100 } = {}) {
  const clock = new ManualClock();
  const changes: string[] = [];
  const route = (n: number): FunctionRoute => ({
    id: 1,
    name: "fn",
    concurrency,
    startTimeoutMs: 1_000,
    timeoutMs: 1_000,
    mounted: false,
    containers: Array.from({ length: n }, (_, i) => ({ id: `c${i}`, address: `/${i}` })),
  });
  const slots = new Slots(route(containers), {
    clock,
    random: { next: () => 0, bytes: (n) => new Uint8Array(n) },
    limit,
    changed: ({ inFlight, held }) => changes.push(`${inFlight} in flight, ${held} held`),
    closed: never,
  });
  const acquire = () => slots.acquire(clock.now() + 1_000, never);
  return { clock, slots, route, acquire, changes };
}

describe("Slots", () => {
  it("Slots gives slots at once while there are some, and holds what is beyond them", async () => {
    const { acquire, changes } = setup({ containers: 2, concurrency: 2 });
    const taken = await Promise.all(Array.from({ length: 4 }, acquire));
    assert.deepEqual(taken.map(({ container }) => container.id).sort(), ["c0", "c0", "c1", "c1"]);
    const fifth = acquire();
    assert.ok(fifth instanceof Promise);
    const c1 = taken.find(({ container }) => container.id === "c1")!;
    c1.release();
    assert.equal((await fifth).container.id, "c1");
    assert.deepEqual(changes.slice(-3), [
      "4 in flight, 1 held",
      "4 in flight, 0 held",
      "4 in flight, 0 held",
    ]);
  });

  it("Slots serves those who wait before those who come, in their order", async () => {
    const { acquire } = setup();
    const order: number[] = [];
    const first = await acquire();
    const others = [1, 2, 3].map(async (n) => {
      const slot = await acquire();
      order.push(n);
      slot.release();
    });
    first.release();
    await Promise.all(others);
    assert.deepEqual(order, [1, 2, 3]);
  });

  it("Slots.release counts once, however often it is called", async () => {
    const { acquire, slots } = setup({ concurrency: 2 });
    const one = await acquire();
    await acquire();
    one.release();
    one.release();
    assert.equal(slots.inFlight, 1);
    await acquire();
    assert.ok(acquire() instanceof Promise);
  });

  it("Slots.update wakes those who wait when a container comes", async () => {
    const { acquire, slots, route } = setup({ containers: 0, concurrency: 2 });
    const waiting = [acquire(), acquire(), acquire()];
    assert.equal(slots.held, 3);
    slots.update(route(1));
    await Promise.all(waiting.slice(0, 2));
    assert.deepEqual([slots.inFlight, slots.held], [2, 1]);
    slots.update(route(2));
    assert.equal((await waiting[2])!.container.id, "c1");
  });

  it("Slots.update takes containers away, and their slots come back to nobody", async () => {
    const { acquire, slots, route } = setup();
    const slot = await acquire();
    slots.update(route(0));
    const waiting = acquire();
    slot.release();
    await settle();
    assert.deepEqual([slots.inFlight, slots.held], [0, 1]);
    slots.close("closed");
    await assert.rejects(Promise.resolve(waiting), HoldError);
  });

  it("Slots leaves a shunned container alone for a while, and then tries it again", async () => {
    const { clock, acquire, slots } = setup({ containers: 1, concurrency: 5 });
    const slot = await acquire();
    slot.shun();
    slot.release();
    const waiting = acquire();
    assert.ok(waiting instanceof Promise);
    assert.equal(slots.held, 1);
    await clock.advance(500);
    assert.equal((await waiting).container.id, "c0");
  });

  it("Slots tells of every change, also of those who leave", async () => {
    const { clock, acquire, changes } = setup({ containers: 0 });
    const late = assert.rejects(Promise.resolve(acquire()), HoldError);
    assert.deepEqual(changes, ["0 in flight, 1 held"]);
    await clock.advance(1_000);
    await late;
    assert.deepEqual(changes, ["0 in flight, 1 held", "0 in flight, 0 held"]);
  });
});

describe("RouteTable", () => {
  it("RouteTable finds endpoints by workspace, app and name, and functions by id", () => {
    const row = {
      workspace: "default",
      app: "digits",
      auth: "key" as const,
      functionId: 7,
      functionName: "Digits",
      body: "ts" as const,
      concurrency: 8,
      startTimeoutMs: 60_000,
      timeoutMs: 300_000,
      containers: [{ id: "c1", address: "/1", host: "here", relay: null }],
    };
    const rows = [{ ...row, endpoint: "classify" }, { ...row, endpoint: "health", auth: "public" as const }];
    const table = routeTableOf(rows, "here");
    assert.equal(table.find("default", "digits", "health")?.auth, "public");
    assert.equal(table.find("other", "digits", "health"), undefined);
    assert.equal(table.find("default", "digits", "nothing"), undefined);
    assert.equal(table.functions.get(7), table.find("default", "digits", "classify")?.function);
    assert.equal(routeTable([]).find("default", "digits", "classify"), undefined);
  });

  it("RouteTable leads to containers of other machines by way of their runners, where they have a port", () => {
    const relay = { hostname: "10.0.0.7", port: 7_979, key: "k" };
    const containers = [
      { id: "near", address: "/near.sock", host: "here", relay },
      { id: "far", address: "/far.sock", host: "there", relay },
      { id: "bare", address: "127.0.0.1:80", host: "there", relay: null },
    ];
    const table = routeTableOf([{
      workspace: "default",
      app: "digits",
      endpoint: "classify",
      auth: "key",
      functionId: 7,
      functionName: "Digits",
      body: "ts",
      concurrency: 8,
      startTimeoutMs: 60_000,
      timeoutMs: 300_000,
      containers,
    }], "here");
    const addresses = table.functions.get(7)!.containers.map(({ address }) => address);
    assert.deepEqual(addresses, ["/near.sock", "relay://k@10.0.0.7:7979/far", "127.0.0.1:80"]);
    assert.deepEqual(parseAddress(addresses[1]!), { transport: "relay", container: "far", ...relay });
  });
});
