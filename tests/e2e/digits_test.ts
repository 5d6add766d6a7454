import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import type { Call, Container, Schedule } from "../../sdk/protocol.ts";
import { Platform } from "../setup/platform.ts";
import { untilTrue } from "../setup/until.ts";

const SOURCE = await Deno.readTextFile(new URL("../fixtures/digits.ts", import.meta.url));

describe("the app of the README, as it stands", () => {
  let platform: Platform;
  let deployed: Awaited<ReturnType<Platform["deploy"]>>;
  before(async () => {
    platform = await Platform.up({ simulateGpus: "2xL4:24GiB" });
    deployed = await platform.deploy(SOURCE, "digits.ts");
  });
  after(() => platform[Symbol.asyncDispose]());

  it("deploys every function and endpoint under its own name", () => {
    assert.equal(deployed.app, "digits");
    assert.deepEqual(deployed.endpoints.map(({ name }) => name).sort(), ["classify", "hello"]);
  });

  it("trains with reports, progress and checkpoints", async () => {
    const call = await platform.call("digits/train", { epochs: 3 });
    assert.deepEqual(call.result, { resumed: false, attempt: 1 });
    const { body } = await platform.ask<{ items: { kind: string; seq: number }[] }>(
      `/v1/calls/${call.id}/events?limit=100`,
    );
    const kinds = body.items.map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === "report").length, 3);
    assert.equal(kinds.filter((kind) => kind === "progress").length, 3);
    assert.equal(kinds.filter((kind) => kind === "checkpoint").length, 3);
    assert.equal(kinds[0], "queued");
    assert.equal(kinds.at(-1), "succeeded");
    const seqs = body.items.map(({ seq }) => seq);
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
    assert.ok(call.usage.wallSeconds > 0);
  });

  it("streams each yield as an event", async () => {
    const { body } = await platform.post<{ calls: { id: string }[] }>(
      "/v1/apps/digits/functions/count/calls",
      { input: { to: 3 } },
    );
    const response = await platform.fetch(`/v1/calls/${body.calls[0]!.id}/events`, {
      headers: { accept: "text/event-stream" },
    });
    const text = await response.text();
    const yields = [...text.matchAll(/^data: (.*"kind":"yield".*)$/gm)].map(([, data]) =>
      JSON.parse(data!).value
    );
    assert.deepEqual(yields, [1, 2, 3]);
    assert.match(text, /^event: end$/m);
  });

  it("answers `Prefer: wait` with the finished call", async () => {
    const { status, body } = await platform.post<Call>(
      "/v1/apps/digits/functions/Digits.classify/calls",
      { input: [1, 2] },
      { prefer: "wait=30" },
    );
    assert.equal(status, 200);
    assert.equal(body.state, "succeeded");
    assert.deepEqual(body.result, [43, 44]);
  });

  it("serves its public endpoint to everyone and its private one to keys", async () => {
    const open = await fetch(new URL("/e/digits/hello/world", platform.url));
    assert.equal(await open.text(), "hello /e/digits/hello/world");
    const closed = await fetch(new URL("/e/digits/classify", platform.url), { method: "POST", body: "[1]" });
    assert.equal(closed.status, 401);
    await closed.body?.cancel();
    const keyed = await platform.fetch("/e/digits/classify", { method: "POST", body: "[1]" });
    assert.deepEqual(await keyed.json(), [43]);
  });

  it("has its schedules, and fires one by hand", async () => {
    const { body } = await platform.ask<{ items: Schedule[] }>("/v1/schedules");
    const nightly = body.items.find((schedule) => schedule.function === "nightly")!;
    assert.equal(nightly.timeZone, "Asia/Seoul");
    assert.ok(body.items.some((schedule) => schedule.function === "Digits.refresh"));
    const fired = await platform.post<{ calls: { id: string }[] }>(`/v1/schedules/${nightly.id}/run`, {});
    assert.equal(fired.status, 202);
    assert.equal((await platform.ended(fired.body.calls[0]!.id)).state, "succeeded");
    await untilTrue("the call that it spawned has succeeded", async () => {
      const { body } = await platform.ask<{ items: Call[] }>(
        "/v1/calls?app=digits&function=train&state=succeeded",
      );
      return body.items.some((call) => (call.result as { attempt: number }).attempt === 1) &&
        body.items.length >= 2;
    });
  });

  it("names app, function and node of its containers, and the share of a GPU they hold", async () => {
    const { body } = await platform.ask<{ items: Container[] }>("/v1/containers?live=true");
    const digits = body.items.find((container) => container.function === "Digits")!;
    assert.equal(digits.app, "digits");
    assert.equal(digits.desired, "run");
    assert.equal(digits.observed, "ready");
    assert.deepEqual(digits.gpus.map(({ milli }) => milli), [500]);
  });

  it("is called from the command line", async () => {
    const { code, stdout } = await platform.berth(
      "call",
      "digits/Digits.classify",
      "--input",
      "[5]",
      "--json",
    );
    assert.equal(code, 0);
    assert.deepEqual((JSON.parse(stdout) as Call).result, [47]);
  });

  it("goes when it is deleted", async () => {
    const { status } = await platform.ask("/v1/apps/digits", { method: "DELETE" });
    assert.equal(status, 200);
    assert.equal((await platform.ask("/v1/apps/digits")).status, 404);
    await untilTrue(
      "its containers are gone",
      async () =>
        (await platform.ask<{ items: unknown[] }>("/v1/containers?live=true")).body.items.length === 0,
    );
  });
});
