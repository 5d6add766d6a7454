import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  cancelAll,
  cancelCall,
  claim,
  claimsOfExchanges,
  complete,
  enqueue,
  expireDue,
  failQueued,
  type Finished,
  giveBack,
  loseLeases,
  openLeasesNotHeld,
  openLeasesOf,
  retry,
  wakeDue,
} from "../../scheduler/store/calls.ts";
import type { Pool } from "../../scheduler/store/connect.ts";
import type { Failure } from "../../sdk/protocol.ts";
import { testDatabase } from "../setup/postgres.ts";
import { insertContainers, insertFunction, NOW, submission } from "../setup/world.ts";

const LATER = new Date(NOW.getTime() + 60_000);
const LOST: Failure = { kind: "node_lost", message: "gone", retryable: true };

async function setup() {
  const db = await testDatabase();
  const functionId = await insertFunction(db.sql);
  await insertContainers(db.sql, functionId, ["ctr_0", "ctr_1", "ctr_2", "ctr_3", "ctr_4"]);
  let exchange = 0;
  const take = async (calls: number, containerId = "ctr_1") =>
    (await claim(db.sql, NOW, { containerId, nodeId: "node_1", exchange: ++exchange, calls })).ranges;
  const put = async (inputs: unknown[], more = {}) =>
    (await enqueue(db.sql, NOW, [submission(functionId, inputs, more)]))[0]!;
  return { ...db, db, functionId, take, put };
}

const done = (lease: number, index: number, more: Partial<Finished> = {}): Finished => ({
  lease,
  index,
  state: 0,
  value: index,
  startedAt: 1,
  endedAt: 2,
  cpuUs: 3,
  ...more,
});

/** Where each call of the database is: every one must be in exactly one place. */
async function places(sql: Pool): Promise<string[]> {
  const rows = await sql<{ place: string | null }[]>`
    select concat_ws('+',
      (select 'result ' || state from result r where r.batch_id = c.batch_id and r.idx = c.idx),
      (select string_agg('ready ' || attempt, '+') from ready q where q.batch_id = c.batch_id and q.lo <= c.idx and q.hi > c.idx),
      (select string_agg('lease ' || attempt, '+') from lease l
        where l.batch_id = c.batch_id and l.lo <= c.idx and l.hi > c.idx and l.remaining > 0
          and not exists (select from result r where r.batch_id = c.batch_id and r.idx = c.idx)
          and not exists (select from attempt a where a.batch_id = c.batch_id and a.idx = c.idx and a.lease_id = l.id)
          and not exists (select from given_back g where g.lease_id = l.id and g.idx = c.idx))) as place
    from call c order by batch_id, idx`;
  return rows.map((row) => row.place ?? "nowhere");
}

describe("enqueue()", () => {
  it("stores inputs as they came, escapes and all, and queues one range", async () => {
    const { sql, db, put, take } = await setup();
    await using _ = db;
    const inputs = ["\u0000", "\ud800", { b: 1, a: [null, 1e300] }];
    await put(inputs);
    const [range] = await take(10);
    assert.deepEqual(JSON.parse(`[${range!.inputs}]`), inputs);
    assert.deepEqual(await places(sql), ["lease 1", "lease 1", "lease 1"]);
  });

  it("stores an idempotency key once, within and across statements", async () => {
    const { sql, db, functionId } = await setup();
    await using _ = db;
    const keyed = submission(functionId, [1], { idempotencyKey: "k", requestHash: "h" });
    const [first, second] = await enqueue(sql, NOW, [keyed, keyed]);
    assert.equal(typeof first, "number");
    assert.equal(second, null);
    assert.deepEqual(await enqueue(sql, NOW, [keyed]), [null]);
    assert.equal((await places(sql)).length, 1);
  });

  it("fires a schedule's tick once", async () => {
    const { sql, db, functionId } = await setup();
    await using _ = db;
    await sql`insert into schedule (id, function_id, method, cron, time_zone, input)
      values ('sch_1', ${functionId}, 'work', '* * * * *', 'UTC', 'null')`;
    const tick = submission(functionId, [null], { scheduleId: "sch_1", tickAt: NOW });
    const ids = await Promise.all([enqueue(sql, NOW, [tick]), enqueue(sql, NOW, [tick])]);
    assert.equal(ids.flat().filter((id) => id !== null).length, 1);
  });
});

