import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { ApiAway, ApiRefused } from "../../runner/api.ts";
import { Builds } from "../../runner/builds.ts";
import { type BuildContext, BuildError, BuildLost, type EngineImages } from "../../runner/engine.ts";
import { silentLog } from "../../sdk/ports.ts";
import type { WantedBuild } from "../../sdk/protocol.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

const WANTED: WantedBuild = {
  image: "img_1",
  attempt: 1,
  do: "build",
  containerfile: "FROM a\n",
  context: null,
  tag: "r.example/b:1",
  ref: null,
  push: true,
  unpush: false,
  registry: null,
  rebuild: false,
};

function setup() {
  const clock = new ManualClock();
  const reports: Record<string, unknown>[] = [];
  const running: { context: BuildContext; end: PromiseWithResolvers<{ ref: string; size: number }> }[] = [];
  const removed: string[] = [];
  const world = { refuse: null as Error | null, kept: null as string | null };
  const images: EngineImages = {
    names: () => [],
    onChange: () => {},
    prefetch: () => Promise.resolve(),
    build: (_, context) => {
      const end = Promise.withResolvers<{ ref: string; size: number }>();
      context.signal.addEventListener("abort", () => end.reject(new BuildError("It was given up")));
      running.push({ context, end });
      return end.promise;
    },
    remove: ({ tag }) => Promise.resolve((removed.push(tag), world.kept)),
  };
  const over = new AbortController();
  const builds = new Builds({
    clock,
    log: silentLog,
    images,
    over: over.signal,
    api: {
      buildFiles: () => Promise.resolve(null),
      buildCredential: () => Promise.resolve({ username: "ann", password: "s3cret" }),
      reportBuild: (image, report) => {
        if (world.refuse !== null) return Promise.reject(world.refuse);
        reports.push({ image, ...report });
        return Promise.resolve();
      },
    },
  });
  return { builds, clock, over, removed, reports, running, world };
}

describe("Builds", () => {
  it("begins each attempt once, however often it is named, and tells its lines and its end", async () => {
    const { builds, reports, running } = setup();
    for (let times = 0; times < 3; times++) builds.want([WANTED]);
    await settle();
    assert.equal(running.length, 1);
    running[0]!.context.say("stdout", "one");
    running[0]!.context.say("stdout", "two");
    await settle();
    running[0]!.end.resolve({ ref: "r.example/b@sha256:1", size: 7 });
    await settle();
    assert.deepEqual(reports.map(({ lines, end }) => [(lines as unknown[][]).map((line) => line[3]), end]), [
      [["one", "two"], undefined],
      [[], { ref: "r.example/b@sha256:1", size: 7 }],
    ]);
    builds.want([]);
    builds.want([WANTED]); // an old answer
    builds.want([{ ...WANTED, attempt: 2 }]);
    await settle();
    assert.equal(running.length, 2);
  });

  it("gives back what its engine could not end, with a line that says so", async () => {
    const { builds, reports, running } = setup();
    builds.want([WANTED]);
    await settle();
    running[0]!.end.reject(new BuildLost("The engine went away"));
    await settle();
    assert.deepEqual(reports.map(({ lines, end }) => [(lines as unknown[][]).map((line) => line[3]), end]), [
      [["The engine went away"], undefined],
      [[], { lost: "The engine went away" }],
    ]);
  });

  it("tells what it could not while the api was away", async () => {
    const { builds, clock, reports, running, world } = setup();
    builds.want([WANTED]);
    await settle();
    world.refuse = new ApiAway("away");
    running[0]!.context.say("stdout", "one");
    running[0]!.end.reject(new BuildError("It broke"));
    for (let times = 0; times < 20; times++) await clock.advance(1_000);
    assert.deepEqual(reports, []);
    world.refuse = null;
    for (let times = 0; times < 3; times++) await clock.advance(1_000);
    assert.deepEqual(reports.map(({ end }) => end), [undefined, { failure: "It broke" }]);
  });

  it("gives up a build that is no longer wanted, or not its own, and one that takes too long", async () => {
    const { builds, clock, reports, running, world } = setup();
    builds.want([WANTED, { ...WANTED, image: "img_2" }, { ...WANTED, image: "img_3" }]);
    await settle();
    const [one, two, three] = running;
    builds.want([{ ...WANTED, image: "img_2" }, { ...WANTED, image: "img_3" }]);
    assert.ok(one!.context.signal.aborted);
    world.refuse = new ApiRefused(409, "not yours");
    two!.context.say("stdout", "line");
    await settle();
    assert.ok(two!.context.signal.aborted);
    world.refuse = null;
    await clock.advance(3 * 3_600_000);
    assert.ok(three!.context.signal.aborted);
    assert.deepEqual(reports.map(({ image, end }) => [image, end]), [
      ["img_3", { failure: "Cannot build the image: it took longer than 2 hours" }],
    ]);
  });

  it("brings the credential of the base, and removes what it is told to", async () => {
    const { builds, removed, reports, running } = setup();
    builds.want([{ ...WANTED, registry: "private.example" }, { ...WANTED, image: "img_2", do: "remove" }]);
    await settle();
    assert.deepEqual(running[0]!.context.credential, { username: "ann", password: "s3cret" });
    assert.deepEqual(removed, ["r.example/b:1"]);
    assert.deepEqual(reports, [{ image: "img_2", attempt: 1, lines: [], end: { removed: true } }]);
  });

  it("tells why the registry keeps what it removed", async () => {
    const { builds, reports, world } = setup();
    world.kept = "It does not allow deletion";
    builds.want([{ ...WANTED, do: "remove", unpush: true }]);
    await settle();
    assert.deepEqual(reports.map(({ end }) => end), [{ removed: true, kept: "It does not allow deletion" }]);
  });
});
