import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Scale } from "../../sdk/protocol.ts";
import { free, gpu, schedulerWorld } from "../setup/scheduler.ts";
import { dice } from "../setup/snapshots.ts";

describe("tick() among drawn events", () => {
  it("breaks no invariant, and ends at rest (5 seeds)", async () => {
    for (let seed = 0; seed < 5; seed++) {
      await using world = await schedulerWorld({ gpus: [gpu(0), gpu(1), gpu(2, "L4")], cpu: 3_000 });
      const { runner } = world;
      const { upTo, pick } = dice(seed);
      const fns = [
        await world.deploy({
          name: "a",
          gpu: ["H100"],
          scale: Scale.parse({ max: 2, scaledownWindow: "5s" }),
        }),
        await world.deploy({
          name: "b",
          gpu: ["L4:0.5"],
          concurrency: 2,
          scale: Scale.parse({ scaledownWindow: "60s" }),
          retries: { max: 2, backoff: "1s", factor: 2, maxBackoff: "60s", on: ["user_error"] },
        }),
        await world.deploy({ name: "c", scale: Scale.parse({ scaledownWindow: "60s" }) }),
      ];
      const leases: { lease: number; indexes: number[] }[] = [];
      const events: (() => Promise<unknown>)[] = [
        () => world.call(pick(fns), Array(1 + upTo(5)).fill(0)),
        () => world.tick(),
        () => runner.ready(),
        () => runner.leave(),
        () => world.pass(upTo(4_000)),
        async () => {
          for (const { id } of await runner.containers()) {
            const claims = await runner.claim(id, 1 + upTo(2));
            leases.push(
              ...claims.map(({ lease, lo, inputs }) => ({
                lease,
                indexes: inputs.split(",").map((_, i) => lo + i),
              })),
            );
          }
        },
        async () => {
          const one = leases.splice(upTo(leases.length), 1)[0];
          if (one) {
            await (upTo(3) > 0
              ? runner.complete(one.lease, one.indexes)
              : runner.giveBack(one.lease, one.indexes));
          }
        },
        async () => {
          const containers = await runner.containers();
          if (containers.length > 0 && upTo(3) === 0) {
            await runner.exit(pick(containers).id, pick(["stopped", "user_error"]));
          }
        },
        async () => {
          if (upTo(9) === 0) await runner.join({ gpus: [gpu(0), gpu(1), gpu(2, "L4")], cpu: 3_000 });
        },
        async () => {
          if (upTo(9) === 0) await world.silence(31_000);
        },
      ];
      for (let step = 0; step < 80; step++) {
        await pick(events)();
        assert.deepEqual(await world.audit(), [], `seed ${seed}, step ${step}`);
      }
      for (let left = 1, rounds = 0; left > 0; rounds++) {
        assert.ok(rounds < 400, `seed ${seed}: calls are left`);
        await world.pass(1_000);
        await world.tick();
        await runner.ready();
        for (const one of leases.splice(0)) await runner.complete(one.lease, one.indexes);
        await events[5]!();
        for (const one of leases.splice(0)) await runner.complete(one.lease, one.indexes);
        await runner.leave();
        left = (await world
          .sql`select from batch where size > (select count(*) from result where batch_id = batch.id)`)
          .length;
      }
      for (let rounds = 0; rounds < 100; rounds++) {
        await world.pass(1_000);
        await world.tick();
        await runner.leave();
      }
      assert.deepEqual(await runner.containers(), [], `seed ${seed}: containers are left`);
      assert.deepEqual(await free(world.sql), { cpu: 3_000, memory: 16_384, gpus: [1000, 1000, 1000] });
      assert.deepEqual(await world.audit(), []);
    }
  });
});
