import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Call, ResultLine } from "../../sdk/protocol.ts";
import { EventReader, LineReader, parseLines, type ServerEvent } from "../../sdk/lines.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner, THREW } from "../setup/api_runner.ts";
import { until } from "../setup/until.ts";

async function setup() {
  const api = await TestApi.start();
  await api.deploy("demo", ["work"]);
  const runner = await ApiRunner.join(api);
  const container = await runner.container("demo", "work");
  const create = async (inputs: unknown[]) => {
    const { batch, calls } = (await api.call("demo/work", { inputs })).body;
    return { batch, ids: calls.map((call) => call.id) };
  };
  return { api, runner, create, take: (calls?: number) => runner.take(container, calls) };
}

/** Reads a stream piece by piece: what it has said so far is in `items`. */
class Reader<T> {
  readonly items: T[] = [];
  readonly ended: Promise<void>;
  readonly #stop = new AbortController();

  constructor(
    api: TestApi,
    path: string,
    decode: (lines: string) => T[],
    headers: Record<string, string> = {},
  ) {
    this.ended = this.#read(api.fetch(path, { headers }), decode);
  }

  async #read(asked: Promise<Response>, decode: (lines: string) => T[]): Promise<void> {
    const response = await asked;
    assert.equal(response.status, 200);
    const lines = new LineReader();
    const reader = response.body!.getReader();
    const stop = () => reader.cancel();
    if (this.#stop.signal.aborted) await stop();
    this.#stop.signal.addEventListener("abort", stop);
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      const text = lines.push(read.value);
      if (text !== undefined) this.items.push(...decode(text));
    }
  }

  async until(count: number): Promise<T[]> {
    return await until(`${count} items have come`, () => this.items.length >= count ? this.items : null);
  }

  leave(): void {
    this.#stop.abort();
  }
}

const results = (api: TestApi, batch: string, query = "") =>
  new Reader<ResultLine>(
    api,
    `/v1/batches/${batch}/results${query}`,
    (lines) => parseLines<ResultLine>(lines).filter((line) => line.length > 0),
  );

function events(api: TestApi, path: string, headers: Record<string, string> = {}): Reader<ServerEvent> {
  const reader = new EventReader();
  return new Reader(api, path, (lines) => reader.push(lines), { accept: "text/event-stream", ...headers });
}

describe("GET /v1/batches/{batch}/results", () => {
  it("tells results as calls end, each once, and ends when all have", async () => {
    const { api, runner, create, take } = await setup();
    await using _ = api;
    const { batch, ids } = await create([1, 2, 3, 4]);
    const reader = results(api, batch);
    const [first] = await take(1);
    const [rest] = await take();
    await runner.report(rest!, (index) => index === 2 ? { failure: THREW } : `r${index}`);
    assert.deepEqual(await reader.until(3), [
      [1, "succeeded", "r1", null],
      [2, "failed", null, THREW],
      [3, "succeeded", "r3", null],
    ]);
    await runner.report(first!, () => null);
    await reader.ended;
    assert.deepEqual(reader.items.slice(3), [[0, "succeeded", null, null]]);
    assert.equal((await api.ask<Call>(`/v1/calls/${ids[2]}`)).body.state, "failed");
  });

  it("goes on from an index, and tells what ended before it was asked", async () => {
    const { api, runner, create, take } = await setup();
    await using _ = api;
    const { batch } = await create([1, 2, 3]);
    const [claim] = await take();
    await runner.report(claim!, (index) => index);
    const reader = results(api, batch, "?from=2");
    await reader.ended;
    assert.deepEqual(reader.items.map(([index]) => index), [2]);
    const beyond = results(api, batch, "?from=9");
    await beyond.ended;
    assert.deepEqual(beyond.items, []);
  });

  it("tells cancelled calls, too", async () => {
    const { api, create } = await setup();
    await using _ = api;
    const { batch } = await create([1, 2]);
    const reader = results(api, batch);
    await api.ask(`/v1/batches/${batch}/cancel`, { method: "POST" });
    await reader.ended;
    assert.deepEqual(reader.items, [[0, "cancelled", null, null], [1, "cancelled", null, null]]);
  });

  it("passes thousands on, values as they are", async () => {
    const { api, runner, create, take } = await setup();
    await using _ = api;
    const inputs = Array.from({ length: 3_000 }, (_, i) => ({ i, text: "a\nb\u0000" }));
    const { batch } = await create(inputs);
    const [claim] = await take(3_000);
    await runner.report(claim!, (_, input) => input);
    const reader = results(api, batch);
    await reader.ended;
    assert.deepEqual(reader.items, inputs.map((input, index) => [index, "succeeded", input, null]));
  });

  it("lets go of everything when the reader leaves, and ends when the platform closes", async () => {
    const { api, create } = await setup();
    await using _ = api;
    const { batch } = await create([1]);
    const leaver = results(api, batch);
    leaver.leave();
    await leaver.ended;
    const stayer = results(api, batch);
    api.close();
    await stayer.ended;
    assert.deepEqual(stayer.items, []);
  });
});

