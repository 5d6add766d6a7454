import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { NodeApi } from "../../runner/api.ts";
import type { HeldCall, HeldLease } from "../../runner/calls.ts";
import { Exchange, type Taker } from "../../runner/exchange.ts";
import { Leases } from "../../runner/leases.ts";
import { Outbox } from "../../runner/outbox.ts";
import { silentLog } from "../../sdk/ports.ts";
import type { Claim, ExchangeReply, ExchangeRequest, Report } from "../../sdk/protocol.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

/** One request that the api has not answered. */
interface Asked {
  readonly request: ExchangeRequest;
  answer(reply?: Partial<ExchangeReply>): Promise<void>;
  fail(status: number, message?: string): Promise<void>;
}

class Container implements Taker {
  calls = 0;
  idle = true;
  /** What it was last told that it may hold. */
  share = 0;
  readonly given: HeldLease[] = [];
  readonly cancelled: HeldCall[] = [];

  free(share: number): number {
    this.share = share;
    return this.calls;
  }
  give(lease: HeldLease): void {
    this.given.push(lease);
  }
  cancel(call: HeldCall): void {
    this.cancelled.push(call);
  }
}

/** The call loop against an api that the test answers for. */
async function setup(containers: Record<string, Container> = {}) {
  const clock = new ManualClock();
  const asked: Asked[] = [];
  const refused: number[] = [];
  const api = new NodeApi({
    address: { origin: "http://berth" },
    clock,
    fetch: (_url, init) =>
      new Promise((resolve, reject) => {
        init!.signal!.addEventListener("abort", () => reject(new Error("aborted")));
        const reply = async (response: Response) => {
          resolve(response);
          for (let i = 0; i < 5; i++) await settle();
        };
        asked.push({
          request: JSON.parse(String(init!.body)),
          answer: (body = {}) => reply(Response.json({ claims: [], cancels: [], ...body })),
          fail: (status, message = "no") => reply(Response.json({ error: { message } }, { status })),
        });
      }),
  }, { id: "node_1", credential: "c" });
  const outbox = new Outbox();
  const leases = new Leases();
  const exchange = new Exchange({
    api,
    session: "s",
    clock,
    log: silentLog,
    outbox,
    leases,
    containers: new Map(Object.entries(containers)),
    refused: ({ status }) => void refused.push(status),
  });
  const over = new AbortController();
  const ran = exchange.run(over.signal);
  await settle();
  return {
    asked,
    clock,
    exchange,
    leases,
    outbox,
    refused,
    report: async (lease: number, ...reports: Report[]) => {
      for (const report of reports) outbox.report(lease, report, 10);
      await settle();
    },
    end: async () => {
      over.abort();
      exchange.wake();
      await ran;
    },
  };
}

const done = (index: number): Report => [index, 0, null, 1, 2, 0];
const claim = (container: string, lease = 1): Claim => ({
  lease,
  container,
  batch: 1,
  lo: 0,
  attempt: 1,
  method: "fn",
  inputs: ["a", "b"],
});

