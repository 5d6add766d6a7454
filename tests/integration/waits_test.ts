import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { findCalls } from "../../scheduler/store/call_reads.ts";
import { claim, enqueue, type Submission } from "../../scheduler/store/calls.ts";
import { testDatabase } from "../setup/postgres.ts";
import { insertContainers, insertFunction, NOW, submission } from "../setup/world.ts";

const after = (ms: number) => new Date(NOW.getTime() + ms).toISOString();

async function setup({ concurrencyPerKey = 1 } = {}) {
  const db = await testDatabase();
  const { sql } = db;
  const functionId = await insertFunction(sql, { concurrencyPerKey });
  await insertContainers(sql, functionId, ["ctr_1"]);
  return {
    db,
    put: async (size: number, more: Partial<Submission> = {}) =>
      (await enqueue(sql, NOW, [submission(functionId, Array(size).fill(0), more)]))[0]!,
    take: (calls: number) => claim(sql, NOW, { containerId: "ctr_1", nodeId: "node_1", exchange: 1, calls }),
    say: (slots: number | null, callMs: number | null, startsMs: number | null) =>
      sql`insert into waiting (function_id, reason, since, slots, call_ms, starts_ms)
        values (${functionId}, 'busy', ${NOW}, ${slots}, ${callMs}, ${startsMs})`,
    read: async (batch: number, index = 0, now = NOW) =>
      (await findCalls(sql, now, "default", [{ batch, index }]))[0]!,
  };
}

describe("findCalls() of calls that wait", () => {
  it("counts all that go first: higher priority, then earlier, with a key or without", async () => {
    const { db, put, read } = await setup({ concurrencyPerKey: 9 });
    await using _ = db;
    await put(2, { priority: 90 });
    await put(3, { priority: 90, concurrencyKey: "a" });
    await put(4, { priority: 10 });
    await put(5, { concurrencyKey: "b" });
    const plain = await put(6);
    const keyed = await put(7, { concurrencyKey: "c" });
    assert.equal((await read(plain, 2)).waiting!.position, 2 + 3 + 5 + 2);
    assert.equal((await read(keyed, 1)).waiting!.position, 2 + 3 + 5 + 6 + 1);
    assert.equal((await read(keyed)).concurrencyKey, "c");
    assert.equal("concurrencyKey" in await read(plain), false);
  });

  it("tell when they should start, from what the last tick said", async () => {
    const { db, put, read, say } = await setup();
    await using _ = db;
    const batch = await put(10);
    await say(2, 1_000, 4_000);
    assert.deepEqual((await read(batch)).waiting, { reason: "busy", position: 0, eta: after(4_000) });
    assert.equal((await read(batch, 5)).waiting!.eta, after(6_000));
    const later = new Date(NOW.getTime() + 60_000);
    assert.equal((await read(batch, 5, later)).waiting!.eta, after(62_000));
  });

  it("tell nothing that is not known", async () => {
    const { db, put, read, say } = await setup();
    await using _ = db;
    const batch = await put(10);
    assert.deepEqual((await read(batch)).waiting, {
      reason: "waits for a free container",
      position: 0,
      eta: null,
    });
    await say(2, null, null);
    assert.equal((await read(batch)).waiting!.eta, null);
  });

  it("wait for their key when its places are taken, behind those of the same key alone", async () => {
    const { db, put, read, take, say } = await setup();
    await using _ = db;
    await put(1, { concurrencyKey: "user 7" });
    await put(5);
    await take(1);
    await put(3, { concurrencyKey: "user 7", priority: 90 });
    const batch = await put(2, { concurrencyKey: "user 7" });
    const reason = 'waits for another call with its concurrency key "user 7" to end';
    assert.deepEqual((await read(batch, 1)).waiting, { reason, position: 4, eta: null });
    await say(1, 1_000, 0);
    assert.equal((await read(batch, 1)).waiting!.eta, after(5_000));
  });

  it("start with the others while their key has a free place", async () => {
    const { db, put, read, take, say } = await setup({ concurrencyPerKey: 2 });
    await using _ = db;
    await put(1, { concurrencyKey: "a" });
    await take(1);
    const batch = await put(1, { concurrencyKey: "a" });
    await say(1, 1_000, 0);
    assert.deepEqual((await read(batch)).waiting, { reason: "busy", position: 0, eta: after(0) });
  });
});
