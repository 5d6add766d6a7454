import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { listAttempts } from "../../scheduler/store/attempts.ts";
import { announceBlob } from "../../scheduler/store/blobs.ts";
import { insertCheckpoint, latestCheckpoint } from "../../scheduler/store/checkpoints.ts";
import { containersExited } from "../../scheduler/store/containers.ts";
import { FOLLOWERS_GRACE_MS, partsOfExchanges } from "../../scheduler/store/gangs.ts";
import { openLeasesNotHeld } from "../../scheduler/store/calls.ts";
import { rolesOf, wanted } from "../../scheduler/store/nodes.ts";
import { isPart, loseGiven } from "../../scheduler/store/parts.ts";
import { type End, failure, gangWorld } from "../setup/gang_world.ts";

const RETRIED = {
  max: 1,
  backoff: "1s",
  factor: 2,
  maxBackoff: "60s",
  on: ["user_error" as const],
};

describe("claimTogether()", () => {
  it("gives every rank a part of the same call, under an id of its own", async () => {
    await using world = await gangWorld();
    await world.call(["go"]);
    assert.deepEqual(await world.claim(), ["node_0", "node_1", "node_2"]);
    const parts = await Promise.all(world.ranks.map((rank) => world.take(rank)));
    for (const [rank, part] of parts.entries()) {
      const { lease, ...rest } = part!;
      assert.ok(isPart(lease));
      const call = { batch: 1, lo: 0, size: 1, attempt: 1, method: "work", inputs: '"go"' };
      assert.deepEqual(rest, { ...call, containerId: `ctr_${rank}`, address: "127.0.0.1", port: 29_500 });
    }
    assert.equal(new Set(parts.map((part) => part!.lease)).size, 3);
    assert.equal(await world.take(1), undefined);
    assert.deepEqual(await world.audit(), []);
  });

  it("names the node of rank 0 when the ranks are on several machines", async () => {
    await using world = await gangWorld();
    await world.sql`update node set host = id, address = id || '.example'`;
    await world.call([1]);
    for (const part of await world.begin()) assert.equal(part.address, "node_0.example");
  });

  it("waits until every rank is ready and is to stay", async () => {
    await using world = await gangWorld();
    await world.call([1]);
    await world.sql`update container set observed = 'starting' where rank = 2`;
    assert.deepEqual(await world.claim(), []);
    await world.sql`update container set observed = 'ready', desired = 'drain' where rank = 2`;
    assert.deepEqual(await world.claim(), []);
    await world.sql`update container set desired = 'run' where rank = 2`;
    assert.equal((await world.claim()).length, 3);
  });

  it("takes one call at a time, the next when no rank has anything left of it", async () => {
    await using world = await gangWorld();
    await world.call([1, 2]);
    const parts = await world.begin();
    await world.report(0, parts[0]!, { value: "done" });
    await world.report(1, parts[1]!, { value: null });
    assert.deepEqual(await world.claim(), []);
    const { functionIds } = await world.report(2, parts[2]!, { value: null });
    assert.deepEqual(functionIds, [world.functionId]);
    assert.equal((await world.claim()).length, 3);
  });

  it("gives one call to the gang when two claim for it at the same time", async () => {
    await using world = await gangWorld();
    await world.call([1, 2, 3]);
    const claims = await Promise.all(Array.from({ length: 4 }, () => world.claim()));
    assert.deepEqual(claims.map((nodes) => nodes.length).toSorted(), [0, 0, 0, 3]);
  });

  it("claims calls with a concurrency key in their turn", async () => {
    await using world = await gangWorld();
    await world.call([1], { concurrencyKey: "a" });
    const [leader] = await world.begin();
    assert.equal(leader!.inputs, "1");
  });
});

