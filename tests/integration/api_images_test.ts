import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { ImageSettings } from "../../api/images.ts";
import { tendBuilds } from "../../scheduler/store/builds.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import type { EnsuredImage, Image, PageOf, SyncReply } from "../../sdk/protocol.ts";
import { manifestOf, sha256, TestApi } from "../setup/api.ts";
import { ApiRunner } from "../setup/api_runner.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const IMAGES: ImageSettings = {
  registry: "registry.example/berth/images",
  bases: { deno: "mirror.example/deno:{version}", python: "mirror.example/python:{version}-slim" },
};
const CHAIN = {
  from: { kind: "python", version: "3.11" },
  steps: [{ do: "pip", packages: ["numpy==2.1.0"] }],
};
const chainOf = (...steps: unknown[]) => ({ ...CHAIN, steps });

const setup = (images = IMAGES, clock?: ManualClock) =>
  TestApi.start({ images, ...clock === undefined ? {} : { clock } });

const ensure = (api: TestApi, body: Record<string, unknown> = { chain: CHAIN }, key = api.key) =>
  api.ask<EnsuredImage & { error: { message: string; field: string; code: string } }>("/v1/images", {
    body,
    key,
  });

const tend = ({ deps: { sql, clock } }: TestApi) => tendBuilds(sql, new Date(clock.now()));

const show = async (api: TestApi, id: string): Promise<Image> =>
  (await api.ask<Image>(`/v1/images/${id}`)).body;

/** A node that says that it has an engine, and these images. */
async function builder(api: TestApi, name = "one", images: string[] = []) {
  const runner = await ApiRunner.join(api, name);
  const sync = async (has: string[] | undefined = images): Promise<SyncReply> => {
    const body = { session: runner.session, containers: [], leases: [], revision: -1, images: has };
    const response = await runner.fetch("/sync", { method: "POST", body });
    assert.equal(response.status, 200, await response.clone().text());
    return await response.json();
  };
  await sync();
  const report = (image: string, body: Record<string, unknown>) =>
    runner.fetch(`/builds/${image}`, { method: "POST", body });
  return { runner, sync, report };
}

const REF = `registry.example/berth/images@sha256:${"a".repeat(64)}`;

