/**
 * What the scheduler does, told as stories that a person reviews: tests/stories. When it is to do otherwise, tests/stories/update.ts
 * writes down what it does now.
 */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { tell } from "../setup/tell.ts";
import { STORIES } from "../stories/all.ts";

describe("plan(), told as stories", () => {
  for (const [name, story] of Object.entries(STORIES)) {
    it(`${name}: ${story.split("\n")[0]!.slice(2)}`, () => assert.equal(tell(story), story));
  }
});

describe("tell()", () => {
  it("refuses what it cannot read", () => {
    assert.throws(() => tell("dance"), /Cannot read "dance"/);
    assert.throws(() => tell("call nobody"), /Cannot find function "nobody"/);
  });

  it("tells the same of what it told", () => {
    const story = tell("node n1\nfunction work takes 1s\ncall work\nwait 2s");
    assert.match(story, /\n {2}0\.0s start c1 of work on n1: 1 call waits\n/);
    assert.equal(tell(story), story);
  });
});
