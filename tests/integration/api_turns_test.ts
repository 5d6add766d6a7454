/** Turns of calls as runners see them: concurrency keys over exchanges, and what becomes of calls that gave way. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Attempt, Call, Failure, PageOf, SyncReply } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner, THREW } from "../setup/api_runner.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const PREEMPTED: Failure = { kind: "preempted", message: "It gave way", retryable: true };

async function setup({ clock, retries = { max: 0 } }: { clock?: ManualClock; retries?: object } = {}) {
  const api = await TestApi.start(clock === undefined ? {} : { clock });
  await api.deploy("demo", [{ name: "work", preemptible: true, retries } as never]);
  const runner = await ApiRunner.join(api);
  const container = await runner.container("demo", "work");
  const create = async (inputs: unknown[], more = {}) =>
    (await api.call("demo/work", { inputs, ...more })).body.calls.map(({ id }) => id);
  const read = async (id: string) => (await api.ask<Call>(`/v1/calls/${id}`)).body;
  return { api, runner, container, create, read };
}

describe("an exchange for calls with concurrency keys", () => {
  it("is given the next of a key as soon as another node has ended the one before", async () => {
    const { api, runner, container, create } = await setup({ clock: new ManualClock() });
    await using _ = api;
    await create([1, 2], { concurrencyKey: "a" });
    const [first] = await runner.take(container);
    assert.deepEqual(first!.inputs, [1]);
    assert.deepEqual(await runner.take(container), []);

    // Time stands still: only a wake can end the other's wait.
    const other = await ApiRunner.join(api, "two");
    const parked = other.exchange({
      free: [{ container: await other.container("demo", "work"), calls: 5 }],
      waitMs: 30_000,
    });
    await runner.report(first!, () => null);
    const { claims: [second] } = await parked;
    assert.deepEqual(second!.inputs, [2]);
  });

  it("gives each container its calls with and without keys, none twice", async () => {
    const { api, runner, container, create } = await setup();
    await using _ = api;
    await create([1, 2, 3], { concurrencyKey: "a" });
    await create([4, 5]);
    const second = await runner.container("demo", "work");
    const { claims } = await runner.exchange({
      free: [{ container, calls: 2 }, { container: second, calls: 2 }],
    });
    assert.deepEqual(claims.flatMap(({ inputs }) => inputs).toSorted(), [1, 4, 5]);
  });
});

describe("a concurrency key", () => {
  it("has 1 to 128 characters, which a database can hold", async () => {
    const { api } = await setup();
    await using _ = api;
    for (const key of ["", "k".repeat(129), "\u0000", 7]) {
      const { status, body } = await api.call("demo/work", { input: 1, concurrencyKey: key });
      assert.deepEqual([status, body.error.code], [400, "invalid_request"], JSON.stringify(key));
    }
    assert.equal((await api.call("demo/work", { input: 1, concurrencyKey: "k".repeat(128) })).status, 202);
  });
});

describe("a call that gave way", () => {
  it("waits again at once, however often, with its attempts on record as preempted", async () => {
    const { api, runner, container, create, read } = await setup();
    await using _ = api;
    const [id] = await create([1]);
    for (let attempt = 1; attempt <= 12; attempt++) {
      const [claim] = await runner.take(container);
      assert.equal(claim!.attempt, attempt);
      await runner.report(claim!, () => ({ failure: PREEMPTED }));
    }
    assert.deepEqual([(await read(id!)).state, (await read(id!)).attempt], ["queued", 12]);
    const { body } = await api.ask<PageOf<Attempt>>(`/v1/calls/${id}/attempts`);
    assert.deepEqual(new Set(body.items.map(({ failure }) => failure?.kind)), new Set(["preempted"]));
  });

  it("has as many tries left for faults of its own as before", async () => {
    const { api, runner, container, create, read } = await setup({ retries: { max: 1, backoff: "0s" } });
    await using _ = api;
    const [id] = await create([1]);
    for (const failure of [PREEMPTED, THREW, PREEMPTED]) {
      const [claim] = await runner.take(container);
      await runner.report(claim!, () => ({ failure }));
      assert.equal((await read(id!)).state, "queued", failure.kind);
    }
    const [last] = await runner.take(container);
    await runner.report(last!, () => ({ failure: THREW }));
    assert.deepEqual([(await read(id!)).state, (await read(id!)).failure!.kind], ["failed", "user_error"]);
  });
});

describe("a sync of a node with a container that gives way", () => {
  it("says until when", async () => {
    const { api, runner, container } = await setup();
    await using _ = api;
    const at = Date.now() + 5_000;
    await api.deps.sql`
      update container set desired = 'drain', preempt_at = ${new Date(at)} where id = ${container}`;
    const body = { session: runner.session, containers: [], leases: [], revision: 0 };
    const response = await runner.fetch("/sync", { method: "POST", body });
    const { containers: [assignment] } = await response.json() as SyncReply;
    assert.deepEqual([assignment!.desired, assignment!.preemptAt], ["drain", at]);
  });
});