describe("/v1/images", () => {
  it("builds what is asked for on a node with an engine, once, and finds it from then on", async () => {
    await using api = await setup();
    const { sync, report, runner } = await builder(api);
    const asked = (await ensure(api)).body.image!;
    assert.equal(asked.state, "queued");
    assert.match(
      asked.containerfile,
      /^FROM mirror\.example\/python:3\.11-slim\nRUN \[.*"pip","install","numpy==2\.1\.0"\]\n$/,
    );
    await tend(api);
    const [wanted] = (await sync()).builds;
    assert.deepEqual([wanted!.image, wanted!.do, wanted!.attempt, wanted!.push], [
      asked.id,
      "build",
      1,
      true,
    ]);
    assert.equal(wanted!.tag, `registry.example/berth/images:${asked.digest}`);
    assert.equal((await show(api, asked.id)).node, runner.node);

    const lines = [[0, 1_000, "system", "Step 1"], [1, 1_001, "stdout", "out\0put"]];
    for (let times = 0; times < 2; times++) await report(asked.id, { attempt: 1, lines });
    assert.equal((await report(asked.id, { attempt: 1, end: { ref: REF, size: 12_000 } })).status, 200);
    const { image } = (await ensure(api)).body;
    assert.deepEqual([image!.state, image!.ref, image!.size, image!.id], ["ready", REF, 12_000, asked.id]);
    assert.deepEqual((await sync()).builds, []);
    const { body: logs } = await api.ask<PageOf<{ text: string }>>(`/v1/images/${asked.digest}/logs?limit=1`);
    assert.deepEqual(logs.items.map(({ text }) => text), ["Step 1"]);
    const { body: rest } = await api.ask<PageOf<{ text: string }>>(
      `/v1/images/${asked.id}/logs?cursor=${logs.nextCursor}`,
    );
    assert.deepEqual(rest.items.map(({ text }) => text), ["out\uFFFDput"]);
  });

  it("joins those who ask for the same at once, and tells workspaces apart", async () => {
    await using api = await setup();
    const { sync } = await builder(api);
    const all = await Promise.all(Array.from({ length: 20 }, () => ensure(api)));
    assert.equal(new Set(all.map(({ body }) => body.image!.id)).size, 1);
    const other = await api.keyOf("other");
    const theirs = (await ensure(api, { chain: CHAIN }, other)).body.image!;
    assert.notEqual(theirs.id, all[0]!.body.image!.id);
    assert.equal((await api.ask(`/v1/images/${theirs.id}`)).status, 404);
    assert.equal((await api.ask<PageOf<Image>>("/v1/images")).body.items.length, 1);
    await Promise.all([tend(api), tend(api), tend(api)]);
    assert.deepEqual((await sync()).builds.map(({ attempt }) => attempt), [1, 1]);
  });

  it("says that it waits for an engine that is away, and goes on when that is back", async () => {
    await using api = await setup();
    const { runner } = await builder(api);
    const { id } = (await ensure(api)).body.image!;
    const sync = (away: string | null) => {
      const engine = { away, only: false };
      const body = { session: runner.session, containers: [], leases: [], revision: -1, images: [], engine };
      return runner.fetch("/sync", { method: "POST", body });
    };
    await sync("/run/x.sock: gone");
    await tend(api);
    const { state, waiting } = await show(api, id);
    assert.equal(state, "queued");
    assert.match(waiting!, /^the container engine of each node that can build is away/);
    await sync(null);
    await tend(api);
    assert.equal((await show(api, id)).state, "building");
  });

  it("begins a build again that its node gives back, three times in a row at most", async () => {
    await using api = await setup();
    const { sync, report } = await builder(api);
    const { id } = (await ensure(api)).body.image!;
    for (let attempt = 1; attempt <= 3; attempt++) {
      assert.equal((await show(api, id)).state, "queued");
      await tend(api);
      assert.deepEqual((await sync()).builds.map((one) => one.attempt), [attempt]);
      await report(id, { attempt, end: { lost: "The engine went away" } });
    }
    const { state, failure } = await show(api, id);
    assert.equal(state, "failed");
    assert.match(failure!, /The container engine that built it went away, 3 times in a row/);
  });

  it("follows a build live to its end", async () => {
    await using api = await setup();
    const { report } = await builder(api);
    const { id } = (await ensure(api)).body.image!;
    await tend(api);
    const stream = await api.fetch(`/v1/images/${id}/logs`, { headers: { accept: "text/event-stream" } });
    const told = stream.text();
    await report(id, { attempt: 1, lines: [[0, 1_000, "stdout", "hello"]] });
    await report(id, { attempt: 1, lines: [[1, 1_000, "stdout", "bye"]], end: { failure: "It broke" } });
    const text = await told;
    assert.match(text, /"text":"hello"[\s\S]*"text":"bye"[\s\S]*event: end\ndata: .*"failure":"It broke"/);
    const again = (await ensure(api)).body.image!;
    assert.equal(again.state, "queued"); // the next who asks tries again
    await tend(api);
    await report(id, { attempt: 2, lines: [[0, 1_000, "stdout", "anew"]], end: { failure: "Again" } });
    const anew = await api.fetch(`/v1/images/${id}/logs`, {
      headers: { accept: "text/event-stream", "last-event-id": `${again.logsAfter}` },
    });
    const said = await anew.text();
    assert.ok(said.includes("anew") && !said.includes("hello"), said);
  });

  it("gives a build to another node when its own is gone, and gives up on one that ends three", async () => {
    const clock = new ManualClock();
    await using api = await setup(IMAGES, clock);
    const { sql } = api.deps;
    const { id } = (await ensure(api)).body.image!;
    for (let attempt = 1; attempt <= 3; attempt++) {
      const { sync, report, runner } = await builder(api, `n${attempt}`);
      await tend(api);
      assert.equal((await sync()).builds[0]?.attempt, attempt);
      await sql`update node set state = 'lost' where id = ${runner.node}`;
      await tend(api);
      assert.equal((await report(id, { attempt, end: { ref: REF, size: 1 } })).status, 409);
    }
    const image = await show(api, id);
    assert.equal(image.state, "failed");
    assert.match(image.failure!, /went away, 3 times in a row/);
    const { body } = await api.ask<PageOf<{ text: string }>>(`/v1/images/${id}/logs`);
    assert.equal(body.items.filter(({ text }) => / went away while it built this$/.test(text)).length, 3);
  });

  it("takes a build from a runner that has started anew, and believes no other node", async () => {
    await using api = await setup();
    const { sync, runner } = await builder(api);
    const other = await builder(api, "two");
    await api.deps.sql`update node set cordoned = true where id = ${other.runner.node}`;
    const { id } = (await ensure(api)).body.image!;
    await tend(api);
    assert.equal((await sync()).builds.length, 1);
    assert.equal((await other.report(id, { attempt: 1, end: { ref: REF, size: 1 } })).status, 409);
    await api.deps.sql`update node set session = 'anew' where id = ${runner.node}`;
    await tend(api);
    assert.equal((await show(api, id)).node, runner.node);
    const { attempt } = (await api.deps.sql`select attempt from image`)[0] as { attempt: number };
    assert.equal(attempt, 2);
  });

  it("asks for the files that it copies, hands them to the node that builds, and to nobody else", async () => {
    await using api = await setup();
    const { runner } = await builder(api);
    const other = await builder(api, "two");
    await api.deps.sql`update node set cordoned = true where id = ${other.runner.node}`;
    const files = "a tar";
    const context = await sha256(files);
    const chain = chainOf({ do: "copy", source: 0, to: "/srv" });
    const refused = await ensure(api, { chain });
    assert.deepEqual([refused.status, refused.body.error.field], [400, "context"]);
    assert.deepEqual((await ensure(api, { chain, context })).body, { needs: "context" });
    await api.ask(`/v1/bundles/${context}`, { method: "PUT", raw: files });
    assert.equal((await ensure(api, { chain, context })).body.image!.state, "queued");
    await tend(api);
    assert.equal(await (await runner.follow(`/bundles/${context}`)).text(), files);
    assert.equal((await other.runner.fetch(`/bundles/${context}`)).status, 404);
    const changed = (await ensure(api, { chain, context: await sha256("another tar") })).body;
    assert.deepEqual(changed, { needs: "context" });
  });

  it("needs no build for a base alone, and says where there is no engine, or no registry for several", async () => {
    await using api = await setup({ bases: IMAGES.bases });
    assert.deepEqual(
      (await ensure(api, { chain: { from: { kind: "deno", version: "2.9.6" }, steps: [] } })).body,
      {
        ref: "mirror.example/deno:2.9.6",
      },
    );
    const waiting = (await ensure(api)).body.image!; // no node at all: one may come
    assert.equal((await show(api, waiting.id)).waiting, "no node with a container engine is up");
    const plain = await ApiRunner.join(api, "plain");
    assert.deepEqual((await ensure(api, { chain: chainOf({ do: "run", command: "make" }) })).body, {
      needs: "engine",
    });
    const { sync } = await builder(api, "one");
    await tend(api);
    assert.deepEqual([(await sync()).builds[0]!.push, (await sync()).builds[0]!.tag.split(":")[0]], [
      false,
      "localhost/berth",
    ]);
    await builder(api, "two");
    const { status, body } = await ensure(api, { chain: chainOf({ do: "run", command: "make" }) });
    assert.equal(status, 409);
    assert.match(body.error.message, /2 nodes have a container engine.* --registry HOST\/REPOSITORY/);
    assert.ok(plain);
  });

  it("refuses what no Containerfile should hold, by its field", async () => {
    await using api = await setup();
    const fieldOf = async (...steps: unknown[]) => {
      const { status, body } = await ensure(api, { chain: chainOf(...steps) });
      assert.equal(status, 400, JSON.stringify(body));
      return body.error.field;
    };
    assert.equal(await fieldOf({ do: "apt", packages: ["curl", "x; rm -rf /"] }), "chain.steps.0.packages.1");
    assert.equal(
      await fieldOf({ do: "run", command: "ok" }, { do: "pip", packages: ["--index-url=x"] }),
      "chain.steps.1.packages.0",
    );
    assert.equal(await fieldOf({ do: "env", env: { "A=B": "c" } }), "chain.steps.0.env.A=B");
    assert.equal(await fieldOf({ do: "env", env: { A: "b\nRUN evil" } }), "chain.steps.0.env.A");
    assert.equal(await fieldOf({ do: "workdir", path: "/a\nRUN evil" }), "chain.steps.0.path");
    assert.equal(await fieldOf({ do: "copy", source: 0, to: "relative" }), "chain.steps.0.to");
    assert.equal(
      (await ensure(api, { chain: { from: { kind: "python", version: "3\nRUN x" }, steps: [] } })).body.error
        .field,
      "chain.from.version",
    );
    const read = await api.keyOf("default", "read");
    assert.equal((await ensure(api, { chain: CHAIN }, read)).status, 403);
  });

  it("gives the node that builds the credential of the base, from a secret, and nobody else", async () => {
    await using api = await setup();
    const { runner, sync } = await builder(api);
    const chain = {
      from: { kind: "registry", ref: "private.example/base:1", secret: "pull" },
      steps: [{ do: "run", command: "make" }],
    };
    const missing = await ensure(api, { chain });
    assert.deepEqual([missing.status, missing.body.error.field], [400, "chain.from.secret"]);
    await api.ask("/v1/secrets/pull", { body: { values: { username: "ann" } } });
    const { id } = (await ensure(api, { chain })).body.image!;
    assert.equal((await runner.fetch(`/builds/${id}/credential`)).status, 404); // it is not building yet
    await tend(api);
    assert.equal((await sync()).builds[0]!.registry, "private.example");
    const half = await runner.fetch(`/builds/${id}/credential`);
    assert.equal(half.status, 409);
    assert.match(await half.text(), /no value \\"password\\"/);
    await api.ask("/v1/secrets/pull", { body: { values: { password: "s3cret" } } });
    assert.deepEqual(await (await runner.fetch(`/builds/${id}/credential`)).json(), {
      username: "ann",
      password: "s3cret",
    });
    const other = await builder(api, "two");
    assert.equal((await other.runner.fetch(`/builds/${id}/credential`)).status, 404);
  });

  it("gives a container's node the credential of its image", async () => {
    await using api = await setup();
    await api.ask("/v1/secrets/pull", { body: { values: { username: "ann", password: "s3cret" } } });
    const { runner } = await builder(api);
    const image = { ref: "private.example/app:1", secret: "pull" };
    assert.equal(
      (await api.deploy("demo", [{ name: "train", image: { ...image, secret: "absent" } }])).status,
      400,
    );
    assert.equal((await api.deploy("demo", [{ name: "train", image }])).status, 201);
    const container = await runner.container("demo", "train");
    assert.deepEqual(await (await runner.fetch(`/containers/${container}/registry`)).json(), {
      username: "ann",
      password: "s3cret",
    });
    const other = await builder(api, "two");
    assert.equal((await other.runner.fetch(`/containers/${container}/registry`)).status, 404);
    const kept = await api.ask<{ error: { message: string } }>("/v1/secrets/pull", { method: "DELETE" });
    assert.match(kept.body.error.message, /"demo\/train" would not start any more/);
  });

  it("has nodes pull the image of what is deployed ahead, and prefers those that have it", async () => {
    await using api = await setup();
    const { sync, runner } = await builder(api);
    const image = { ref: REF };
    await api.deploy("demo", [{ name: "train", image }, { name: "other", image }]);
    assert.deepEqual((await sync([])).prefetch, [REF]);
    assert.deepEqual((await sync([REF])).prefetch, []);
    const bundle = await api.upload();
    await api.ask("/v1/apps/demo/deployments", {
      body: { bundle, manifest: manifestOf([{ name: "train", image }]) },
    });
    assert.deepEqual((await sync([REF])).prefetch, []); // it has it
    await api.call("demo/train", { input: 1 });
    const { sql, clock } = api.deps;
    const past = { hearingSince: 0, lastLease: null };
    const { nodes } = await readSnapshot(sql, new Date(clock.now()), past);
    assert.deepEqual(nodes.find(({ id }) => id === runner.node)!.cached, [REF]);
  });

  it("removes images that no function runs in, on their node too, and builds them anew for who asks", async () => {
    await using api = await setup();
    const { sync, report } = await builder(api);
    const one = (await ensure(api)).body.image!;
    const two = (await ensure(api, { chain: chainOf({ do: "run", command: "make" }) })).body.image!;
    await tend(api);
    const other = REF.replaceAll("a", "b");
    await report(one.id, { attempt: 1, end: { ref: REF, size: 10 } });
    await report(two.id, { attempt: 1, end: { ref: other, size: 20 } });
    await api.deploy("demo", [{ name: "train", image: { ref: REF } }]);
    const prune = async (body: Record<string, unknown> = {}) =>
      (await api.ask<{ images: Image[] }>("/v1/images/prune", { body })).body.images.map(({ id }) => id);
    assert.deepEqual(await prune({ unusedFor: "1h" }), []);
    assert.deepEqual(await prune({ dryRun: true }), [two.id]);
    assert.deepEqual(await prune(), [two.id]);
    assert.deepEqual((await api.ask<PageOf<Image>>("/v1/images")).body.items.map(({ id }) => id), [one.id]);
    const [wanted] = (await sync()).builds;
    assert.deepEqual([wanted!.do, wanted!.image], ["remove", two.id]);
    assert.equal((await report(two.id, { attempt: wanted!.attempt, end: { removed: true } })).status, 200);
    assert.equal((await api.ask(`/v1/images/${two.id}`)).status, 404);
    assert.equal(
      (await ensure(api, { chain: chainOf({ do: "run", command: "make" }) })).body.image!.state,
      "queued",
    );
  });

  it("has what was pushed removed from the registry too, unless somebody else has the same", async () => {
    await using api = await setup();
    const { sync, report, runner } = await builder(api);
    const made = async (key = api.key, chain: unknown = CHAIN, ref = REF) => {
      const image = (await ensure(api, { chain }, key)).body.image!;
      await tend(api);
      await report(image.id, { attempt: 1, end: { ref, size: 10 } });
      return image.id;
    };
    const prune = (key = api.key) => api.ask("/v1/images/prune", { body: {}, key });
    const removals = async () =>
      (await sync()).builds.map(({ image, unpush, attempt }) => ({ image, unpush, attempt }));
    const mine = await made(), other = await api.keyOf("other"), theirs = await made(other);
    await prune();
    assert.deepEqual(await removals(), [{ image: mine, unpush: false, attempt: 2 }]);
    await report(mine, { attempt: 2, end: { removed: true } });
    await prune(other);
    assert.deepEqual(await removals(), [{ image: theirs, unpush: true, attempt: 2 }]);
    const kept = "The registry keeps it: it does not allow deletion";
    await report(theirs, { attempt: 2, end: { removed: true, kept } });
    const { state, failure } = (await api.ask<Image>(`/v1/images/${theirs}`, { key: other })).body;
    assert.deepEqual([state, failure], ["left", kept]);
    assert.deepEqual((await api.ask<PageOf<Image>>("/v1/images", { key: other })).body.items, []);
    assert.deepEqual(await removals(), []);
    assert.equal((await ensure(api, { chain: CHAIN }, other)).body.image!.state, "queued"); // built anew

    const chain = chainOf({ do: "run", command: "make" }), ref = REF.replace(/a+$/, "b".repeat(64));
    const one = await made(api.key, chain, ref), two = await made(await api.keyOf("third"), chain, ref);
    await api.deps.sql`update image set state = 'removing' where id in (${one}, ${two})`;
    const both = (await removals()).filter(({ image }) => [one, two].includes(image));
    assert.deepEqual(both.map(({ unpush }) => unpush), [true, false], "the first takes both along");

    await api.deps.sql`update node set state = 'left' where id = ${runner.node}`;
    const next = await builder(api, "two");
    await tend(api);
    const handed = (await next.sync()).builds.filter((wanted) => wanted.do === "remove");
    assert.deepEqual(handed.map(({ image }) => image), [one, two]);
  });

  it("builds one again when it is told to, and not one that is ready otherwise", async () => {
    await using api = await setup();
    const { sync, report } = await builder(api);
    const { id } = (await ensure(api)).body.image!;
    await tend(api);
    await report(id, { attempt: 1, end: { ref: REF, size: 10 } });
    const build = async (rebuild: boolean) =>
      (await api.ask<Image>(`/v1/images/${id}/build`, { body: { rebuild } })).body.state;
    assert.equal(await build(false), "ready");
    assert.equal(await build(true), "queued");
    await tend(api);
    assert.deepEqual((await sync()).builds.map(({ attempt, rebuild }) => [attempt, rebuild]), [[2, true]]);
  });
});
