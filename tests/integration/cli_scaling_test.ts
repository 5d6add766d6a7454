import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { AT } from "../setup/fake_platform.ts";
import { berth, json } from "../setup/shell.ts";

const decision = (wanted: number, replayed?: { wanted: number; reason: string }) => ({
  seq: wanted,
  at: AT,
  wanted,
  reason: `${wanted} wait`,
  inputs: { kind: "scale" },
  ...(replayed === undefined ? {} : { replayed }),
});

describe("berth scaling", () => {
  it("shows what was decided about a function, and why", async () => {
    const { code, out, asked } = await berth(
      ["scaling", "digits/train"],
      () => json({ items: [decision(3)] }),
    );
    assert.equal(code, 0);
    assert.match(out, /^WHEN +WANTED +REASON\n.* 3 +3 wait$/m);
    assert.match(asked[0]!.path, /^\/v1\/apps\/digits\/functions\/train\/scaling\?/);
    assert.doesNotMatch(asked[0]!.path, /replay/);
  });

  it("decides again with --replay, and fails when anything else comes of it", async () => {
    const same = decision(3, { wanted: 3, reason: "3 wait" }),
      other = decision(2, { wanted: 1, reason: "no" });
    const replay = (...items: unknown[]) =>
      berth(["scaling", "digits/train", "--replay"], () => json({ items }));
    const good = await replay(same), bad = await replay(same, other);
    assert.equal(good.code, 0);
    assert.match(good.out, /3 wait +same$/m);
    assert.match(good.asked[0]!.path, /replay=true/);
    assert.equal(bad.code, 3);
    assert.match(bad.out, /2 wait +1: no$/m);
  });

  it("prints the inputs as JSON", async () => {
    const { out } = await berth(["scaling", "digits/train", "--json"], () => json({ items: [decision(3)] }));
    assert.deepEqual(JSON.parse(out).items[0].inputs, { kind: "scale" });
  });

  it("wants a function of an app", async () => {
    const { code, err } = await berth(["scaling", "digits"], () => json({ items: [] }));
    assert.equal(code, 2);
    assert.match(err, /expected APP\/FUNCTION/);
  });
});
