import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Shelf } from "../../runner/engines/shelf.ts";
import { realSpawn } from "../../runner/engines/spawn.ts";
import { silentLog } from "../../sdk/ports.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const MIB = 1024 * 1024;

async function setup() {
  const folder = await Deno.makeTempDir({ prefix: "berth-shelf-" });
  const clock = new ManualClock();
  const fills: string[] = [];
  const open = (budgetMiB: number) => {
    const shelf = new Shelf({ folder, budgetMiB, spawn: realSpawn, clock, log: silentLog });
    /** Fills a folder with two MiB; call what it gives when it is not needed any more. */
    const hold = async (key: string): Promise<() => Promise<void>> => {
      const over = Promise.withResolvers<void>();
      const home = await shelf.hold(key, over.promise, async (home) => {
        fills.push(key);
        await Deno.mkdir(home);
        await Deno.writeFile(`${home}/data`, new Uint8Array(2 * MIB));
      });
      assert.equal((await Deno.stat(`${home}/data`)).size, 2 * MIB);
      return async () => {
        over.resolve();
        await new Promise((resolve) => setTimeout(resolve)); // the end is heard in a later turn
        await clock.advance(1_000);
      };
    };
    return { shelf, hold };
  };
  return {
    folder,
    fills,
    open,
    kept: () => [...Deno.readDirSync(folder)].map(({ name }) => name).sort(),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

/** Resolves once nothing more is to be removed, also of what was noticed meanwhile. */
async function tidied(shelf: Shelf): Promise<void> {
  for (let before; before !== shelf.tidy;) await (before = shelf.tidy);
}

describe("Shelf", () => {
  it("gives up what was used longest ago when there are too many bytes, and fills it anew for the next", async () => {
    await using world = await setup();
    const { shelf, hold } = world.open(5);
    for (const key of ["a", "b"]) await (await hold(key))();
    await (await hold("a"))(); // used again
    await (await hold("c"))();
    await tidied(shelf);
    assert.deepEqual(world.kept(), ["a", "c"]);
    await (await hold("b"))();
    await tidied(shelf);
    assert.deepEqual([world.kept(), world.fills], [["b", "c"], ["a", "b", "c", "b"]]);
  });

  it("never gives up what is in use, however much that is, and does when it is not any more", async () => {
    await using world = await setup();
    const { shelf, hold } = world.open(1);
    const [first, second, other] = [await hold("a"), await hold("a"), await hold("b")];
    await first();
    await tidied(shelf);
    assert.deepEqual(world.kept(), ["a", "b"]);
    await second();
    await tidied(shelf);
    assert.deepEqual(world.kept(), ["b"]);
    await other();
    await tidied(shelf);
    assert.deepEqual(world.kept(), []);
  });

  it("remembers over a restart what was used last, and removes what was interrupted", async () => {
    await using world = await setup();
    const before = world.open(100);
    for (const key of ["a", "b", "c"]) await (await before.hold(key))();
    await (await before.hold("a"))();
    await tidied(before.shelf);
    await Deno.mkdir(`${world.folder}/half`);
    await Deno.mkdir(`${world.folder}/old.gone`);
    const { shelf } = world.open(5);
    await tidied(shelf);
    assert.deepEqual(world.kept(), ["a", "c"]);
  });

  it("fills once for all who want it at a time, and again when that failed", async () => {
    await using world = await setup();
    const { shelf } = world.open(5);
    const over = Promise.resolve();
    const failing = () => shelf.hold("a", over, () => Promise.reject(new Error("no")));
    const both = await Promise.allSettled([failing(), shelf.hold("a", over, () => Promise.resolve())]);
    assert.deepEqual(both.map(({ status }) => status), ["rejected", "rejected"]);
    assert.equal(await shelf.hold("a", over, (home) => Deno.mkdir(home)), `${world.folder}/a`);
    await tidied(shelf);
  });
});