describe("endParts()", () => {
  it("ends the call with rank 0's result, and the others in their own time", async () => {
    await using world = await gangWorld();
    await world.call([1]);
    const parts = await world.begin();
    await world.report(1, parts[1]!, { value: "of rank 1" });
    assert.deepEqual(await world.places(), ["lease 1"]);
    const { batchIds } = await world.report(0, parts[0]!, { value: "of rank 0" });
    assert.deepEqual(batchIds, [1]);
    assert.deepEqual([...await world.sql`select value from result`], [{ value: "of rank 0" }]);
    assert.deepEqual(await world.told(), []);
    await world.clock.advance(FOLLOWERS_GRACE_MS);
    assert.deepEqual(await world.told(), [2]);
    await world.report(2, parts[2]!, "cancelled");
    assert.deepEqual(await world.told(), []);
    assert.deepEqual(await world.places(), ["result 0"]);
    assert.deepEqual(await world.audit(), []);
  });

  it("fails the attempt for the cause, not for what came of it, once every rank has ended", async () => {
    await using world = await gangWorld();
    await world.call([1]);
    const parts = await world.begin();
    const { nodeIds } = await world.report(0, parts[0]!, { failure: failure("user_error", "reset by peer") });
    assert.deepEqual([nodeIds, await world.told()], [["node_1", "node_2"], [1, 2]]);
    await world.report(2, parts[2]!, "cancelled");
    assert.deepEqual(await world.places(), ["lease 1"]);
    await world.report(1, parts[1]!, { failure: failure("node_lost", "killed by SIGKILL") });
    assert.deepEqual(await world.places(), ["ready 2"]);
    const [attempt] = await listAttempts(world.sql, { batch: 1, index: 0 }, { limit: 9 });
    assert.deepEqual([attempt!.state, attempt!.failure?.message], ["failed", "Rank 1: killed by SIGKILL"]);
    assert.deepEqual(await world.audit(), []);
  });

  it("retries as the function says, then fails with the rank's failure", async () => {
    await using world = await gangWorld({ size: 2, spec: { retries: RETRIED } });
    await world.call([1]);
    for (const attempt of [1, 2]) {
      const parts = await world.begin();
      assert.deepEqual(parts.map((part) => part.attempt), [attempt, attempt]);
      await world.report(1, parts[1]!, { failure: failure("user_error") });
      await world.report(0, parts[0]!, "cancelled");
      await world.sql`update ready set due_at = null`;
    }
    assert.deepEqual(await world.places(), ["result 1 user_error: Rank 1: boom"]);
  });

  it("believes rank 0's success although another rank has failed", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const parts = await world.begin();
    await world.report(1, parts[1]!, { failure: failure("user_error", "reset by peer") });
    await world.report(0, parts[0]!, { value: 7 });
    assert.deepEqual(await world.places(), ["result 0"]);
  });

  it("refuses what a rank says of an earlier attempt, or of another node's part", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const early = await world.begin();
    await world.lose(1);
    await world.report(0, early[0]!, "cancelled");
    await world.start(1, "ctr_1b");
    const late = await world.begin();
    assert.deepEqual(late.map(({ attempt, containerId }) => [attempt, containerId]), [[2, "ctr_0"], [
      2,
      "ctr_1b",
    ]]);
    await world.report(1, early[1]!, { failure: failure("user_error") });
    await world.report(0, early[0]!, { value: "stale" });
    await world.report(1, late[0]!, { value: "not mine" });
    assert.deepEqual(await world.places(), ["lease 2"]);
    await world.report(0, late[0]!, { value: 1 });
    assert.deepEqual(await world.places(), ["result 0"]);
  });

  it("puts a call that a rank never started back, on the same attempt", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const parts = await world.begin();
    await world.report(1, parts[1]!, "unstarted");
    assert.deepEqual(await world.told(), [0]);
    await world.report(0, parts[0]!, "cancelled");
    assert.deepEqual(await world.places(), ["ready 1"]);
    assert.equal((await world.begin())[0]!.attempt, 1);
    assert.deepEqual(await world.audit(), []);
  });

  it("lets nobody begin what another rank has failed", async () => {
    await using world = await gangWorld({ size: 3 });
    await world.call([1]);
    await world.claim();
    const leader = await world.take(0);
    await world.report(0, leader!, { failure: failure("node_lost") });
    assert.deepEqual([await world.take(1), await world.take(2)], [undefined, undefined]);
    assert.deepEqual(await world.places(), ["ready 2"]);
  });
});

