import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Call, type CreatedValue, LIMITS } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";

const NOBODYS = "0".repeat(32);

async function setup() {
  const api = await TestApi.start();
  await api.deploy("demo", ["work"]);
  const create = (size: number, key?: string) =>
    api.ask<CreatedValue>("/v1/values", { body: { size }, ...key && { key } });
  const upload = async (text: string, key?: string) => {
    const { body: { id, url } } = await create(text.length, key);
    assert.equal((await api.fetch(url, { method: "PUT", raw: text, key: null })).status, 201);
    return id;
  };
  const read = async (id: string, key?: string) => {
    const response = await api.fetch(`/v1/values/${id}`, key === undefined ? {} : { key });
    return response.status === 307
      ? await (await api.fetch(response.headers.get("location")!, { key: null })).json()
      : response.status;
  };
  return { api, create, upload, read };
}

describe("values too large to travel", () => {
  it("are uploaded, are an input, and are read by whoever gets that", async () => {
    const { api, upload, read } = await setup();
    await using _ = api;
    const value = "x".repeat(LIMITS.inputBytes);
    const id = await upload(JSON.stringify(value));
    assert.equal(await read(id), value);
    const { body } = await api.call("demo/work", { inputs: [1, { $blob: id }] });
    const runner = await ApiRunner.join(api);
    const container = await runner.container("demo", "work");
    const [claim] = await runner.take(container);
    assert.deepEqual(claim!.inputs, [1, { $blob: id }]);

    const within =
      await (await runner.fetch(`/as/${container}/v1/values`, { method: "POST", body: { size: 2 } })).json();
    assert.equal((await api.fetch(within.url, { method: "PUT", raw: "42", key: null })).status, 201);
    await runner.report(claim!, () => ({ $blob: within.id }));
    const call = await api.ask<Call>(`/v1/calls/${body.calls[1]!.id}`);
    assert.deepEqual(call.body.result, { $blob: within.id });
    assert.equal(await read(within.id), 42);
    assert.equal(await (await runner.follow(`/as/${container}/v1/values/${id}`)).json(), value);
  });

  it("belong to their workspace", async () => {
    const { api, upload, read } = await setup();
    await using _ = api;
    const other = await api.keyOf("other");
    const id = await upload("1");
    assert.equal(await read(id, other), 404);
    const theirs = await upload("2", other);
    const { status, body } = await api.call("demo/work", { input: { $blob: theirs } });
    assert.deepEqual([status, body.error.field], [400, "input"]);
  });

  it("are refused where nothing was uploaded, and the field is named", async () => {
    const { api, create, read } = await setup();
    await using _ = api;
    const { body: { id } } = await create(5);
    for (const reference of [id, NOBODYS]) {
      const { status, body } = await api.call("demo/work", { inputs: [1, { $blob: reference }] });
      assert.deepEqual([status, body.error.field], [400, "inputs.1"]);
      assert.match(body.error.message, /it stands for a value that was not uploaded/);
      assert.equal(await read(reference), 404);
    }
    assert.equal(await read("..%2fbundles"), 404);
    for (const size of [0, LIMITS.valueBytes + 1, 1.5]) {
      assert.equal((await create(size)).status, 400, `${size}`);
    }
    assert.equal(
      (await api.call("demo/work", { input: { $blob: 1 } })).status,
      202,
      "which is a value like any other",
    );
  });

  it("are created by who may call, and read by who may read", async () => {
    const { api, create, read, upload } = await setup();
    await using _ = api;
    const reader = await api.keyOf("default", "read");
    assert.equal((await create(1, reader)).status, 403);
    assert.equal(await read(await upload("1"), reader), 1);
    assert.equal(
      (await api.fetch("/v1/values", { method: "POST", body: { size: 1 }, key: null })).status,
      401,
    );
    assert.equal((await api.fetch(`/v1/values/${NOBODYS}`, { key: null })).status, 401);
  });
});
