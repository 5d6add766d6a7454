import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { AT, ended, ID, platform, refuse, succeeded } from "../setup/fake_platform.ts";
import { ManualClock } from "../setup/manual_clock.ts";
import { type Answer, berth, json } from "../setup/shell.ts";

const NOW = Date.parse(AT);
const clock = new ManualClock(NOW);

const research = {
  name: "research",
  weight: 300,
  gpus: 4,
  maxGpus: 8,
  cpu: null,
  maxCpu: 16,
  maxQueued: null,
  usage: { gpus: 2.5, cpu: 3, containers: 2, queued: 7, running: 2, gpuSeconds: 1234.5 },
  createdAt: AT,
};

describe("berth workspaces", () => {
  it("lists them with what they use of what they are promised and may have", async () => {
    const { out, asked } = await berth(["workspaces"], () => json({ items: [research] }));
    assert.equal(asked[0]!.path, "/v1/workspaces?limit=50");
    assert.match(out, /^WORKSPACE +WEIGHT +GPUS +CPU +QUEUED +RUNNING +GPU-SECONDS$/m);
    assert.match(out, /^research +300 +2\.5 of 4–8 +3 of –16 +7 +2 +1235$/m);
    const { out: text } = await berth(["workspaces", "--json"], () => json({ items: [research] }));
    assert.deepEqual(JSON.parse(text), { items: [research] });
  });

  it("makes one with what is given, and says how to get a key", async () => {
    const args = [
      "workspaces",
      "create",
      "research",
      "--weight",
      "300",
      "--gpus",
      "4",
      "--max-queued",
      "none",
    ];
    const { code, asked, err } = await berth(args, () => json(research, 201));
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(asked[0]!.body), { name: "research", weight: 300, gpus: 4, maxQueued: null });
    assert.match(err, /berth keys create --workspace research/);
  });

  it("changes only what is given", async () => {
    const args = ["workspaces", "set", "research", "--max-gpus", "none", "--json"];
    const { asked, out } = await berth(args, () => json(research));
    assert.equal(asked[0]!.path, "/v1/workspaces/research");
    assert.deepEqual(JSON.parse(asked[0]!.body), { maxGpus: null });
    assert.deepEqual(JSON.parse(out), research);
  });

  it("shows one in words", async () => {
    const { out } = await berth(["workspaces", "show", "research"], () => json(research), { clock });
    assert.match(out, /^gpus +2\.5 in use, 4 promised, at most 8$/m);
    assert.match(out, /^calls +2 given to 2 containers, 7 waiting$/m);
  });

  it("passes on why somebody may not", async () => {
    const { code, err } = await berth(["workspaces"], refuse("forbidden", "Cannot do this from here", 403));
    assert.equal(code, 3);
    assert.match(err, /Cannot do this from here/);
  });
});

describe("berth keys", () => {
  const key = { id: "key_1", name: "ci", scope: "deploy", createdAt: AT, revokedAt: null };

  it("makes one and prints nothing else on stdout", async () => {
    const args = ["keys", "create", "--workspace", "research", "--scope", "deploy", "--name", "ci"];
    const { out, asked } = await berth(args, () => json({ ...key, key: "berth_secret" }, 201));
    assert.equal(out, "berth_secret\n");
    assert.equal(asked[0]!.path, "/v1/workspaces/research/keys");
    assert.deepEqual(JSON.parse(asked[0]!.body), { name: "ci", scope: "deploy" });
  });

  it("refuses a scope that there is not", async () => {
    const { code, err } = await berth(["keys", "create", "--scope", "root"], () => json({}));
    assert.equal(code, 2);
    assert.match(err, /admin, deploy, invoke, read/);
  });

  it("lists and revokes them", async () => {
    const list = await berth(
      ["keys", "--workspace", "research", "--revoked"],
      () => json({ items: [key, { ...key, id: "key_0", revokedAt: AT }] }),
      { clock },
    );
    assert.equal(list.asked[0]!.path, "/v1/workspaces/research/keys?revoked=true&limit=50");
    assert.match(list.out, /^key_1 +ci +deploy +now$/m);
    assert.match(list.out, /^key_0 +ci +deploy +now +revoked now$/m);
    const { out, asked } = await berth(["keys", "revoke", "key_1"], () => json({ ...key, revokedAt: AT }));
    assert.equal(out, "key_1 revoked\n");
    assert.deepEqual([asked[0]!.method, asked[0]!.path], ["DELETE", "/v1/workspaces/default/keys/key_1"]);
  });
});

const waiting = {
  ...ended("queued", { endedAt: null, startedAt: null, attempt: 0, concurrencyKey: "user 7" }),
  waiting: {
    reason: "a container is starting",
    position: 12,
    eta: new Date(NOW + 185_000).toISOString(),
  },
};

describe("a call that waits", () => {
  it("says why, behind how many, and until when, in lists", async () => {
    const { out } = await berth(["calls"], () => json({ items: [waiting] }), { clock });
    assert.match(out, /a container is starting, behind 12 calls, should start in 3m$/m);
  });

  it("leaves out what is not known", async () => {
    const first = { ...waiting, waiting: { reason: "no node has room", position: 0, eta: null } };
    const { out } = await berth(["calls"], () => json({ items: [first] }), { clock });
    assert.match(out, / no node has room$/m);
  });

  it("says so while it is waited for, once for every reason", async () => {
    const clock = new ManualClock(NOW);
    const states = [
      waiting,
      waiting,
      { ...waiting, waiting: { ...waiting.waiting, reason: "busy" } },
      succeeded,
    ];
    const over = Promise.withResolvers<void>();
    let looks = 0;
    const answer: Answer = async (asked) => {
      if (asked.path.includes("/results")) await over.promise;
      if (!asked.path.endsWith(ID)) return await platform(succeeded)(asked);
      return json(states[Math.min(looks++, 3)]);
    };
    const said = berth(["call", "digits/train"], answer, { clock });
    for (let i = 0; i < 3; i++) await clock.advance(2_000);
    over.resolve();
    const { code, err } = await said;
    assert.equal(code, 0);
    assert.deepEqual(err.match(/^queued: .*$/gm), [
      "queued: a container is starting, behind 12 calls, should start in 3m",
      "queued: busy, behind 12 calls, should start in 2m",
    ]);
  });
});

describe("berth show", () => {
  const gaveWay = { kind: "preempted", message: "It gave way to more important work", retryable: true };
  const attempt = { container: "ctr_1", node: "node_1", startedAt: AT, endedAt: AT };
  const attempts = [{ attempt: 1, state: "failed", ...attempt, failure: gaveWay }];
  const answer: Answer = ({ path }) => json(path.includes("/attempts") ? { items: attempts } : waiting);

  it("shows why a call waits, and attempts that gave way as preempted", async () => {
    const { out } = await berth(["show", ID], answer, { clock });
    assert.match(out, /^reason +a container is starting, behind 12 calls, should start in 3m$/m);
    assert.match(out, /^key +user 7$/m);
    assert.match(out, /^ +1 +preempted +ctr_1 +node_1 +0 ms +It gave way to more important work$/m);
  });

  it("is the call and its attempts as JSON", async () => {
    const { out } = await berth(["show", ID, "--json"], answer);
    assert.deepEqual(JSON.parse(out), { ...waiting, attempts });
  });
});

describe("berth call --concurrency-key", () => {
  it("sends the key", async () => {
    const { asked } = await berth(
      ["call", "digits/train", "--concurrency-key", "user 7"],
      platform(succeeded),
    );
    assert.deepEqual(JSON.parse(asked[0]!.body), { input: null, concurrencyKey: "user 7" });
  });
});