describe("a gang's lost rank", () => {
  it("fails the attempt as lost; the others keep their containers and run the next one", async () => {
    await using world = await gangWorld();
    await world.call([1]);
    const parts = await world.begin();
    await world.lose(2);
    assert.deepEqual(await world.told(), [0, 1]);
    await world.report(0, parts[0]!, { failure: failure("user_error", "reset by peer") });
    await world.report(1, parts[1]!, "cancelled");
    assert.deepEqual(await world.places(), ["ready 2"]);
    assert.deepEqual(await world.claim(), []);
    await world.start(2, "ctr_2b");
    const again = await world.begin();
    assert.deepEqual(again.map((part) => part.containerId), ["ctr_0", "ctr_1", "ctr_2b"]);
    await world.report(0, again[0]!, { value: 1 });
    assert.deepEqual(await world.places(), ["result 0"]);
    assert.deepEqual(await world.audit(), []);
  });

  it("may be rank 0", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const parts = await world.begin();
    await world.lose(0);
    assert.deepEqual(await world.told(), [1]);
    await world.report(1, parts[1]!, "cancelled");
    assert.deepEqual(await world.places(), ["ready 2"]);
  });

  it("is waited for when its runner has yet to report how its call ended", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const parts = await world.begin();
    const exits = [{ id: "ctr_1", exit: { kind: "user_error" as const, message: "exit code 3" } }];
    const heldLeases = [parts[1]!.lease];
    await world.sql.begin((tx) => containersExited(tx, world.now(), { nodeId: "node_1", exits, heldLeases }));
    await world.report(0, parts[0]!, "cancelled");
    assert.deepEqual(await world.places(), ["lease 1"]);
    await world.report(1, parts[1]!, { failure: failure("user_error", "exit code 3") });
    assert.deepEqual(await world.places(), ["result 1 user_error: Rank 1: exit code 3"]);
  });
});

describe("cancelling a call of a gang", () => {
  it("tells every rank, and ends as cancelled", async () => {
    await using world = await gangWorld();
    const batch = await world.call([1]);
    const parts = await world.begin();
    await world.cancel(batch);
    assert.deepEqual(await world.told(), [0, 1, 2]);
    for (const rank of [1, 0]) await world.report(rank, parts[rank]!, "cancelled");
    await world.report(2, parts[2]!, { failure: failure("user_error") });
    assert.deepEqual(await world.places(), ["result 2"]);
    assert.deepEqual([...await world.sql`select from cancellation`], []);
  });

  it("holds for a call whose rank is lost meanwhile", async () => {
    await using world = await gangWorld({ size: 2 });
    const batch = await world.call([1]);
    const parts = await world.begin();
    await world.cancel(batch);
    await world.lose(0);
    await world.report(1, parts[1]!, "cancelled");
    assert.deepEqual(await world.places(), ["result 2"]);
  });
});

describe("parts on their way", () => {
  it("are sent again when their reply was lost", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    await world.claim();
    const part = await world.take(1, 77);
    assert.deepEqual([...await partsOfExchanges(world.sql, "node_1", [77])], [part]);
    assert.deepEqual([...await partsOfExchanges(world.sql, "node_0", [77])], []);
  });

  it("are lost when nobody holds them long after; leases of gangs are not", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const parts = await world.begin();
    await world.clock.advance(31_000);
    const before = new Date(world.clock.now() - 30_000);
    assert.deepEqual(await openLeasesNotHeld(world.sql, "node_0", [parts[0]!.lease], before), []);
    const strays = await openLeasesNotHeld(world.sql, "node_1", [], before);
    assert.deepEqual(strays, [parts[1]!.lease]);
    await world.sql.begin((tx) =>
      loseGiven(tx, world.now(), strays, failure("node_lost", "lost on the way"))
    );
    await world.report(0, parts[0]!, "cancelled");
    assert.deepEqual(await world.places(), ["ready 2"]);
  });
});

