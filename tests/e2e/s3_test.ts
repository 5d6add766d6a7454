import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { S3Blobs } from "../../api/blobs/s3.ts";
import { Client } from "../../sdk/client.ts";
import { fromName } from "../../sdk/handle.ts";
import { realClock } from "../../sdk/ports.ts";
import { type EventItem, LIMITS } from "../../sdk/protocol.ts";
import { withoutS3 } from "../setup/machine.ts";
import { CLI, Platform } from "../setup/platform.ts";
import { partsOf } from "../setup/processes.ts";
import { testPlace } from "../setup/s3.ts";
import { until } from "../setup/until.ts";

/** More than S3 takes in one part. */
const WEIGHTS = 20_000_000;
const APP = `
import { App } from "berth";
const app = new App("train");
export const echo = app.function({}, (input: unknown) => input);
export const train = app.function({ retries: 2 }, async ({ until }: { until: number }, ctx) => {
  const saved = await ctx.checkpoint.load();
  let epoch = saved?.[0] ?? 0;
  if (saved !== undefined && !saved.every((byte) => byte === epoch)) throw new Error("torn");
  const from = epoch;
  while (epoch < until) {
    await ctx.checkpoint.save(new Uint8Array(${WEIGHTS}).fill(++epoch));
    ctx.report({ epoch });
    if (epoch === 2 && ctx.attempt === 1) await new Promise(() => {}); // until it is killed
  }
  await ctx.artifact("weights", new Uint8Array(${WEIGHTS}).fill(epoch));
  const { length } = await ctx.artifact("weights");
  return { from, epoch, attempt: ctx.attempt, length };
});
`;

async function setup() {
  const place = await testPlace();
  const env = {
    S3_ENDPOINT: place.endpoint,
    S3_BUCKET: place.bucket,
    S3_REGION: place.region,
    S3_ACCESS_KEY_ID: place.accessKeyId,
    S3_SECRET_ACCESS_KEY: place.secretAccessKey,
    S3_PREFIX: place.prefix,
  };
  const blobs = await S3Blobs.open(place, { clock: realClock });
  return { env, blobs, [Symbol.dispose]: () => blobs.close() };
}

describe("berth up with blobs on S3", { skip: withoutS3 }, () => {
  it("trains, is killed, and goes on from the checkpoint; and carries what is too large to travel", async () => {
    using world = await setup();
    await using platform = await Platform.up({ env: world.env });
    await platform.deploy(APP);
    const { body } = await platform.post<{ calls: { id: string }[] }>(
      "/v1/apps/train/functions/train/calls",
      {
        input: { until: 3 },
      },
    );
    const { id } = body.calls[0]!;
    await until("epoch 2 is reported", async () => {
      const { body } = await platform.ask<{ items: EventItem[] }>(`/v1/calls/${id}/events?limit=100`);
      return body.items.filter(({ kind }) => kind === "report").length === 2 ? true : null;
    });
    for (const guest of partsOf(platform.pid).guests) Deno.kill(guest, "SIGKILL");
    const call = await platform.ended(id);
    assert.deepEqual(call.result, { from: 2, epoch: 3, attempt: 2, length: WEIGHTS });
    const out = `${platform.dir}/weights`;
    const got = await platform.berth("artifact", "get", "weights", "-o", out);
    assert.deepEqual([got.code, (await Deno.stat(out)).size], [0, WEIGHTS], got.stderr);
    assert.equal((await platform.berth("artifact", "put", "again", out)).code, 0);

    const client = new Client({ url: platform.url, key: platform.key });
    const text = "é".repeat(LIMITS.inputBytes);
    assert.equal(await fromName("train", "echo", { client }).remote(text), text);

    const keys = (await Array.fromAsync(world.blobs.list(""))).map((key) => key.split("/")[0]).sort();
    assert.deepEqual(keys, [
      "artifacts",
      "bundles",
      ...["checkpoints", "checkpoints", "checkpoints"],
      ...["values", "values"],
    ]);
    await assert.rejects(Deno.stat(`${platform.dir}/data/blobs`), Deno.errors.NotFound);
  });

  it("says what is wrong with its settings, and starts nothing", async () => {
    using world = await setup();
    const { S3_BUCKET: _, ...half } = world.env;
    const dir = await Deno.makeTempDir({ prefix: "berth-" });
    for (
      const [env, code, why] of [
        [half, 2, /Cannot use S3: .* are set, S3_BUCKET is not; set all of them, or none/],
        [
          { ...world.env, S3_SECRET_ACCESS_KEY: "wrong" },
          3,
          /S3_SECRET_ACCESS_KEY is not the secret of this key/,
        ],
      ] as const
    ) {
      const args = ["run", "-A", CLI, "up", "--data", `${dir}/data`, "--port", "0"];
      const ended = await new Deno.Command(Deno.execPath(), { args, env, stdin: "null" }).output();
      const said = new TextDecoder().decode(ended.stderr);
      assert.equal(ended.code, code, said);
      assert.match(said, why);
    }
    await Deno.remove(dir, { recursive: true });
  });
});
