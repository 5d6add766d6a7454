/** `berth pools`, `berth nodes`, `berth join` as a person uses them. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Node } from "../../sdk/protocol/nodes.ts";
import type { Pool } from "../../sdk/protocol/pools.ts";
import { AT } from "../setup/fake_platform.ts";
import { type Answer, berth, json } from "../setup/shell.ts";
import { ManualClock } from "../setup/manual_clock.ts";

const SHAPE = {
  cpu: 8,
  memory: 32_768,
  disk: 0,
  gpus: [{ model: "L4", vramMiB: 24_576 }],
  labels: { zone: "a" },
};
const pool = (some: Partial<Pool> = {}): Pool => ({
  name: "gpu",
  provider: "local",
  state: "active",
  nodes: 2,
  starting: 1,
  gpus: 2,
  gpusFree: 0.5,
  min: 0,
  max: 4,
  shape: SHAPE,
  costPerHour: 1.5,
  idleTimeout: "5m",
  provisionTimeout: "5m",
  config: {},
  failure: null,
  keeper: "host:/data/nodes",
  createdAt: AT,
  ...some,
});
const node = (some: Partial<Node> = {}): Node => ({
  id: "node_1",
  name: "box",
  pool: "gpu",
  state: "up",
  cordoned: false,
  engineAway: null,
  labels: {},
  gpus: [
    { index: 0, model: "L4", vramMiB: 24_576, simulated: false, freeMilli: 1000, healthy: true },
    {
      index: 1,
      model: "L4",
      vramMiB: 24_576,
      simulated: false,
      freeMilli: 0,
      healthy: false,
      ailment: "Xid 79",
    },
  ],
  cpu: 8,
  cpuFree: 4,
  memory: 32_768,
  memoryFree: 16_384,
  disk: 0,
  diskFree: 0,
  containers: 0,
  provision: null,
  joinedAt: AT,
  seenAt: AT,
  ...some,
});

describe("berth pools", () => {
  it("makes a pool of what the options say", async () => {
    const args = [
      "pools",
      "create",
      "gpu",
      "--provider",
      "local",
      "--max",
      "4",
      "--cpu",
      "8",
      "--memory",
      "32GiB",
    ];
    const more = [
      "--gpus",
      "2xL4",
      "--labels",
      "zone=a",
      "--cost",
      "1.5",
      "--idle-timeout",
      "2m",
      "--devices",
      "0,1",
    ];
    const { code, asked, out } = await berth([...args, ...more], () => json(pool(), 201));
    assert.equal(code, 0);
    assert.deepEqual([asked[0]!.method, asked[0]!.path], ["POST", "/v1/pools"]);
    const l4 = { model: "L4", vramMiB: 24_576 };
    assert.deepEqual(JSON.parse(asked[0]!.body), {
      name: "gpu",
      provider: "local",
      max: 4,
      costPerHour: 1.5,
      idleTimeout: "2m",
      shape: { cpu: 8, memory: 32_768, gpus: [l4, l4], labels: { zone: "a" } },
      config: { devices: ["0", "1"] },
    });
    assert.match(out, /^grows +from 0 to 4 nodes, kept by host:\/data\/nodes$/m);
    assert.match(out, /^each has +1xL4:24GiB, 8 cores, 32 GiB, zone=a$/m);
  });

  it("changes a part of the shape, and leaves the rest", async () => {
    const answer: Answer = ({ method }) => json(method === "GET" ? pool() : pool({ max: 6 }));
    const { asked } = await berth([
      "pools",
      "set",
      "gpu",
      "--max",
      "6",
      "--memory",
      "64GiB",
      "--gpus",
      "none",
    ], answer);
    assert.deepEqual(JSON.parse(asked[1]!.body), { max: 6, shape: { ...SHAPE, memory: 65_536, gpus: [] } });
  });

  it("refuses what can't be read before it asks", async () => {
    const create = ["pools", "create", "gpu", "--provider", "local"];
    const cases: [string[], RegExp][] = [
      [[...create, "--max", "many"], /Cannot read "many": it must be a number/],
      [[...create, "--cpu", "2"], /say at least --cpu and --memory/],
      [[...create, "--gpus", "lots"], /Cannot read GPUs "lots"/],
      [[...create, "--memory", "much"], /Cannot read memory "much"/],
      [[...create, "--labels", "zone"], /Cannot read labels "zone"/],
      [["pools", "create", "gpu"], /--provider/],
      [["join", "nowhere"], /Cannot join "nowhere": expected the URL/],
    ];
    for (const [args, error] of cases) {
      const { code, err, asked } = await berth(args, () => json({}));
      assert.deepEqual([code, asked.length], [2, 0], args.join(" "));
      assert.match(err, error);
    }
  });

  it("lists pools with those on their way, and why one does not grow", async () => {
    const failure = { message: "no capacity", at: AT };
    const { out } = await berth(["pools"], () => json({ items: [pool({ failure })] }));
    assert.match(out, /^gpu +local +active +2 \+ 1 +0–4 +0\.5\/2 +no capacity$/m);
  });

  it("shows a pool with the nodes it was asked for", async () => {
    const provision = {
      id: "prov_1",
      pool: "gpu",
      state: "failed",
      node: null,
      external: "process 7",
      reason: "for demo/train",
      error: "it did not join within 5m",
      requestedAt: AT,
      deadlineAt: AT,
      endedAt: AT,
    };
    const answer: Answer = ({ path }) => json(path.includes("provisions") ? { items: [provision] } : pool());
    const { out } = await berth(["pools", "show", "gpu"], answer);
    assert.match(out, /failed +– +process 7 +it did not join within 5m$/m);
    const { out: text } = await berth(["pools", "show", "gpu", "--json"], answer);
    assert.deepEqual(JSON.parse(text), { ...pool(), provisions: [provision] });
  });

  it("gives a token on stdout alone, and says what to do with it", async () => {
    const answer: Answer = () => json({ token: "join_x", pool: "gpu", expiresAt: AT }, 201);
    const { out, err, asked } = await berth(["pools", "token", "gpu", "--expires", "10m"], answer);
    assert.equal(out, "join_x\n");
    assert.match(err, /berth join http:\/\/berth\.test --token join_x/);
    assert.deepEqual([asked[0]!.path, JSON.parse(asked[0]!.body)], ["/v1/pools/gpu/tokens", {
      expiresIn: "10m",
    }]);
  });

  it("drains, resumes and deletes", async () => {
    for (
      const [args, method, path] of [
        ["drain", "POST", "/v1/pools/gpu/drain"],
        ["resume", "POST", "/v1/pools/gpu/resume"],
        ["delete", "DELETE", "/v1/pools/gpu"],
      ] as const
    ) {
      const { code, asked } = await berth(
        ["pools", args, "gpu"],
        () => json({ ...pool({ state: "draining" }), pool: "gpu" }),
      );
      assert.deepEqual([code, asked[0]!.method, asked[0]!.path], [0, method, path]);
    }
  });
});

describe("berth nodes", () => {
  it("lists nodes with GPUs that are out of service, of one pool when asked", async () => {
    const { out, asked } = await berth(
      ["nodes", "--pool", "gpu"],
      () => json({ items: [node({ cordoned: true })] }),
    );
    assert.match(out, /^box +gpu +up, cordoned +1\/2 L4 \(1 out of service\)/m);
    assert.match(asked[0]!.path, /pool=gpu/);
  });

  it("shows one with the health of its GPUs", async () => {
    const { out } = await berth(["nodes", "show", "box"], () => json(node()));
    assert.match(out, /^ +0 +L4 +24 GiB +1 +well$/m);
    assert.match(out, /^ +1 +L4 +24 GiB +0 +out of service: Xid 79$/m);
  });

  it("drains one and waits until it is empty", async () => {
    const left = [2, 1, 0];
    const answer: Answer = ({ method }) =>
      json(node({ state: "draining", containers: method === "POST" ? 2 : left.shift()! }));
    const clock = new ManualClock();
    const draining = berth(["nodes", "drain", "box"], answer, { clock });
    await clock.advance(5_000);
    const { code, out, asked } = await draining;
    assert.deepEqual([code, out], [0, "box draining, 0 containers\n"]);
    assert.deepEqual(asked.map(({ method, path }) => `${method} ${path}`), [
      "POST /v1/nodes/box/drain",
      ...Array(3).fill("GET /v1/nodes/node_1"),
    ]);
  });

  it("does not wait when told so, or when interrupted", async () => {
    const answer: Answer = () => json(node({ state: "draining", containers: 2 }));
    const hasty = await berth(["nodes", "drain", "box", "--no-wait"], answer);
    assert.deepEqual([hasty.code, hasty.out], [0, "box draining, 2 containers\n"]);
    const stopped = await berth(["nodes", "drain", "box"], answer, {
      interrupted: () => AbortSignal.abort(),
    });
    assert.equal(stopped.code, 130);
  });

  it("takes a GPU out and puts it back", async () => {
    const out = await berth(["nodes", "gpu", "box", "1", "--out", "--reason", "noisy"], () => json(node()));
    assert.equal(out.asked[0]!.path, "/v1/nodes/box/gpus/1");
    assert.deepEqual(JSON.parse(out.asked[0]!.body), { out: true, reason: "noisy" });
    const back = await berth(["nodes", "gpu", "box", "1", "--in"], () => json(node()));
    assert.deepEqual(JSON.parse(back.asked[0]!.body), { out: false });
    assert.equal((await berth(["nodes", "gpu", "box", "1"], () => json(node()))).code, 2);
  });

  it("cordons, uncordons, resumes and deletes", async () => {
    for (const move of ["cordon", "uncordon", "resume", "delete"]) {
      const { code, asked } = await berth(["nodes", move, "box"], () => json(node()));
      const expected = move === "delete" ? ["DELETE", "/v1/nodes/box"] : ["POST", `/v1/nodes/box/${move}`];
      assert.deepEqual([code, asked[0]!.method, asked[0]!.path], [0, ...expected]);
    }
  });
});
