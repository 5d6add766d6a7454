import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Platform } from "../setup/platform.ts";
import { testDatabase } from "../setup/postgres.ts";
import { untilTrue } from "../setup/until.ts";

const CALLS = 300;
const APP = `
import { App } from "berth";
const app = new App("calm");
export const square = app.function({ scale: { max: 2 } }, async (n: number) => {
  await new Promise((done) => setTimeout(done, 10));
  return n * n;
});
`;

async function results(
  platform: Platform,
  batch: string,
): Promise<[index: number, state: string, value: unknown][]> {
  const text = await (await platform.fetch(`/v1/batches/${batch}/results`)).text();
  return text.trim().split("\n").map((line) => JSON.parse(line)).filter((line) => line.length > 0);
}

describe("berth up, stopped in the middle of work and started again", () => {
  it("loses nothing, and repeats no call that had ended", async () => {
    const first = await Platform.up();
    await first.deploy(APP);
    const inputs = Array.from({ length: CALLS }, (_, n) => n);
    const { body: { batch } } = await first.post<{ batch: string }>("/v1/apps/calm/functions/square/calls", {
      inputs,
    });
    const ended = async () => (await first.all("/v1/calls?state=succeeded")).length;
    await untilTrue("some calls have ended", async () => await ended() > 20);
    const before = await ended();
    assert.ok(before < CALLS, "all had ended before the stop");
    first.kill("SIGTERM");
    assert.equal((await first.status).code, 0, await first.said);

    await using second = await Platform.up({ dir: first.dir });
    const lines = await results(second, batch);
    assert.deepEqual(lines.map(([index]) => index).sort((a, b) => a - b), inputs);
    for (const [index, state, value] of lines) assert.deepEqual([state, value], ["succeeded", index * index]);
  });
});

describe("berth up with DATABASE_URL", () => {
  it("uses that database and makes none of its own", async () => {
    await using db = await testDatabase();
    await using platform = await Platform.up({ env: { DATABASE_URL: db.url } });
    await platform.deploy(APP);
    assert.equal((await platform.call("calm/square", 7)).result, 49);
    await assert.rejects(Deno.stat(`${platform.dir}/data/postgres/PG_VERSION`), Deno.errors.NotFound);
    const [row] = await db.sql`select count(*) as calls from call`;
    assert.equal(row!.calls, 1);
  });
});