describe("claim()", () => {
  it("cuts ranges to what was asked, oldest first", async () => {
    const { db, take, put } = await setup();
    await using _ = db;
    const first = await put([0, 1, 2, 3, 4]);
    const second = await put([5, 6]);
    assert.deepEqual((await take(3)).map((r) => [r.batch, r.lo, r.inputs]), [[first, 0, "0,1,2"]]);
    const rest = await take(10);
    assert.deepEqual(rest.map((r) => [r.batch, r.lo, r.inputs]).sort(), [[first, 3, "3,4"], [
      second,
      0,
      "5,6",
    ]]);
    assert.deepEqual(await take(1), []);
  });

  it("takes higher priority first", async () => {
    const { db, take, put } = await setup();
    await using _ = db;
    await put(["low"], { priority: 1 });
    await put(["high"], { priority: 90 });
    assert.equal((await take(1))[0]!.inputs, '"high"');
  });

  it("never gives a call to two of many claimers at once, and leaves none", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    for (let i = 0; i < 20; i++) await put(Array.from({ length: 10 }, (_, k) => i * 10 + k));
    const given: number[] = [];
    while (given.length < 200) {
      const rounds = await Promise.all([1, 2, 3, 4].map((n) => take(7, `ctr_${n}`)));
      const inputs = rounds.flat().flatMap((range) => JSON.parse(`[${range.inputs}]`) as number[]);
      assert.ok(inputs.length > 0, "a round with work left gave nothing");
      given.push(...inputs);
    }
    assert.deepEqual(given.sort((a, b) => a - b), Array.from({ length: 200 }, (_, k) => k));
    assert.ok((await places(sql)).every((place) => place === "lease 1"));
  });

  it("gives nothing to a container that is to end or has ended", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([1]);
    await sql`update container set desired = 'drain' where id = 'ctr_1'`;
    await sql`update container set observed = 'lost', exited_at = ${NOW} where id = 'ctr_2'`;
    assert.deepEqual(await take(1, "ctr_1"), []);
    assert.deepEqual(await take(1, "ctr_2"), []);
    assert.equal((await take(1, "ctr_3")).length, 1);
  });

  it("finds the claims of a lost reply again", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([1, 2]);
    const [range] = await take(2);
    const [again] = await claimsOfExchanges(sql, "node_1", [1]);
    assert.deepEqual({ ...again }, { ...range, containerId: "ctr_1" });
  });
});

describe("complete()", () => {
  it("writes each result once, however often it is reported", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    const batch = await put([1, 2]);
    const { lease } = (await take(2))[0]!;
    assert.deepEqual((await complete(sql, "node_1", [done(lease, 0)])).batchIds, [batch]);
    assert.deepEqual((await complete(sql, "node_1", [done(lease, 0), done(lease, 1)])).batchIds, [batch]);
    assert.deepEqual((await complete(sql, "node_1", [done(lease, 1)])).batchIds, []);
    assert.deepEqual(await places(sql), ["result 0", "result 0"]);
    assert.deepEqual(await openLeasesOf(sql, ["ctr_1"]), []);
  });

  it("refuses a call outside the lease, a foreign node, and a lease that was lost", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([1, 2]);
    const { lease } = (await take(1))[0]!;
    assert.deepEqual((await complete(sql, "node_1", [done(lease, 1)])).batchIds, []);
    assert.deepEqual((await complete(sql, "node_2", [done(lease, 0)])).batchIds, []);
    await loseLeases(sql, NOW, [lease], LOST);
    assert.deepEqual((await complete(sql, "node_1", [done(lease, 0)])).batchIds, []);
    assert.deepEqual(await places(sql), ["ready 2", "ready 1"]);
  });

  it("keeps values that jsonb would refuse or change", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([1]);
    const { lease } = (await take(1))[0]!;
    await complete(sql, "node_1", [done(lease, 0, { value: { b: "\u0000", a: 1 } })]);
    const [row] = await sql`select value::text from result`;
    assert.equal(row!.value, String.raw`{"b":"\u0000","a":1}`);
  });
});

describe("retry()", () => {
  const failed = (lease: number, index: number, delayMs = 0) => ({
    lease,
    index,
    failure: { kind: "user_error", message: "no", retryable: true } as const,
    startedAt: 1,
    endedAt: 2,
    cpuUs: 0,
    delayMs,
  });

  it("queues the next attempt once, after its delay", async () => {
    const { sql, db, take, put, functionId } = await setup();
    await using _ = db;
    await put([1, 2]);
    const { lease } = (await take(2))[0]!;
    assert.deepEqual((await retry(sql, NOW, "node_1", [failed(lease, 1, 1000)])).functionIds, [functionId]);
    assert.deepEqual((await retry(sql, NOW, "node_1", [failed(lease, 1, 1000)])).functionIds, []);
    assert.deepEqual(await places(sql), ["lease 1", "ready 2"]);
    assert.deepEqual(await take(5), []);
    assert.deepEqual(await wakeDue(sql, LATER), [functionId]);
    assert.deepEqual((await take(5)).map((r) => [r.lo, r.attempt]), [[1, 2]]);
  });

  it("ends a call that is to be cancelled instead", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    const batch = await put([1]);
    const { lease } = (await take(1))[0]!;
    assert.deepEqual(await cancelCall(sql, NOW, { batch, index: 0 }), { nodeId: "node_1" });
    assert.deepEqual((await retry(sql, NOW, "node_1", [failed(lease, 0)])).batchIds, [batch]);
    assert.deepEqual(await places(sql), ["result 2"]);
  });
});

describe("giveBack()", () => {
  it("queues unstarted calls again on the same attempt, once", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([0, 1, 2, 3, 4]);
    const { lease } = (await take(5))[0]!;
    const back = [1, 2, 4].map((index) => ({ lease, index }));
    await giveBack(sql, NOW, "node_1", back);
    await take(1, "ctr_2");
    await giveBack(sql, NOW, "node_1", back);
    assert.deepEqual(await places(sql), ["lease 1", "lease 1", "ready 1", "lease 1", "ready 1"]);
  });
});

