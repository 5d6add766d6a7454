import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Call } from "../../sdk/protocol.ts";
import { Platform } from "../setup/platform.ts";
import { partsOf } from "../setup/processes.ts";
import { until, untilTrue } from "../setup/until.ts";

const CALLS = 2_000;
const APP = `
import { App } from "berth";
const app = new App("chaos");
export const square = app.function(
  { gpu: "any:0.25", concurrency: 4, memory: 128, scale: { max: 3, scaledownWindow: "2s" } },
  async (n: number) => { await new Promise((r) => setTimeout(r, 40)); return n * n; },
);
`;

/** Results so far of all batches, by input; fails on one that comes twice. */
async function results(platform: Platform, batches: readonly string[]): Promise<Map<number, unknown>> {
  const found = new Map<number, unknown>();
  for (const [b, batch] of batches.entries()) {
    const text = await (await platform.fetch(`/v1/batches/${batch}/results`)).text();
    for (
      const line of text.trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.length > 0)
    ) {
      const [index, state, value, failure] = line;
      const input = b * 1_000 + index;
      assert.ok(!found.has(input), `input ${input} ended twice`);
      assert.equal(state, "succeeded", JSON.stringify(failure));
      found.set(input, value);
    }
  }
  return found;
}

/** How many calls have ended, counted up to a page. */
async function endedCalls(platform: Platform): Promise<number> {
  const { status, body } = await platform.ask<{ items: unknown[] }>("/v1/calls?state=succeeded&limit=500");
  return status === 200 ? body.items.length : 0;
}

/** Killing proves something only while there is work. */
async function assertWorks(platform: Platform): Promise<void> {
  const { body } = await platform.ask<{ items: unknown[] }>("/v1/calls?state=queued&limit=1");
  assert.equal(body.items.length, 1, "everything had ended before the kill");
}

describe("a map of 2,000 while everything is killed in turn", () => {
  it("ends each call exactly once with the right result, and frees every GPU", async () => {
    let platform = await Platform.up({ simulateGpus: "1xL4:24GiB" });
    const { dir } = platform;
    const port = Number(new URL(platform.url).port);
    try {
      await platform.deploy(APP);
      const batches: string[] = [];
      for (let b = 0; b < CALLS / 1_000; b++) {
        const inputs = Array.from({ length: 1_000 }, (_, i) => b * 1_000 + i);
        const { body } = await platform.post<{ batch: string }>("/v1/apps/chaos/functions/square/calls", {
          inputs,
        });
        batches.push(body.batch);
      }
      await untilTrue("some calls have ended", async () => await endedCalls(platform) > 20);

      await assertWorks(platform);
      // All of them: one alone might be one that is started ahead and has nothing to do.
      for (const guest of partsOf(platform.pid).guests) Deno.kill(guest, "SIGKILL");
      await untilTrue("more calls have ended", async () => await endedCalls(platform) > 150);

      await assertWorks(platform);
      const [runner] = partsOf(platform.pid).runner;
      Deno.kill(runner!, "SIGKILL");
      await untilTrue("the runner is back", () => partsOf(platform.pid).runner.some((pid) => pid !== runner));
      await untilTrue("calls end again", async () => await endedCalls(platform) > 300);

      await assertWorks(platform);
      platform.kill("SIGKILL");
      await platform.status;
      platform = await Platform.up({ dir, port, simulateGpus: "1xL4:24GiB" });
      await untilTrue("calls end again", async () => await endedCalls(platform) > 400);

      await assertWorks(platform);
      const [postgres] = partsOf(platform.pid).postgres;
      Deno.kill(postgres!, "SIGKILL");

      const found = await until("all calls have ended", async () => {
        const now = await results(platform, batches).catch(() => null);
        return now?.size === CALLS ? now : null;
      }, 120_000);
      for (let n = 0; n < CALLS; n++) assert.equal(found.get(n), n * n);

      const calls = await platform.all<Call>("/v1/calls");
      assert.ok(calls.some(({ attempt }) => attempt > 1), "no kill has hit a call");

      await untilTrue("every GPU is free", async () => {
        const { status, body } = await platform.ask<{ items: { gpus: { freeMilli: number }[] }[] }>(
          "/v1/nodes",
        );
        return status === 200 &&
          body.items.every(({ gpus }) => gpus.every(({ freeMilli }) => freeMilli === 1000));
      });
      const { body } = await platform.ask<{ items: unknown[] }>("/v1/containers?live=true");
      assert.deepEqual(body.items, []);
    } finally {
      await platform[Symbol.asyncDispose]();
    }
  });
});
