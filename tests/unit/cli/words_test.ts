import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { progressBar } from "../../../sdk/cli/progress_bar.ts";
import { memory, relativeTime, size, span } from "../../../sdk/cli/words.ts";

describe("span()", () => {
  it("says two units at most", () => {
    const said = [0, 340.4, 2_449, 200_000, 3_600_000, 90_000_000].map(span);
    assert.deepEqual(said, ["0 ms", "340 ms", "2.4 s", "3m 20s", "1h", "1d 1h"]);
  });
});

describe("relativeTime()", () => {
  const now = Date.UTC(2026, 0, 1);
  const at = (ms: number) => relativeTime(new Date(now + ms).toISOString(), now);

  it("says past, future and now", () => {
    assert.deepEqual([at(-12_000), at(180_000), at(-400), at(-2 * 86_400_000)], [
      "12s ago",
      "in 3m",
      "now",
      "2d ago",
    ]);
  });

  it("says – for what has not happened", () => {
    assert.equal(relativeTime(null, now), "–");
  });
});

describe("memory()", () => {
  it("changes to GiB at 1024 MiB", () => {
    assert.deepEqual([512, 1_024, 1_536].map(memory), ["512 MiB", "1 GiB", "1.5 GiB"]);
  });
});

describe("size()", () => {
  it("takes the largest unit of which there is one", () => {
    const said = [0, 1_023, 1_024, 5_000_000, 3 * 2 ** 30].map(size);
    assert.deepEqual(said, ["0 B", "1023 B", "1.0 KiB", "4.8 MiB", "3.0 GiB"]);
  });
});

describe("progressBar()", () => {
  it("is 24 cells wide at every share", () => {
    for (const done of [0, 1, 50, 99, 100]) {
      assert.equal([...progressBar(done, 100).split(" ")[0]!].length, 24);
    }
  });

  it("is empty at the start, full at the end and never fuller", () => {
    assert.match(progressBar(0, 4), /^░{24} {3}0% {2}0\/4$/);
    assert.match(progressBar(4, 4), /^█{24} 100% {2}4\/4$/);
    assert.match(progressBar(9, 4), /^█{24} 100%/);
  });

  it("only counts when there is no total", () => {
    assert.equal(progressBar(7, 0), "7");
  });
});