describe("loseLeases()", () => {
  it("queues what was not reported as the next attempt", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([0, 1, 2]);
    const { lease } = (await take(3))[0]!;
    await complete(sql, "node_1", [done(lease, 1)]);
    await loseLeases(sql, NOW, [lease], LOST);
    await loseLeases(sql, NOW, [lease], LOST);
    assert.deepEqual(await places(sql), ["ready 2", "result 0", "ready 2"]);
  });

  it("fails a call that was lost too often", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([0]);
    for (let ranges = await take(1); ranges.length > 0; ranges = await take(1)) {
      await loseLeases(sql, NOW, [ranges[0]!.lease], LOST);
    }
    assert.deepEqual(await places(sql), ["result 1"]);
    assert.equal((await sql`select from attempt`).length, 10);
  });

  it("finds leases that nobody holds", async () => {
    const { sql, db, take, put } = await setup();
    await using _ = db;
    await put([0]);
    const { lease } = (await take(1))[0]!;
    assert.deepEqual(await openLeasesNotHeld(sql, "node_1", [], LATER), [lease]);
    assert.deepEqual(await openLeasesNotHeld(sql, "node_1", [lease], LATER), []);
    assert.deepEqual(await openLeasesNotHeld(sql, "node_1", [], NOW), []);
  });
});

describe("cancelCall()", () => {
  it("cuts a waiting call out of its range and tells an ended one apart", async () => {
    const { sql, db, put } = await setup();
    await using _ = db;
    const batch = await put([0, 1, 2]);
    for (const index of [1, 0]) assert.equal(await cancelCall(sql, NOW, { batch, index }), "ended");
    assert.equal(await cancelCall(sql, NOW, { batch, index: 1 }), null);
    assert.deepEqual(await places(sql), ["result 2", "result 2", "ready 1"]);
  });

  it("cancels a call that is lost meanwhile instead of queueing it", async () => {
    const { sql, db, put, take } = await setup();
    await using _ = db;
    const batch = await put([0]);
    const { lease } = (await take(1))[0]!;
    await cancelCall(sql, NOW, { batch, index: 0 });
    await loseLeases(sql, NOW, [lease], LOST);
    assert.deepEqual(await places(sql), ["result 2"]);
    assert.equal((await sql`select from cancellation`).length, 0);
  });
});

describe("cancelAll()", () => {
  it("ends what waits and asks for what runs", async () => {
    const { sql, db, put, take } = await setup();
    await using _ = db;
    const batchId = await put([0, 1, 2, 3]);
    await take(2);
    const { calls, nodeIds } = await cancelAll(sql, NOW, { batchId }, null);
    assert.equal(calls, 4);
    assert.deepEqual(nodeIds, ["node_1"]);
    assert.deepEqual(await places(sql), ["lease 1", "lease 1", "result 2", "result 2"]);
  });
});

describe("expireDue() and failQueued()", () => {
  it("end what has waited too long, or can't be started", async () => {
    const { sql, db, put, functionId } = await setup();
    await using _ = db;
    const expiring = await put([0, 1], { expiresAt: LATER });
    const other = await put([2]);
    assert.deepEqual(await expireDue(sql, NOW), []);
    assert.deepEqual(await expireDue(sql, LATER), [expiring]);
    assert.deepEqual(await failQueued(sql, NOW, functionId, LOST), [other]);
    assert.deepEqual(await places(sql), ["result 3", "result 3", "result 1"]);
  });
});

describe("the calls store", () => {
  it("keeps every call in exactly one place under concurrent claims, reports, losses, cancels", async () => {
    const { sql, db, put, take } = await setup();
    await using _ = db;
    let state = 12345;
    const random = (n: number) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
    const batches: number[] = [];
    for (let i = 0; i < 6; i++) batches.push(await put(Array.from({ length: 30 }, (_, k) => k)));
    const act = async () => {
      const batch = batches[random(batches.length)]!;
      const kind = random(5);
      if (kind === 4) return void await sql.begin((tx) => cancelCall(tx, NOW, { batch, index: random(30) }));
      const ranges = await take(1 + random(20), `ctr_${random(3)}`);
      for (const { lease, lo, inputs } of ranges) {
        const indexes = (JSON.parse(`[${inputs}]`) as unknown[]).map((_, k) => lo + k);
        const part = indexes.filter(() => random(2) === 0);
        if (kind === 0) await giveBack(sql, NOW, "node_1", part.map((index) => ({ lease, index })));
        else await complete(sql, "node_1", part.map((index) => done(lease, index)));
        await loseLeases(sql, NOW, [lease], LOST);
      }
    };
    for (let round = 0; round < 30; round++) {
      await Promise.all([act(), act(), act(), act()]);
      for (const place of await places(sql)) assert.match(place, /^(result \d|ready \d+|lease \d+)$/);
    }
  });
});
