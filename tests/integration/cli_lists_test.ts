import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { AT, failed, ID, platform, refuse, succeeded } from "../setup/fake_platform.ts";
import { type Answer, berth, json } from "../setup/shell.ts";

describe("lists", () => {
  const node = (name: string) => ({
    id: `node_${name}`,
    name,
    pool: "default",
    state: "up",
    gpus: [0, 1].map((index) => ({
      index,
      model: "H100",
      vramMiB: 81920,
      simulated: true,
      freeMilli: index * 500,
      healthy: true,
    })),
    cpu: 2,
    cpuFree: 1.5,
    memory: 2048,
    memoryFree: 1024,
    disk: 0,
    diskFree: 0,
    cordoned: false,
    labels: {},
    provision: null,
    containers: 1,
    joinedAt: AT,
    seenAt: AT,
  });
  /** Three nodes, two a page at most. */
  const pages: Answer = ({ path }) => {
    const query = new URL(path, "http://x").searchParams;
    const from = Number(query.get("cursor") ?? 0);
    const items = ["a", "b", "c"].map(node).slice(from, from + Math.min(2, Number(query.get("limit"))));
    const next = from + items.length;
    return json({ items, ...(next < 3 ? { nextCursor: String(next) } : {}) });
  };

  it("are tables for people", async () => {
    const { out } = await berth(["nodes"], pages);
    assert.match(out, /^NODE +POOL +STATE +GPUS FREE/);
    assert.match(out, /^a +default +up +0\.5\/2 H100 \(simulated\) +1\.5\/2 +1 GiB\/2 GiB +1 /m);
  });

  it("take as many pages as the limit needs, and tell how to go on", async () => {
    const { out, err } = await berth(["nodes", "--limit", "1"], pages);
    assert.equal(out.trim().split("\n").length, 2);
    assert.match(err, /--cursor 1/);
    const two = await berth(["nodes", "--limit", "3", "--json"], pages);
    assert.deepEqual(JSON.parse(two.out).items.map(({ name }: { name: string }) => name), ["a", "b", "c"]);
    assert.equal(two.asked.length, 2);
  });

  it("take all pages with --all", async () => {
    const { out } = await berth(["nodes", "--all", "--limit", "1", "--json"], pages);
    const { items, nextCursor } = JSON.parse(out);
    assert.deepEqual([items.length, nextCursor], [3, undefined]);
  });

  it("say what to do when there is nothing", async () => {
    const { out, err } = await berth(["apps"], () => json({ items: [] }));
    assert.equal(out, "");
    assert.match(err, /berth deploy FILE/);
  });

  it("pass filters on", async () => {
    const args = ["calls", "--app", "digits", "--function", "train", "--state", "failed", "--tag", "run:7"];
    const { asked, out } = await berth(args, () => json({ items: [failed] }));
    assert.equal(asked[0]!.path, "/v1/calls?app=digits&function=train&state=failed&tag=run%3A7&limit=50");
    assert.match(out, /user_error: too far/);
  });

  it("show live containers, and ended ones when asked", async () => {
    const live = await berth(["ps"], () => json({ items: [] }));
    assert.match(live.asked[0]!.path, /present=true/);
    const all = await berth(["ps", "--ended"], () => json({ items: [] }));
    assert.doesNotMatch(all.asked[0]!.path, /live|present/);
  });
});

describe("berth schedules", () => {
  const schedule = {
    id: "sched_1",
    app: "digits",
    function: "nightly",
    cron: "0 3 * * *",
    timeZone: "Asia/Seoul",
    input: null,
    paused: true,
    nextAt: null,
    lastAt: null,
    lastCall: null,
  };

  it("lists without a further word", async () => {
    const { out } = await berth(["schedules", "--app", "digits"], () => json({ items: [schedule] }));
    assert.match(out, /^sched_1 +digits\/nightly +0 3 \* \* \* +Asia\/Seoul +paused/m);
  });

  it("pauses, resumes and runs one", async () => {
    const answer: Answer = ({ path }) =>
      path.endsWith("/run")
        ? json({ batch: "batch_000000001z", calls: [{ id: ID, state: "queued" }] }, 202)
        : json(schedule);
    for (const verb of ["pause", "resume", "run"]) {
      const { code, asked } = await berth(["schedules", verb, "sched_1"], answer);
      assert.deepEqual([code, asked[0]!.method, asked[0]!.path], [
        0,
        "POST",
        `/v1/schedules/sched_1/${verb}`,
      ]);
    }
  });
});

describe("berth logs", () => {
  it("follows a call as JSON lines", async () => {
    const { out } = await berth(["logs", "-f", ID, "--json"], platform(succeeded));
    assert.deepEqual(JSON.parse(out).text, "hello\n");
  });

  it("ends at once when there is no such call", async () => {
    const { code, asked } = await berth(["logs", "-f", ID], refuse("not_found", "Cannot find it", 404));
    assert.deepEqual([code, asked.length], [3, 1]);
  });
});

describe("berth open", () => {
  const app = {
    name: "digits",
    deployment: "dep_1",
    version: 1,
    createdAt: AT,
    deployedAt: AT,
    functions: [],
    endpoints: [{ name: "hello", url: "/e/digits/hello", auth: "public" }],
  };

  it("prints an endpoint's whole URL", async () => {
    const { out } = await berth(["open", "digits/hello"], () => json(app));
    assert.equal(out, "http://berth.test/e/digits/hello\n");
  });

  it("names the endpoints there are when there is no such one", async () => {
    const { code, err } = await berth(["open", "digits/helo"], () => json(app));
    assert.equal(code, 2);
    assert.match(err, /It has: hello/);
  });
});
