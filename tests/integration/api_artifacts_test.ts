import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { LEEWAY_MS, URL_MS } from "../../api/announce.ts";
import { Sweeper } from "../../api/sweeper.ts";
import {
  type Artifact,
  type ArtifactUpload,
  type ArtifactVersion,
  type EventItem,
  LIMITS,
  type PageOf,
  type PublishedArtifact,
} from "../../sdk/protocol.ts";
import { type Asking, type ErrorAnswer, sha256, TestApi } from "../setup/api.ts";
import { ApiRunner, THREW } from "../setup/api_runner.ts";

async function setup() {
  const api = await TestApi.start();
  const put = (name: string, text: string, asking: Asking = {}) => api.publish(name, text, asking);
  const content = async (ref: string, asking: Asking = {}) => {
    const response = await api.follow(`/v1/artifacts/${ref}/content`, asking);
    return response.status < 300 ? await response.text() : response.status;
  };
  const point = (alias: string, body: unknown, asking: Asking = {}) =>
    api.ask<ArtifactVersion & ErrorAnswer>(`/v1/artifacts/model/aliases/${alias}`, { body, ...asking });
  const remove = (path: string) => api.ask(`/v1/artifacts/${path}`, { method: "DELETE" });
  /** How many blobs hold artifacts, once all that may go has gone. */
  const blobs = async () => {
    const later = { ...api.deps.clock, now: () => api.deps.clock.now() + URL_MS + LEEWAY_MS };
    await new Sweeper({ ...api.deps, clock: later, retentionMs: 0 }).round();
    return (await Array.fromAsync(api.deps.blobs.list("artifacts/"))).length;
  };
  return { api, put, content, point, remove, blobs };
}

/** A platform with one call that a runner has taken. */
async function running() {
  const world = await setup();
  const { api } = world;
  await api.deploy("demo", [{ name: "work", retries: { max: 3, backoff: "0s" } as never }]);
  const runner = await ApiRunner.join(api);
  const container = await runner.container("demo", "work");
  const [call] = (await api.call("demo/work", { inputs: [1] })).body.calls;
  const [claim] = await runner.take(container);
  const publish = (lease: number, text: string, { by = runner, index = 0 } = {}) =>
    by.publish({ lease, index, name: "model" }, text);
  return { ...world, runner, container, call: call!, claim: claim!, publish };
}