describe("checkpoints of a gang", () => {
  it("are the call's, whichever rank saves or loads, until the attempt is over", async () => {
    await using world = await gangWorld({ size: 2 });
    await world.call([1]);
    const parts = await world.begin();
    const of = (rank: number) => ({ node: `node_${rank}`, lease: parts[rank]!.lease, index: 0, name: null });
    await announceBlob(world.sql, { key: "b1", dueAt: world.now() });
    const saved = await insertCheckpoint(world.sql, world.now(), { ...of(1), blob: "b1", size: 3 });
    assert.deepEqual(await latestCheckpoint(world.sql, of(0)), { blob: "b1", size: 3 });
    assert.equal(saved!.batch, 1);
    await world.report(1, parts[1]!, { failure: failure("node_lost") });
    assert.equal(await latestCheckpoint(world.sql, of(1)), null);
    assert.deepEqual(await latestCheckpoint(world.sql, of(0)), { blob: "b1", size: 3 });
    await world.report(0, parts[0]!, "cancelled");
    assert.equal(await latestCheckpoint(world.sql, of(0)), null);
  });
});

describe("wanted() and rolesOf()", () => {
  it("tell the place of a container in its gang", async () => {
    await using world = await gangWorld();
    const { containers } = await wanted(world.sql, "node_2");
    assert.deepEqual(containers.map(({ gang }) => gang), [{ id: "gang_1", rank: 2, size: 3 }]);
    const roles = await rolesOf(world.sql, "node_2", ["ctr_2", "ctr_1"]);
    assert.deepEqual([...roles], [["ctr_2", { functionId: world.functionId, rank: 2 }]]);
  });
});

describe("the store of gangs", () => {
  it("ends every call once, whatever ranks report, lose or are told, in any order", async () => {
    await using world = await gangWorld({ spec: { retries: { ...RETRIED, max: 2 } } });
    let state = 4711;
    const random = (n: number) => (state = (state * 1103515245 + 12345) % 2147483648) % n;
    const batch = await world.call([0, 1, 2, 3, 4, 5]);
    const held = new Map<number, { lease: number }>();
    const ends: End[] = [
      { value: 1 },
      { value: 2 },
      { failure: failure("user_error") },
      { failure: failure("node_lost") },
      "cancelled",
      "unstarted",
    ];
    const act = async (rank: number) => {
      const kind = random(10);
      if (kind === 0) {
        await world.lose(rank);
        held.delete(rank);
        await world.start(rank, `ctr_${rank}_${random(1e9)}`);
      } else if (kind === 1) await world.cancel(batch, random(6));
      else if (kind < 4) await world.claim();
      else if (kind < 7 && !held.has(rank)) {
        const part = await world.take(rank);
        if (part !== undefined) held.set(rank, part);
      } else if (held.has(rank)) {
        const told = (await world.told()).includes(rank);
        await world.report(rank, held.get(rank)!, told ? "cancelled" : ends[random(ends.length)]!);
        if (random(3) > 0) held.delete(rank); // else it is repeated
      }
      if (random(8) === 0) await world.sql`update ready set due_at = null`;
    };
    for (let round = 0; round < 150; round++) {
      await Promise.all(world.ranks.map(act));
      assert.deepEqual(await world.audit(), []);
    }
    for (let round = 0; round < 60; round++) {
      await world.sql`update ready set due_at = null`;
      await world.claim();
      for (const rank of world.ranks) {
        const part = await world.take(rank) ?? held.get(rank);
        held.delete(rank);
        if (part !== undefined) await world.report(rank, part, { value: null });
      }
    }
    for (const place of await world.places()) assert.match(place, /^result /);
    assert.deepEqual([...await world.sql`select from part where ended_at is null`], []);
  });
});
