/** More important work takes the only GPU from a long training, which goes on from its checkpoint afterwards. */
import { after, before, describe, it } from "node:test";
import assert from "node:assert/strict";
import type { Attempt, Call, EventItem } from "../../sdk/protocol.ts";
import { Platform } from "../setup/platform.ts";
import { untilTrue } from "../setup/until.ts";

const APP = `
import { App } from "berth";
const app = new App("gpu");
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const common = { gpu: "H100", timeout: "10m", scale: { scaledownWindow: "5s" } } as const;

export const train = app.function(
  { ...common, preemptible: true, preemptNotice: "30s" },
  async (input: { steps: number }, ctx) => {
    const last = await ctx.checkpoint.load();
    let step = last === undefined ? 0 : Number(new TextDecoder().decode(last));
    const began = step;
    ctx.onPreempt(({ deadlineMs }) => ctx.log("told to give way within " + deadlineMs));
    for (; step < input.steps; step++) {
      ctx.progress(step, input.steps);
      await sleep(20);
      if (!ctx.signal.aborted) continue;
      await ctx.checkpoint.save(new TextEncoder().encode(String(step + 1)));
      throw ctx.signal.reason;
    }
    return { began, steps: step };
  },
);

export const stubborn = app.function(
  { ...common, preemptible: true, preemptNotice: "2s" },
  async (input: { ms: number }, ctx) => {
    if (ctx.attempt === 1) { ctx.log("running"); while (true) await sleep(100); }
    return ctx.attempt;
  },
);

export const serve = app.function(common, () => "served");
`;

describe("a preemptible call on the only GPU", () => {
  let platform: Platform;
  before(async () => {
    platform = await Platform.up({ simulateGpus: "1xH100:80GiB" });
    await platform.deploy(APP);
  });
  after(() => platform[Symbol.asyncDispose]());

  const create = async (name: string, input: unknown, priority: number): Promise<string> => {
    const path = `/v1/apps/gpu/functions/${name}/calls`;
    const { status, body } = await platform.post<{ calls: { id: string }[] }>(path, { input, priority });
    assert.equal(status, 202, JSON.stringify(body));
    return body.calls[0]!.id;
  };
  const events = (id: string) => platform.all<EventItem>(`/v1/calls/${id}/events`);
  const attempts = (id: string) => platform.all<Attempt>(`/v1/calls/${id}/attempts`);
  const logs = (id: string) => platform.all<{ text: string; attempt: number }>(`/v1/calls/${id}/logs`);
  const said = (id: string, text: string) =>
    untilTrue(`${id} says "${text}"`, async () => (await logs(id)).some((line) => line.text.includes(text)));

  it("gives way to more important work, and goes on from its checkpoint", async () => {
    const training = await create("train", { steps: 400 }, 10);
    await untilTrue(
      "the training is under way",
      async () => (await events(training)).filter(({ kind }) => kind === "progress").length > 20,
    );
    const served = await platform.ended(await create("serve", null, 90));
    assert.equal(served.result, "served");

    const waits = (await platform.ask<Call>(`/v1/calls/${training}`)).body;
    assert.notEqual(waits.state, "failed", JSON.stringify(waits));
    const trained = await platform.ended(training);
    assert.equal(trained.state, "succeeded", JSON.stringify(trained));
    const { began, steps } = trained.result as { began: number; steps: number };
    assert.equal(steps, 400);
    assert.ok(began > 20, `it began again at step ${began}`);

    const [first, second, ...more] = await attempts(training);
    assert.deepEqual([first!.failure!.kind, second!.state, more.length], ["preempted", "succeeded", 0]);
    assert.ok(served.startedAt! >= first!.endedAt! && second!.startedAt! >= served.endedAt!);
    const lines = await logs(training);
    assert.ok(
      lines.some(({ text }) => text.startsWith("told to give way within 30000")),
      JSON.stringify(lines),
    );
  });

  it("is killed when its notice is over, and begins again", async () => {
    const stubborn = await create("stubborn", null, 10);
    await said(stubborn, "running");
    const served = await platform.ended(await create("serve", null, 90));
    assert.equal(served.result, "served");
    const ended = await platform.ended(stubborn);
    assert.deepEqual([ended.state, ended.result], ["succeeded", 2]);
    assert.equal((await attempts(stubborn))[0]!.failure!.kind, "preempted");
  });
});