describe("Exchange", () => {
  it("parks one when there is nothing to tell, and another when that is answered", async () => {
    const { asked, clock, end } = await setup();
    assert.equal(asked.length, 1);
    assert.deepEqual([asked[0]!.request.reports, asked[0]!.request.waitMs], [[], 10_000]);
    await asked[0]!.answer();
    await clock.advance(15);
    assert.equal(asked.length, 2);
    assert.equal(asked[1]!.request.seq, 2);
    await end();
  });

  it("tells a report at once, beside the parked one, and asks not to be parked with it", async () => {
    const { asked, exchange, report, end } = await setup();
    exchange.wake();
    await report(5, done(3));
    assert.equal(asked.length, 2);
    assert.deepEqual(asked[1]!.request.reports, [{ lease: 5, done: [done(3)] }]);
    assert.equal(asked[1]!.request.waitMs, 0);
    await end();
  });

  it("sends what came while one was on its way with the next, in one", async () => {
    const { asked, exchange, report, end } = await setup();
    exchange.wake();
    await report(5, done(0));
    await report(5, done(1));
    exchange.wake();
    await report(6, done(0));
    assert.equal(asked.length, 2);
    await asked[1]!.answer();
    assert.deepEqual(asked[2]!.request.reports, [{ lease: 5, done: [done(1)] }, {
      lease: 6,
      done: [done(0)],
    }]);
    await end();
  });

  it("lets reports wait for company while nobody is hungry", async () => {
    const { asked, clock, report, end } = await setup();
    await report(5, done(0));
    assert.equal(asked.length, 1);
    await clock.advance(7);
    await report(5, done(1));
    assert.equal(asked.length, 1);
    await clock.advance(1);
    assert.deepEqual(asked[1]!.request.reports, [{ lease: 5, done: [done(0), done(1)] }]);
    await end();
  });

  it("repeats what was not answered until it is, and names what it missed", async () => {
    const { asked, clock, exchange, report, end, outbox } = await setup();
    exchange.wake();
    await report(5, done(0));
    await asked[1]!.fail(502);
    await clock.advance(50);
    await asked[2]!.fail(503);
    await clock.advance(100);
    assert.deepEqual(
      asked.slice(1).map(({ request: { seq, missed, reports } }) => [seq, missed, reports.length]),
      [
        [2, [], 1],
        [3, [2], 1],
        [4, [2, 3], 1],
      ],
    );
    await asked[3]!.answer();
    assert.equal(outbox.settled, true);
    await asked[0]!.answer();
    await clock.advance(15);
    assert.deepEqual(asked[4]!.request.missed, []);
    await end();
  });

  it("asks anew when more has become free than the parked one said", async () => {
    const one = new Container();
    const { asked, exchange, end } = await setup({ ctr_1: one });
    assert.deepEqual(asked[0]!.request.free, []);
    exchange.wake();
    await settle();
    assert.equal(asked.length, 1);
    one.calls = 4;
    exchange.wake();
    await settle();
    assert.deepEqual(asked[1]!.request.free, [{ container: "ctr_1", calls: 4 }]);
    await end();
  });

  it("parks the next at once while something is free", async () => {
    const one = new Container();
    one.calls = 1;
    const { asked, end } = await setup({ ctr_1: one });
    await asked[0]!.answer();
    assert.equal(asked.length, 2);
    await end();
  });

  it("shares what may be held among the containers that work, however many are idle", async () => {
    const all = Array.from({ length: 10 }, () => new Container());
    const [working, other] = all;
    working!.idle = other!.idle = false;
    const { exchange, end } = await setup(Object.fromEntries(all.entries()));
    const shared = working!.share;
    other!.idle = true;
    exchange.wake();
    await settle();
    assert.equal(working!.share, 2 * shared);
    await end();
  });

  it("gives claims to their containers once, and those of unknown ones back", async () => {
    const one = new Container();
    const { asked, clock, leases, end } = await setup({ ctr_1: one });
    await asked[0]!.answer({ claims: [claim("ctr_1"), claim("ctr_1"), claim("gone", 2)] });
    assert.equal(one.given.length, 1);
    assert.deepEqual(one.given[0]!.calls.map(({ index, input }) => [index, input]), [[0, "a"], [1, "b"]]);
    assert.deepEqual(leases.ids(), [1, 2]);
    await clock.advance(8);
    const { reports } = asked.at(-1)!.request;
    assert.deepEqual(
      reports.map(({ lease, done }) => [lease, done.map(([index, outcome]) => [index, outcome])]),
      [
        [2, [[0, 3], [1, 3]]],
      ],
    );
    await asked.at(-1)!.answer();
    assert.deepEqual(leases.ids(), [1]);
    await end();
  });

  it("passes cancels on to the container that has the call", async () => {
    const one = new Container();
    const { asked, end } = await setup({ ctr_1: one });
    await asked[0]!.answer({ claims: [claim("ctr_1")], cancels: [[1, 1], [1, 9], [7, 0]] });
    assert.deepEqual(one.cancelled.map(({ index }) => index), [1]);
    await end();
  });

  it("finds the report that cannot be stored, and puts a failure in its place", async () => {
    const { asked, exchange, report, end } = await setup();
    exchange.wake();
    await report(5, done(0), done(1));
    await asked[1]!.fail(400, "bad value");
    await asked[2]!.fail(400, "bad value");
    const { reports: [{ lease, done: [[index, outcome, value]] }] } = asked[3]!.request as unknown as {
      reports: [{ lease: number; done: [Report] }];
    };
    assert.deepEqual([lease, index, outcome, value], [5, 0, 1, {
      kind: "user_error",
      message: "Cannot store the result: bad value",
      retryable: false,
    }]);
    await asked[3]!.answer();
    assert.deepEqual(asked[4]!.request.reports, [{ lease: 5, done: [done(1)] }]);
    await end();
  });

  it("says when the api no longer knows its session", async () => {
    const { asked, refused, end } = await setup();
    await asked[0]!.fail(409);
    assert.deepEqual(refused, [409]);
    await end();
  });
});