describe("/v1/artifacts", () => {
  it("takes bytes in as versions, and gives them back by number, alias or as the newest", async () => {
    const { api, put, content, point } = await setup();
    await using _ = api;
    const first = await put("model", "one");
    assert.equal(first.status, 201);
    assert.deepEqual(first.body, { name: "model", version: 1, digest: await sha256("one"), size: 3 });
    assert.equal((await put("model", "two")).body.version, 2);
    await point("production", { version: 1 });
    assert.deepEqual(
      await Promise.all(
        ["model", "model@latest", "model@2", "model@1", "model@production"].map((ref) => content(ref)),
      ),
      ["two", "two", "two", "one", "one"],
    );
    const response = await api.fetch("/v1/artifacts/model@production/content");
    const etag = `"${first.body.digest}"`;
    assert.deepEqual([response.status, response.headers.get("etag")], [307, etag]);
    const range = { range: "bytes=1-" };
    assert.equal(await content("model@production", { headers: range }), "ne");
    const same = await api.fetch("/v1/artifacts/model@1/content", { headers: { "if-none-match": etag } });
    assert.equal(same.status, 304);
  });

  it("makes no second version of the newest one's bytes, and keeps bytes once", async () => {
    const { api, put, blobs } = await setup();
    await using _ = api;
    await put("model", "one");
    const again = await put("model", "one");
    assert.deepEqual([again.status, again.body.version], [200, 1]);
    assert.equal((await put("other", "one")).body.version, 1);
    assert.equal(await blobs(), 1);
  });

  it("puts parts together, and publishes nothing of which a part is missing", async () => {
    const { api, content } = await setup();
    await using _ = api;
    const text = "0123456789".repeat(LIMITS.artifactPartBytes / 10 + 1);
    const [size, digest] = [text.length, await sha256(text)];
    const { body } = await api.ask<ArtifactUpload>("/v1/artifacts/big/uploads", { body: { size, digest } });
    const { upload, partBytes, parts } = body;
    assert.equal(parts.length, 2);
    const etags = await Promise.all(parts.map(async ({ url }, i) => {
      const raw = text.slice(i * partBytes, (i + 1) * partBytes);
      const wrong = await api.fetch(url, { method: "PUT", raw: raw.slice(1), key: null });
      assert.equal(wrong.status, 400);
      const stored = await api.fetch(url, { method: "PUT", raw, key: null });
      return stored.headers.get("etag")!;
    }));
    const publish = (etags: readonly string[]) =>
      api.ask<PublishedArtifact & ErrorAnswer>("/v1/artifacts/big/versions", {
        body: { size, digest, upload, etags },
      });
    for (const wrong of [[], etags.slice(1), etags.toReversed(), [etags[0]!, "x"]]) {
      assert.equal((await publish(wrong)).status, 409);
    }
    assert.deepEqual([(await publish(etags)).status, (await publish(etags)).status], [201, 200]);
    assert.equal(await sha256(await content("big") as string), digest);
  });

  it("lists names with their newest version, and versions with who made them, page by page", async () => {
    const { api, put, point } = await setup();
    await using _ = api;
    for (const text of ["a", "b", "c"]) await put("model", text);
    await put("data", "d");
    await point("production", { version: 2 });
    await point("staging", { version: 2 });
    const names = await api.ask<PageOf<Artifact>>("/v1/artifacts?limit=1");
    assert.equal(names.body.items[0]!.name, "data");
    const rest = await api.ask<PageOf<Artifact>>(`/v1/artifacts?limit=1&cursor=${names.body.nextCursor}`);
    const [model] = rest.body.items;
    assert.deepEqual([model!.versions, model!.newest.version, model!.aliases], [3, 3, {
      production: 2,
      staging: 2,
    }]);
    assert.equal(rest.body.nextCursor, undefined);
    const page = await api.ask<PageOf<ArtifactVersion>>("/v1/artifacts/model/versions?limit=2");
    assert.deepEqual(page.body.items.map(({ version, aliases, madeBy }) => [version, aliases, madeBy]), [
      [3, [], null],
      [2, ["production", "staging"], null],
    ]);
    const last = await api.ask<PageOf<ArtifactVersion>>(
      `/v1/artifacts/model/versions?limit=2&cursor=${page.body.nextCursor}`,
    );
    assert.deepEqual(last.body.items.map(({ version }) => version), [1]);
    const one = await api.ask<ArtifactVersion>("/v1/artifacts/model@staging");
    assert.deepEqual([one.body.version, one.body.size, one.body.aliases], [2, 1, ["production", "staging"]]);
  });

  it("moves an alias, with `from` only from there, and removes it", async () => {
    const { api, put, content, point, remove } = await setup();
    await using _ = api;
    for (const text of ["a", "b"]) await put("model", text);
    assert.equal((await point("production", { version: 1, from: null })).status, 200);
    const refused = await point("production", { version: 2, from: null });
    assert.deepEqual([refused.status, refused.body.error.field], [409, "from"]);
    assert.match(refused.body.error.message, /points at version 1, not nowhere$/);
    assert.deepEqual((await point("production", { version: 2, from: 1 })).body.aliases, ["production"]);
    assert.equal(await content("model@production"), "b");
    assert.equal((await point("production", { version: 9 })).body.error.field, "version");
    assert.deepEqual((await remove("model/aliases/production")).body, {
      name: "model",
      alias: "production",
      version: 2,
    } as never);
    assert.equal((await remove("model/aliases/production")).status, 404);
    assert.equal(await content("model@production"), 404);
  });

  it("deletes a version that no alias points at, and its bytes when no other version has them", async () => {
    const { api, put, content, point, remove, blobs } = await setup();
    await using _ = api;
    await put("model", "one");
    await put("copy", "one");
    await point("production", { version: 1 });
    const refused = await remove("model@1");
    assert.deepEqual([refused.status, refused.body.error.code], [409, "conflict"]);
    assert.match(refused.body.error.message, /"production" points at it/);
    await remove("model/aliases/production");
    assert.equal((await remove("model@1")).status, 200);
    assert.equal(await content("copy"), "one");
    assert.equal((await remove("copy@1")).status, 200);
    assert.equal(await blobs(), 0);
    assert.equal((await remove("copy@1")).status, 404);
    assert.equal((await put("copy", "one")).body.version, 2);
  });

  it("keeps workspaces apart, and asks for the scope that it says", async () => {
    const { api, put, content, point } = await setup();
    await using _ = api;
    await put("model", "one");
    const stranger = await api.keyOf("other");
    assert.equal(await content("model", { key: stranger }), 404);
    assert.deepEqual((await api.ask<PageOf<Artifact>>("/v1/artifacts", { key: stranger })).body.items, []);
    assert.equal((await point("production", { version: 1 }, { key: stranger })).status, 404);
    assert.equal((await put("model", "two", { key: stranger })).body.version, 1);
    const [reader, caller] = [await api.keyOf("default", "read"), await api.keyOf("default", "invoke")];
    assert.equal(await content("model", { key: reader }), "one");
    assert.equal((await put("model", "three", { key: caller })).status, 403);
    assert.equal((await point("production", { version: 1 }, { key: caller })).status, 403);
    assert.equal(await content("model", { key: null }), 401);
  });

  it("refuses what it cannot take, naming the field, and keeps nothing of it", async () => {
    const { api, put, blobs } = await setup();
    await using _ = api;
    await put("model", "one");
    const zeros = "0".repeat(64);
    const cases: readonly [path: string, asking: Asking, answer: string][] = [
      ["/v1/artifacts/1model", {}, "400 ref"],
      ["/v1/artifacts/model@", {}, "400 ref"],
      ["/v1/artifacts/model@1@2", {}, "400 ref"],
      ["/v1/artifacts/model@0", {}, "400 ref"],
      ["/v1/artifacts/model@99999999999", {}, "400 ref"],
      ["/v1/artifacts/model@4294967295/content", {}, "400 ref"],
      ["/v1/artifacts/model@7", {}, "404 ref"],
      ["/v1/artifacts/model@canary/content", {}, "404 ref"],
      ["/v1/artifacts/none/versions", {}, "404 name"],
      ["/v1/artifacts/model/versions?cursor=x", {}, "400 cursor"],
      ["/v1/artifacts?limit=0", {}, "400 limit"],
      ["/v1/artifacts/model", { method: "DELETE" }, "400 ref"],
      ["/v1/artifacts/model@latest", { method: "DELETE" }, "400 ref"],
      ["/v1/artifacts/model/aliases/latest", { body: { version: 1 } }, "400 alias"],
      ["/v1/artifacts/model/aliases/3", { body: { version: 1 } }, "400 alias"],
      ["/v1/artifacts/model/aliases/a", { body: {} }, "400 version"],
      ["/v1/artifacts/model/aliases/a", { body: { version: 1, from: "x" } }, "400 from"],
      ["/v1/artifacts/model/aliases/a", { body: { version: 2 ** 31 } }, "400 version"],
      ["/v1/artifacts/m.x/uploads", { body: { digest: zeros, size: 1 } }, "400 name"],
      ["/v1/artifacts/model/uploads", { body: { digest: "abc", size: 1 } }, "400 digest"],
      ["/v1/artifacts/model/uploads", { body: { digest: zeros, size: -1 } }, "400 size"],
      ["/v1/artifacts/model/uploads", { body: { digest: zeros, size: 2 ** 40 } }, "400 size"],
      ["/v1/artifacts/model/versions", { body: { digest: zeros, size: 1, upload: "x" } }, "400 upload"],
      ["/v1/artifacts/model/versions", { body: { digest: zeros, size: 1, upload: null } }, "412 undefined"],
      [
        "/v1/artifacts/model/versions",
        { body: { digest: zeros, size: 1, upload: "0".repeat(32) } },
        "412 undefined",
      ],
      ["/v1/artifacts/model/uploads", {}, "405 undefined"],
    ];
    for (const [path, asking, answer] of cases) {
      const { status, body } = await api.ask(path, asking);
      assert.equal(`${status} ${body.error.field}`, answer, `${asking.method ?? ""} ${path}`);
      assert.match(body.error.message, /^Cannot .+: .+[^.]$/s);
    }
    assert.equal(await blobs(), 1);
    assert.deepEqual(api.logged, [], "a refusal is no failure of ours");
  });
});

