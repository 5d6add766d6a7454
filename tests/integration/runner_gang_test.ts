/** A rank of a gang in a real guest: what its code, and the programs that it starts, know of the others. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { withoutPython } from "../setup/machine.ts";
import { TestRunner, tsFunction } from "../setup/runner.ts";
import { until, untilTrue } from "../setup/until.ts";

const GANG = { id: "gang_1", rank: 2, size: 3 };
const NAMES =
  '["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "NODE_RANK", "NNODES", "MASTER_ADDR", "MASTER_PORT"]';
const KNOWN = ["2", "3", "0", "1", "2", "3"];

const value = async (runner: TestRunner, batch: number) =>
  (await until("the call has ended", () => runner.api.endOf(batch) ?? null)).value;

describe("a rank of a gang", () => {
  it("finds its place and rank 0 in ctx and in the environment, at each call anew", async () => {
    await using runner = await TestRunner.start({ poolSize: 1 });
    const source = tsFunction(
      `(_, ctx) => [ctx.rank, ctx.worldSize, ctx.gang, ...${NAMES}.map((name) => Deno.env.get(name))]`,
    );
    runner.api.want({ ...await runner.assign(source, { nodes: 3 }), gang: GANG });
    for (const [address, port] of [["10.0.0.1", 29_500], ["10.0.0.2", 29_501]] as const) {
      runner.api.master = { address, port };
      const gang = { masterAddress: address, masterPort: port };
      const known = [2, 3, gang, ...KNOWN, address, String(port)];
      assert.deepEqual(await value(runner, runner.api.call("fn", [null])), known);
    }
  });

  it("asks for one call at a time, however short they are", async () => {
    await using runner = await TestRunner.start();
    runner.api.want({ ...await runner.assign(tsFunction("() => 1"), { nodes: 3 }), gang: GANG });
    const batch = runner.api.call("fn", Array.from({ length: 50 }, () => 0));
    await until("all calls have ended", () => runner.api.endsOf(batch, 50));
    assert.ok(runner.api.claims.every((claim) => claim.inputs.length === 1));
  });

  it("is told by os.environ in Python, and so are its children", { skip: withoutPython }, async () => {
    await using runner = await TestRunner.start();
    const source = `
import os, subprocess, sys
NAMES = ${NAMES}
SHOW = "import os; print(' '.join(os.environ[name] for name in " + repr(NAMES) + "))"
def fn(_, ctx):
    child = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    return [ctx.rank, ctx.world_size, list(ctx.gang), [os.environ[name] for name in NAMES], child.stdout.split()]
`;
    runner.api.want({ ...await runner.assign(source, { body: "python", nodes: 3 }), gang: GANG });
    runner.api.master = { address: "10.0.0.1", port: 29_500 };
    const env = [...KNOWN, "10.0.0.1", "29500"];
    const batch = runner.api.call("fn", [null]);
    assert.deepEqual(await value(runner, batch), [2, 3, ["10.0.0.1", 29_500], env, env]);
  });

  it("stays ready when its call is cancelled and its code heeds that", async () => {
    await using runner = await TestRunner.start();
    const source = tsFunction(
      `(stay, ctx) => stay && new Promise((resolve) => ctx.signal.addEventListener("abort", () => resolve(1)))`,
    );
    const assignment = { ...await runner.assign(source, { nodes: 3 }), gang: GANG };
    runner.api.want(assignment);
    const batch = runner.api.call("fn", [true]);
    await untilTrue("it runs", () => runner.api.claims.length === 1);
    const guests = runner.guests();
    runner.api.cancel(batch, 0);
    assert.equal((await until("it ended", () => runner.api.endOf(batch) ?? null)).outcome, 2);
    assert.equal(await value(runner, runner.api.call("fn", [false])), false);
    assert.deepEqual(runner.guests(), guests);
  });
});
