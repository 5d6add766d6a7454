import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Attempt, Call, CallPage, EventItem } from "../../sdk/protocol.ts";
import type { z } from "zod";
import { TestApi } from "../setup/api.ts";
import { ApiRunner, THREW } from "../setup/api_runner.ts";
import { until } from "../setup/until.ts";

type Page = z.infer<typeof CallPage>;

async function setup(functions: Parameters<TestApi["deploy"]>[1] = ["work"]) {
  const api = await TestApi.start();
  assert.equal((await api.deploy("demo", functions)).status, 201);
  const create = async (body: unknown) =>
    (await api.call("demo/work", body)).body.calls.map((call) => call.id);
  const get = async (id: string) => (await api.ask<Call>(`/v1/calls/${id}`)).body;
  const list = async (query: string) => (await api.ask<Page>(`/v1/calls?${query}`)).body;
  return { api, create, get, list };
}

describe("POST …/calls", () => {
  it("answers 202 with the ids, in the order of the inputs", async () => {
    const { api } = await setup();
    await using _ = api;
    const { status, body } = await api.call("demo/work", { inputs: [1, 2, 3] });
    assert.equal(status, 202);
    assert.deepEqual(body.calls.map((call) => call.state), ["queued", "queued", "queued"]);
    assert.deepEqual(body.calls.map((call) => call.id.split("_")[2]), ["0", "1", "2"]);
  });

  it("gives a runner each input as it came", async () => {
    const { api, create } = await setup();
    await using _ = api;
    const inputs = ["\u0000", "\ud800", null, { b: [1e300, "é\n"], a: {} }];
    await create({ inputs });
    const runner = await ApiRunner.join(api);
    const [claim] = await runner.take(await runner.container("demo", "work"));
    assert.deepEqual(claim!.inputs, inputs);
  });

  it("stores hundreds of creates that come at once, each under its own id", async () => {
    const { api } = await setup();
    await using _ = api;
    const answers = await Promise.all(
      Array.from({ length: 300 }, (_, i) => api.call("demo/work", { input: i })),
    );
    assert.equal(new Set(answers.map((answer) => answer.body.calls[0]!.id)).size, 300);
  });

  it("answers the finished call with Prefer: wait when it ends in time", async () => {
    const { api } = await setup();
    await using _ = api;
    const runner = await ApiRunner.join(api);
    const container = await runner.container("demo", "work");
    const asked = api.ask<Call>("/v1/apps/demo/functions/work/calls", {
      body: { input: 20 },
      headers: { prefer: "wait=30" },
    });
    const claim = await until("the call is there", async () => (await runner.take(container))[0] ?? null);
    await runner.report(claim, (_, input) => Number(input) + 1);
    const { status, body, headers } = await asked;
    assert.equal(status, 200);
    assert.equal(headers.get("preference-applied"), "wait=30");
    assert.equal(body.state, "succeeded");
    assert.equal(body.result, 21);
    assert.deepEqual(body.usage, { wallSeconds: 2, cpuSeconds: 0.0005, gpuSeconds: 1 });
  });

  it("answers 202 with Prefer: wait when it does not end in time", async () => {
    const { api } = await setup();
    await using _ = api;
    const { status, body, headers } = await api.call("demo/work", { input: 1 }, { prefer: "wait=0" });
    assert.equal(status, 202);
    assert.equal(headers.get("preference-applied"), "wait=0");
    assert.equal(body.calls[0]!.state, "queued");
  });

  it("releases who waits when the platform closes", async () => {
    const { api } = await setup();
    await using _ = api;
    const asked = api.call("demo/work", { input: 1 }, { prefer: "wait=60" });
    await until("it is stored", async () => (await api.ask<Page>("/v1/calls")).body.items[0] ?? null);
    api.close();
    assert.equal((await asked).status, 202);
  });
});

