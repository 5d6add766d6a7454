import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Guest } from "../../runner/engine.ts";
import { Kept } from "../../runner/kept.ts";
import { silentLog } from "../../sdk/ports.ts";
import { type Assignment, type Exit, FunctionSpec } from "../../sdk/protocol.ts";
import { ManualClock } from "../setup/manual_clock.ts";

/** Something that keeps, and containers of function `fn`, or another, that end. */
function setup(keepOnFailure?: string) {
  const clock = new ManualClock();
  let changes = 0;
  const kept = new Kept({ clock, log: silentLog, changed: () => void changes++ });
  const removed: string[] = [];
  const retire = (id: string, kind: Exit["kind"] = "user_error", name = "fn") => {
    const spec = FunctionSpec.parse({
      name,
      kind: "function",
      body: "ts",
      entry: name,
      methods: [{ name, kind: "call" }],
      ...keepOnFailure === undefined ? {} : { keepOnFailure },
    });
    const release = () => Promise.resolve(void removed.push(id));
    const exec = () => Promise.reject(new Error("not here"));
    const guest = { release, keep: () => Promise.resolve({ exec, release }) } as unknown as Guest;
    return kept.retire({ id, app: "app", spec } as Assignment, guest, { kind, message: "" });
  };
  return {
    clock,
    kept,
    retire,
    removed,
    ids: () => kept.observed.map(({ id }) => id),
    changes: () => changes,
  };
}

describe("Kept", () => {
  it("retire() keeps what failed where its function asks for that, and removes the rest", async () => {
    const { retire, removed, ids } = setup("1m");
    for (const kind of ["user_error", "out_of_memory", "timeout", "start_failed"] as const) {
      await retire(kind, kind, kind);
    }
    for (const kind of ["stopped", "cancelled", "node_lost"] as const) await retire(kind, kind);
    assert.deepEqual(ids(), ["user_error", "out_of_memory", "timeout", "start_failed"]);
    assert.deepEqual(removed, ["stopped", "cancelled", "node_lost"]);
    const plain = setup();
    await plain.retire("a");
    assert.deepEqual([plain.ids(), plain.removed], [[], ["a"]]);
  });

  it("tick() removes it when its time is over", async () => {
    const { clock, kept, retire, removed, changes } = setup("1m");
    await retire("a");
    await clock.advance(59_000);
    kept.tick(clock.now());
    assert.deepEqual(kept.observed, [{ id: "a", leftMs: 1_000 }]);
    const before = changes();
    await clock.advance(1_000);
    kept.tick(clock.now());
    assert.deepEqual([kept.observed, removed, changes() - before], [[], ["a"], 1]);
    assert.equal(kept.host("a"), undefined);
  });

  it("keeps the latest of each function, and nothing once it is closed", async () => {
    const { kept, retire, removed, ids } = setup("1m");
    for (const id of ["a", "b", "c", "d"]) await retire(id);
    await retire("e", "user_error", "other");
    assert.deepEqual([ids(), removed], [["b", "c", "d", "e"], ["a"]]);
    kept.discard(["c", "unknown"]);
    await kept.close();
    assert.deepEqual([ids(), removed], [[], ["a", "c", "b", "d", "e"]]);
  });
});
