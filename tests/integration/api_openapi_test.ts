import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { routes } from "../../sdk/protocol.ts";
import { TestApi } from "../setup/api.ts";

interface Document {
  paths: Record<
    string,
    Record<string, {
      operationId: string;
      parameters?: { name: string; in: string; required: boolean }[];
      requestBody?: { content: { "application/json": { schema: Record<string, unknown> } } };
      responses: Record<string, unknown>;
    }>
  >;
}

describe("/openapi.json", () => {
  it("describes every route of the table, without a key", async () => {
    await using api = await TestApi.start();
    const { status, body } = await api.ask<Document>("/openapi.json", { key: null });
    assert.equal(status, 200);
    for (const [name, route] of Object.entries(routes)) {
      const operation = body.paths[route.path.replace(/:(\w+)/g, "{$1}")]?.[route.method.toLowerCase()];
      assert.equal(operation?.operationId, name);
      assert.ok(String(route.status) in operation!.responses);
    }
    const create = body.paths["/v1/apps/{app}/functions/{function}/calls"]!.post!;
    assert.deepEqual(create.parameters!.map((parameter) => [parameter.name, parameter.in]), [
      ["app", "path"],
      ["function", "path"],
    ]);
    const { properties } = create.requestBody!.content["application/json"].schema;
    assert.deepEqual(Object.keys(properties as object), [
      "input",
      "inputs",
      "priority",
      "ttl",
      "delay",
      "tags",
      "concurrencyKey",
    ]);
    const list = body.paths["/v1/calls"]!.get!;
    assert.ok(list.parameters!.every((parameter) => parameter.in === "query" && !parameter.required));
  });

  it("describes what an app's functions take, with a key", async () => {
    await using api = await TestApi.start();
    const inputSchema = { type: "object", properties: { epochs: { type: "number" } } };
    await api.deploy("demo", [{
      name: "train",
      methods: [{ name: "train", kind: "call", inputSchema }] as never,
    }]);
    assert.equal((await api.ask("/openapi.json?app=demo", { key: null })).status, 401);
    const { body } = await api.ask<Document>("/openapi.json?app=demo");
    const { schema } =
      body.paths["/v1/apps/demo/functions/train/calls"]!.post!.requestBody!.content["application/json"];
    assert.deepEqual((schema.properties as Record<string, unknown>).input, inputSchema);
  });
});
