import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { testServer } from "../setup/postgres.ts";
import { runCampaign } from "./campaign.ts";
import { Laboratory } from "./laboratory.ts";
import { MUTANTS } from "./mutants.ts";
import { SEEDS } from "./seeds.ts";
import { simulate } from "./simulate.ts";

const COUNT = 100;
const JOBS = 2;
/** A planted bug has this many seeds to show itself. */
const MUTANT_SEEDS = 25;

describe("the simulation", () => {
  it("keeps every promise, whatever goes wrong, and tells the same story each time", async () => {
    const server = await testServer();
    const kept = SEEDS.map(({ seed }) => seed);
    const seeds = [...kept, ...Array.from({ length: COUNT }, (_, i) => i + 1)];
    const reports = await runCampaign({ seeds, server, jobs: JOBS });
    const broken = reports.filter(({ violations }) => violations.length > 0);
    assert.deepEqual(
      broken.map(({ seed, violations }) => ({ replay: `deno task sim --seed ${seed} --log`, violations })),
      [],
    );
    assert.equal(reports.length, seeds.length);

    // In another process, and in another order.
    const laboratory = await Laboratory.open(server);
    for (const { seed, digest } of reports.slice(0, 5).reverse()) {
      const again = await laboratory.with((sessions) => simulate({ seed }, sessions));
      assert.equal(again.digest, digest, `seed ${seed}`);
    }
    await laboratory.close();
  });

  for (const { bug, rewrite, caughtAs } of MUTANTS) {
    it(`finds it when ${bug}`, async () => {
      const laboratory = await Laboratory.open(await testServer());
      let planted = false;
      const plant = (text: string) => {
        const changed = rewrite(text);
        planted ||= changed !== text;
        return changed;
      };
      const found: string[] = [];
      for (let seed = 1; seed <= MUTANT_SEEDS && found.length === 0; seed++) {
        const { violations } = await laboratory.with((sessions) =>
          simulate({ seed, rewrite: plant }, sessions)
        );
        found.push(...violations);
      }
      await laboratory.close();
      assert.ok(planted, "the statement to change was not found");
      assert.match(found[0] ?? "nothing", caughtAs);
    });
  }
});
