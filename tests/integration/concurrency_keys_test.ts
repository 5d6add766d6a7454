import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import {
  cancelCall,
  claim,
  type ClaimedRange,
  complete,
  enqueue,
  giveBack,
  loseLeases,
  retry,
  type Submission,
} from "../../scheduler/store/calls.ts";
import { connect, type Pool } from "../../scheduler/store/connect.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import type { Failure } from "../../sdk/protocol.ts";
import { testDatabase } from "../setup/postgres.ts";

import { dice } from "../setup/snapshots.ts";
import { untilTrue } from "../setup/until.ts";
import { insertContainers, insertFunction, NOW, submission } from "../setup/world.ts";

/** Of a scheduler that has seen no lease. */
const LONG_PAST = { lastLease: null, hearingSince: 0 };
const LOST: Failure = { kind: "node_lost", message: "gone", retryable: true };
const CONTAINERS = ["ctr_0", "ctr_1", "ctr_2", "ctr_3", "ctr_4", "ctr_5"];

async function setup({ concurrencyPerKey = 1 } = {}) {
  const db = await testDatabase();
  const { sql } = db;
  const functionId = await insertFunction(sql, { concurrencyPerKey });
  await insertContainers(sql, functionId, CONTAINERS);
  let exchange = 0;
  const claimFrom = (pool: Pool, calls: number, containerId = "ctr_0") =>
    claim(pool, NOW, { containerId, nodeId: "node_1", exchange: ++exchange, calls });
  const take = async (calls: number) => (await claimFrom(sql, calls)).ranges;
  const put = async (inputs: unknown[], concurrencyKey?: string, more: Partial<Submission> = {}) =>
    (await enqueue(sql, NOW, [submission(functionId, inputs, { concurrencyKey, ...more })]))[0]!;
  return { db, sql, functionId, claimFrom, take, put };
}

const inputsOf = (ranges: readonly ClaimedRange[]): unknown[] =>
  ranges.flatMap(({ inputs }) => JSON.parse(`[${inputs}]`)).sort();

/** Resolves when this many statements wait for locks of others. */
const blocked = (sql: Pool, many: number) =>
  untilTrue(`${many} statements are blocked`, async () => {
    const waiting = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    return waiting.length >= many;
  });

const finish = (sql: Pool, { lease, lo, size }: ClaimedRange) =>
  complete(
    sql,
    "node_1",
    Array.from({ length: size }, (_, i) => ({
      lease,
      index: lo + i,
      state: 0 as const,
      value: null,
      startedAt: 1,
      endedAt: 2,
      cpuUs: 0,
    })),
  );

describe("claim() with concurrency keys", () => {
  it("gives at most concurrencyPerKey calls of a key, of one range or of many", async () => {
    const { db, take, put } = await setup({ concurrencyPerKey: 2 });
    await using _ = db;
    await put([1, 2, 3], "a");
    await put([4], "a");
    await put([5, 6, 7], "b");
    assert.deepEqual(inputsOf(await take(100)), [1, 2, 5, 6]);
    assert.deepEqual(await take(100), []);
  });

  it("passes over a key without a free place, so that the calls behind start", async () => {
    const { db, take, put } = await setup();
    await using _ = db;
    await put([1, 2, 3], "slow");
    await take(1);
    await put([4], "other");
    await put([5]);
    assert.deepEqual(inputsOf(await take(10)), [4, 5]);
  });

  it("keeps to priority, then age, with keys and without", async () => {
    const { db, take, put } = await setup();
    await using _ = db;
    await put(["old"]);
    await put(["keyed"], "a");
    await put(["new"]);
    await put(["urgent"], "b", { priority: 90 });
    const order = [];
    for (let i = 0; i < 4; i++) order.push(...inputsOf(await take(1)));
    assert.deepEqual(order, ["urgent", "old", "keyed", "new"]);
  });

  it("gives the next of a key when one has ended, and says whose turn may have come", async () => {
    const { db, sql, functionId, take, put } = await setup();
    await using _ = db;
    await put([1, 2], "a");
    const [first] = await take(5);
    const { functionIds } = await finish(sql, first!);
    assert.deepEqual(functionIds, [functionId]);
    assert.deepEqual(inputsOf(await take(5)), [2]);
  });

  it("says nothing of functions whose calls have no keys", async () => {
    const { db, sql, take, put } = await setup();
    await using _ = db;
    await put([1]);
    const [first] = await take(5);
    assert.deepEqual((await finish(sql, first!)).functionIds, []);
  });

  it("finds the calls behind thousands of a key that has no place", async () => {
    const { db, sql, functionId, take, put } = await setup();
    await using _ = db;
    await put([0], "slow");
    await take(1);
    const many = Array.from(
      { length: 1_500 },
      (_, i) => submission(functionId, [i], { concurrencyKey: "slow" }),
    );
    await enqueue(sql, NOW, many);
    await put(["behind"], "other");
    await put(["plain"]);
    assert.deepEqual(inputsOf(await take(10)), ["behind", "plain"]);
    assert.deepEqual(await take(10), []);
  });

  it("counts what others claim while it is asked", async () => {
    const { db, sql, put, claimFrom } = await setup();
    await using _ = db;
    const pool = connect(db.url, { max: 4, name: "claimers" });
    await put(["first"], "a");
    // Whoever claims first must wait for this one, whose lease has the same id, in the middle of its statement.
    const obstacle = await pool.reserve();
    await obstacle`begin`;
    await obstacle`
      insert into lease (id, batch_id, lo, hi, function_id, container_id, node_id, attempt, exchange, remaining, leased_at)
      overriding system value values (1, 0, 0, 1, 0, '', '', 1, 0, 0, ${NOW})`;
    const slow = claimFrom(pool, 1, "ctr_0");
    await blocked(sql, 1);
    await put(["urgent"], "a", { priority: 90 });
    const quick = claimFrom(pool, 1, "ctr_1");
    await Promise.race([quick, blocked(sql, 2)]);
    await obstacle`rollback`;
    const given = (await Promise.all([slow, quick])).flatMap(({ ranges }) => ranges);
    assert.deepEqual(inputsOf(given), ["first"]);
    obstacle.release();
    await pool.end();
  });

  it("never has more of a key leased than its places, whoever claims at the same time, and leaves none", async () => {
    const { db, sql, put, claimFrom } = await setup({ concurrencyPerKey: 3 });
    await using _ = db;
    const pools = CONTAINERS.map((name) => connect(db.url, { max: 2, name, pinned: true }));
    const { upTo, pick } = dice(7);
    let waiting = 0;
    const putSome = async () => {
      const size = 1 + upTo(8);
      waiting += size;
      await put(Array(size).fill(0), pick(["a", "b", "c", undefined]), { priority: pick([10, 50, 90]) });
    };
    for (let round = 0; round < 40 || waiting > 0; round++) {
      assert.ok(round < 400, `${waiting} calls were never given`);
      const claims = pools.map((pool, i) => claimFrom(pool, 1 + upTo(4), CONTAINERS[i]));
      const [given] = await Promise.all([Promise.all(claims), round < 40 ? putSome() : null]);
      const over = await sql`
        select concurrency_key from lease where remaining > 0 and concurrency_key is not null
        group by concurrency_key having sum(remaining) > 3`;
      assert.deepEqual([...over], []);
      for (const range of given.flatMap(({ ranges }) => ranges)) {
        waiting -= range.size;
        await finish(sql, range);
      }
    }
    assert.equal((await sql`select from ready`).length, 0);
    await Promise.all(pools.map((pool) => pool.end()));
  });
});