describe("Idempotency-Key", () => {
  const KEY = { "idempotency-key": "once" };

  it("makes one batch of a request that comes twice, and answers both the same", async () => {
    const { api } = await setup();
    await using _ = api;
    const first = await api.call("demo/work", { inputs: [1, 2] }, KEY);
    const second = await api.call("demo/work", { inputs: [1, 2] }, KEY);
    assert.deepEqual([second.status, second.body], [first.status, first.body]);
    assert.equal((await api.ask<Page>("/v1/calls")).body.items.length, 2);
  });

  it("makes one batch of requests that come at once", async () => {
    const { api } = await setup();
    await using _ = api;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => api.call("demo/work", { input: 1 }, KEY)),
    );
    assert.equal(new Set(answers.map((answer) => JSON.stringify(answer.body))).size, 1);
    assert.equal((await api.ask<Page>("/v1/calls")).body.items.length, 1);
  });

  it("refuses another body, and another function, under the same key", async () => {
    const { api } = await setup(["work", "other"]);
    await using _ = api;
    await api.call("demo/work", { input: 1 }, KEY);
    for (
      const again of [
        await api.call("demo/work", { input: 2 }, KEY),
        await api.call("demo/other", { input: 1 }, KEY),
      ]
    ) {
      assert.equal(again.status, 409);
      assert.equal(again.body.error.code, "idempotency_mismatch");
      assert.equal(again.body.error.field, "idempotency-key");
    }
  });

  it("is a workspace's own", async () => {
    const { api } = await setup();
    await using _ = api;
    const key = await api.keyOf("other");
    await api.deploy("demo", ["work"], key);
    const first = await api.call("demo/work", { input: 1 }, KEY);
    const other = await api.call("demo/work", { input: 2 }, { ...KEY, authorization: `Bearer ${key}` });
    assert.equal(other.status, 202);
    assert.notEqual(other.body.calls[0]!.id, first.body.calls[0]!.id);
  });

  it("is refused when it is empty or too long", async () => {
    const { api } = await setup();
    await using _ = api;
    const { status, body } = await api.call("demo/work", { input: 1 }, {
      "idempotency-key": "x".repeat(256),
    });
    assert.deepEqual([status, body.error.field], [400, "idempotency-key"]);
  });
});

describe("GET /v1/calls/{id}", () => {
  it("tells what waits why it waits and how many calls go first", async () => {
    const { api, create, get } = await setup();
    await using _ = api;
    await create({ inputs: [1, 2, 3] });
    const [low] = await create({ input: 4, priority: 10 });
    const [high] = await create({ inputs: [5, 6], priority: 90 });
    assert.equal((await get(low!)).waiting!.position, 5);
    assert.equal((await get(high!)).waiting!.position, 0);
    const [functionId] = await api.deps.sql<{ id: number }[]>`select id from function`;
    await api.deps.sql`insert into waiting values (${functionId!.id}, 'needs 2 × H100', now())`;
    assert.equal((await get(low!)).waiting!.reason, "needs 2 × H100");
  });

  it("tells when a delayed call will start", async () => {
    const { api, create, get } = await setup();
    await using _ = api;
    const [id] = await create({ input: 1, delay: "1h" });
    assert.match((await get(id!)).waiting!.reason, /^waits for its delay to pass, at \d{4}-/);
  });

  it("follows a call from queued over a failed attempt to its result", async () => {
    const { api, create, get } = await setup([{ name: "work", retries: { max: 1, backoff: "0s" } as never }]);
    await using _ = api;
    const runner = await ApiRunner.join(api);
    const container = await runner.container("demo", "work");
    const [id] = await create({ input: 1 });
    assert.deepEqual([(await get(id!)).state, (await get(id!)).attempt], ["queued", 0]);

    const [first] = await runner.take(container);
    const running = await get(id!);
    assert.deepEqual([running.state, running.attempt, running.startedAt !== null], ["running", 1, true]);
    await runner.report(first!, () => ({ failure: THREW }));
    const again = await get(id!);
    assert.deepEqual([again.state, again.attempt, again.waiting !== undefined], ["queued", 1, true]);

    const [second] = await runner.take(container);
    await runner.report(second!, () => "done");
    const ended = await get(id!);
    assert.deepEqual([ended.state, ended.attempt, ended.result], ["succeeded", 2, "done"]);
    assert.ok(ended.usage.wallSeconds >= 2);

    const { items } = (await api.ask<{ items: Attempt[] }>(`/v1/calls/${id}/attempts`)).body;
    assert.deepEqual(items.map(({ attempt, state, container }) => [attempt, state, container]), [
      [1, "failed", container],
      [2, "succeeded", container],
    ]);
    assert.deepEqual(items[0]!.failure, THREW);
  });

  it("says whose failure it was when there is no attempt left", async () => {
    const { api, create, get } = await setup();
    await using _ = api;
    const runner = await ApiRunner.join(api);
    const [id] = await create({ input: 1 });
    const [claim] = await runner.take(await runner.container("demo", "work"));
    await runner.report(claim!, () => ({ failure: THREW }));
    const call = await get(id!);
    assert.deepEqual([call.state, call.failure], ["failed", THREW]);
    const events = (await api.ask<{ items: EventItem[] }>(`/v1/calls/${id}/events`)).body.items;
    assert.deepEqual(events.map((event) => event.kind).filter((kind) => kind !== "started"), [
      "queued",
      "failed",
    ]);
  });
});