describe("POST /v1/nodes/{node}/artifacts", () => {
  it("makes a version that knows its call, which tells of it", async () => {
    const { api, content, call, claim, publish } = await running();
    await using _ = api;
    const { status, body } = await publish(claim.lease, "weights");
    assert.deepEqual([status, body.version, body.size], [201, 1, 7]);
    assert.equal(await content("model"), "weights");
    const { madeBy } = (await api.ask<ArtifactVersion>("/v1/artifacts/model")).body;
    assert.deepEqual(madeBy, { call: call.id, attempt: 1, app: "demo", function: "work" });
    const events = (await api.ask<PageOf<EventItem>>(`/v1/calls/${call.id}/events`)).body.items;
    const { name, version, digest, size } = events.find(({ kind }) => kind === "artifact")!;
    assert.deepEqual({ name, version, digest, size }, body);
  });

  it("gives the next attempt its own version back when it has the same bytes", async () => {
    const { api, runner, container, call, claim, publish } = await running();
    await using _ = api;
    await publish(claim.lease, "weights");
    await publish(claim.lease, "weights");
    await runner.report(claim, () => ({ failure: THREW }));
    const [second] = await runner.take(container);
    assert.deepEqual((await publish(second!.lease, "weights")).status, 200);
    const page = await api.ask<PageOf<ArtifactVersion>>("/v1/artifacts/model/versions");
    assert.deepEqual(page.body.items.map(({ version, madeBy }) => [version, madeBy!.attempt]), [[1, 1]]);
    const events = (await api.ask<PageOf<EventItem>>(`/v1/calls/${call.id}/events`)).body.items;
    const told = events.filter(({ kind }) => kind === "artifact");
    assert.deepEqual(told.map(({ attempt, version }) => [attempt, version]), [[1, 1], [2, 1]]);
  });

  it("is refused when the lease is over, another node's or another call's, and keeps nothing", async () => {
    const { api, runner, container, claim, publish, put, blobs } = await running();
    await using _ = api;
    const stranger = await ApiRunner.join(api, "two");
    assert.equal((await publish(claim.lease, "x", { by: stranger })).status, 409);
    assert.equal((await publish(claim.lease + 99, "x")).status, 409);
    assert.equal((await publish(claim.lease, "x", { index: 1 })).status, 409);
    await runner.report(claim, () => ({ failure: THREW }));
    const [second] = await runner.take(container);
    assert.equal((await publish(claim.lease, "late")).status, 409, "a later attempt has begun");
    assert.equal((await publish(second!.lease, "new")).status, 201);
    assert.equal(await blobs(), 1);
    assert.equal((await put("model", "newer")).body.version, 2);
    const malformed = await runner.fetch("/artifacts", { method: "POST", body: { lease: 1, index: 0 } });
    assert.equal(malformed.status, 400);
  });

  it("is refused when the attempt is superseded while its bytes are on the way", async () => {
    const { api, runner, claim, blobs } = await running();
    await using _ = api;
    const { lease } = claim;
    const late = await runner.publish({ lease, index: 0, name: "model" }, "late bytes", async () => {
      await runner.report(claim, () => ({ failure: THREW }));
    });
    assert.equal(late.status, 409);
    assert.equal(await blobs(), 0);
    const names = await api.ask<PageOf<Artifact>>("/v1/artifacts");
    assert.deepEqual(names.body.items, []);
  });

  it("is no way for a function to do more than publish: it reads as its container may, and changes nothing", async () => {
    const { api, runner, container, put } = await running();
    await using _ = api;
    await put("model", "one");
    const read = await runner.follow(`/as/${container}/v1/artifacts/model@1/content`);
    assert.equal(await read.text(), "one");
    for (
      const [method, path] of [
        ["DELETE", "model@1"],
        ["POST", "model/uploads"],
        ["POST", "model/versions"],
        ["POST", "model/aliases/a"],
      ] as const
    ) {
      const response = await runner.fetch(`/as/${container}/v1/artifacts/${path}`, { method, raw: "{}" });
      assert.equal(response.status, 403, path);
    }
  });
});