describe("live logs and events", () => {
  const log = (lease: number, n: number, text: string) => [lease, 0, n, 1_000 + n, "stdout", text];
  const progress = (lease: number, n: number) => [lease, 0, n, 1_000 + n, "progress", { done: n, total: 3 }];

  it("come as they are made, and end with the finished call", async () => {
    const { api, runner, create, take } = await setup();
    await using _ = api;
    const { ids: [id] } = await create([1]);
    const logs = events(api, `/v1/calls/${id}/logs`);
    const story = events(api, `/v1/calls/${id}/events`);
    const [claim] = await take();
    await runner.exchange({ logs: [log(claim!.lease, 0, "one")], events: [progress(claim!.lease, 1)] });
    assert.equal(JSON.parse((await logs.until(1))[0]!.data).text, "one");
    await story.until(2);
    await runner.exchange({ logs: [log(claim!.lease, 0, "one"), log(claim!.lease, 2, "two")] });
    await logs.until(2);
    await runner.report(claim!, () => "done");
    await Promise.all([logs.ended, story.ended]);
    assert.deepEqual(logs.items.map(({ event }) => event), ["message", "message", "end"]);
    assert.equal(JSON.parse(logs.items[2]!.data).result, "done");
    const kinds = story.items.slice(0, -1).map(({ data }) => JSON.parse(data).kind);
    assert.deepEqual(kinds, ["queued", "progress", "succeeded"]);
  });

  it("go on after the Last-Event-ID", async () => {
    const { api, runner, create, take } = await setup();
    await using _ = api;
    const { ids: [id] } = await create([1]);
    const [claim] = await take();
    await runner.exchange({ logs: [0, 1, 2].map((n) => log(claim!.lease, n, `line ${n}`)) });
    await runner.report(claim!, () => "done");
    const all = events(api, `/v1/calls/${id}/logs`);
    await all.ended;
    const rest = events(api, `/v1/calls/${id}/logs`, { "last-event-id": all.items[1]!.id! });
    await rest.ended;
    assert.deepEqual(rest.items.map(({ data }) => JSON.parse(data).text ?? "end"), ["line 2", "end"]);
  });

  it("are pages without the Accept header", async () => {
    const { api, runner, create, take } = await setup();
    await using _ = api;
    const { ids: [id] } = await create([1]);
    const [claim] = await take();
    await runner.exchange({ logs: [0, 1, 2].map((n) => log(claim!.lease, n, `line ${n}`)) });
    const first =
      (await api.ask<{ items: { text: string }[]; nextCursor: string }>(`/v1/calls/${id}/logs?limit=2`)).body;
    const second = (await api.ask<{ items: { text: string }[]; nextCursor?: string }>(
      `/v1/calls/${id}/logs?cursor=${first.nextCursor}`,
    )).body;
    assert.deepEqual([...first.items, ...second.items].map(({ text }) => text), [
      "line 0",
      "line 1",
      "line 2",
    ]);
    assert.equal(second.nextCursor, undefined);
  });

  it("refuse a Last-Event-ID that is not theirs", async () => {
    const { api, create } = await setup();
    await using _ = api;
    const { ids: [id] } = await create([1]);
    const headers = { accept: "text/event-stream", "last-event-id": "yesterday" };
    const { status, body } = await api.ask(`/v1/calls/${id}/logs`, { headers });
    assert.deepEqual([status, body.error.field], [400, "last-event-id"]);
  });
});