describe("GET /v1/calls", () => {
  it("lists newest first, page after page, each call once", async () => {
    const { api, create, list } = await setup();
    await using _ = api;
    const ids = [...await create({ inputs: [1, 2, 3] }), ...await create({ inputs: [4, 5] })].reverse();
    const seen: string[] = [];
    for (let query = "limit=2";;) {
      const page = await list(query);
      seen.push(...page.items.map((call) => call.id));
      if (page.nextCursor === undefined) break;
      query = `limit=2&cursor=${page.nextCursor}`;
    }
    assert.deepEqual(seen.sort(), ids.sort());
    assert.equal(seen.length, 5);
  });

  it("finds by app, function, class, state and tag", async () => {
    const classSpec = {
      name: "Digits",
      kind: "class" as const,
      methods: [{ name: "Digits.a", kind: "call" }] as never,
    };
    const { api, create, list } = await setup(["work", classSpec]);
    await using _ = api;
    const runner = await ApiRunner.join(api);
    const [ok, bad] = await create({ inputs: [1, 2], tags: { run: "7", dry: "" } });
    const [claim] = await runner.take(await runner.container("demo", "work"));
    await runner.report(claim!, (index) => index === 0 ? 1 : { failure: THREW });
    const [running, alsoRunning] = await create({ inputs: [3, 4] });
    await runner.take(await runner.container("demo", "work"));
    const [queued] = await create({ input: 5 });
    const method = (await api.call("demo/Digits.a", { input: 1 })).body.calls[0]!.id;

    const ids = async (query: string) => (await list(query)).items.map((call) => call.id);
    assert.deepEqual(await ids("state=succeeded"), [ok]);
    assert.deepEqual(await ids("state=failed"), [bad]);
    assert.deepEqual(await ids("state=running"), [alsoRunning, running]);
    assert.deepEqual(await ids("state=queued"), [method, queued]);
    assert.deepEqual(await ids("state=cancelled"), []);
    assert.deepEqual(await ids("function=Digits"), [method]);
    assert.deepEqual(await ids("function=Digits.a"), [method]);
    assert.deepEqual(await ids("function=Digits.b"), []);
    assert.deepEqual(await ids("app=nothing"), []);
    assert.deepEqual(await ids("app=demo&limit=1"), [method]);
    assert.deepEqual(await ids("tag=run:7"), [bad, ok]);
    assert.deepEqual(await ids("tag=dry"), [bad, ok]);
    assert.deepEqual(await ids("tag=run:8"), []);
  });
});

describe("POST /v1/calls/{id}/cancel", () => {
  it("ends what waits at once", async () => {
    const { api, create } = await setup();
    await using _ = api;
    const [id] = await create({ inputs: [1, 2] });
    const { status, body } = await api.ask<Call>(`/v1/calls/${id}/cancel`, { method: "POST" });
    assert.deepEqual([status, body.state], [200, "cancelled"]);
  });

  it("has the runner told of what runs, and leaves alone what has ended", async () => {
    const { api, create } = await setup();
    await using _ = api;
    const runner = await ApiRunner.join(api);
    const container = await runner.container("demo", "work");
    const [id] = await create({ input: 1 });
    const [claim] = await runner.take(container);
    assert.equal((await api.ask<Call>(`/v1/calls/${id}/cancel`, { method: "POST" })).body.state, "running");
    assert.deepEqual((await runner.exchange({})).cancels, [[claim!.lease, 0]]);
    await runner.report(claim!, () => "too late");
    assert.equal((await api.ask<Call>(`/v1/calls/${id}/cancel`, { method: "POST" })).body.state, "succeeded");
  });
});

describe("POST /v1/batches/{batch}/cancel", () => {
  it("cancels what waits and what runs, and says how many", async () => {
    const { api } = await setup();
    await using _ = api;
    const runner = await ApiRunner.join(api);
    const { batch } = (await api.call("demo/work", { inputs: [1, 2, 3] })).body;
    await runner.take(await runner.container("demo", "work"), 1);
    const { body } = await api.ask<{ cancelled: number }>(`/v1/batches/${batch}/cancel`, { method: "POST" });
    assert.equal(body.cancelled, 3);
    assert.equal((await runner.exchange({})).cancels.length, 1);
  });
});