describe("calls that wait again", () => {
  const queued = (sql: Pool) =>
    sql<{ lo: number; priority: number; concurrencyKey: string; preemptedAt: Date | null }[]>`
      select lo, priority, concurrency_key, preempted_at from ready order by lo`;
  const failed = (lease: number, kind: Failure["kind"]) => ({
    lease,
    index: 0,
    failure: { kind, message: "no", retryable: true },
    startedAt: 1,
    endedAt: 2,
    cpuUs: 0,
    delayMs: 0,
  });

  for (
    const [way, act] of [
      ["retry()", (sql: Pool, lease: number) => retry(sql, NOW, "node_1", [failed(lease, "user_error")])],
      ["giveBack()", (sql: Pool, lease: number) => giveBack(sql, NOW, "node_1", [{ lease, index: 0 }])],
      ["loseLeases()", (sql: Pool, lease: number) => loseLeases(sql, NOW, [lease], LOST)],
    ] as const
  ) {
    it(`${way} keeps their key, their priority and when they gave way`, async () => {
      const { db, sql, functionId, take, put } = await setup();
      await using _ = db;
      const before = new Date(NOW.getTime() - 60_000);
      await put([1], "a", { priority: 70 });
      await sql`update ready set preempted_at = ${before}`;
      const [range] = await take(1);
      assert.deepEqual((await act(sql, range!.lease)).functionIds, [functionId]);
      assert.deepEqual([...await queued(sql)], [
        { lo: 0, priority: 70, concurrencyKey: "a", preemptedAt: before },
      ]);
    });
  }

  it("retry() notes when a call gave way, and the snapshot's container has it while the call runs again", async () => {
    const { db, sql, take, put } = await setup();
    await using _ = db;
    await put([1], undefined, { priority: 20 });
    const [range] = await take(1);
    await retry(sql, NOW, "node_1", [failed(range!.lease, "preempted")]);
    assert.deepEqual((await queued(sql)).map((row) => row.preemptedAt), [NOW]);
    await take(1);
    const { containers } = await readSnapshot(sql, NOW, LONG_PAST);
    const { priority, preemptedAt } = containers.find(({ leased }) => leased > 0)!;
    assert.deepEqual([priority, preemptedAt], [20, NOW.getTime()]);
  });

  it("cancelCall() keeps the key of the calls after the one it cuts out", async () => {
    const { db, sql, put } = await setup();
    await using _ = db;
    const batch = await put([1, 2, 3], "a");
    await sql.begin((tx) => cancelCall(tx, NOW, { batch, index: 1 }));
    assert.deepEqual((await queued(sql)).map((row) => row.concurrencyKey), ["a", "a"]);
  });

  it("a call that ends while its lease is lost frees the place of its key", async () => {
    const { db, sql, functionId, take, put } = await setup();
    await using _ = db;
    const batch = await put([1, 2], "a");
    const [range] = await take(1);
    await sql.begin((tx) => cancelCall(tx, NOW, { batch, index: 0 }));
    assert.deepEqual((await loseLeases(sql, NOW, [range!.lease], LOST)).functionIds, [functionId]);
    assert.deepEqual(inputsOf(await take(1)), [2]);
  });
});

describe("readSnapshot()", () => {
  it("tells calls that could start from those that wait for their key", async () => {
    const { db, sql, take, put } = await setup({ concurrencyPerKey: 2 });
    await using _ = db;
    await put([1, 2, 3, 4, 5], "a");
    await put([6], "b");
    await put([7]);
    const demandOf = async () => (await readSnapshot(sql, NOW, LONG_PAST)).functions[0]!.demand;
    assert.deepEqual([(await demandOf()).queued, (await demandOf()).keyed], [4, 3]);
    await take(1);
    assert.deepEqual([(await demandOf()).queued, (await demandOf()).keyed], [3, 3]);
  });
});
