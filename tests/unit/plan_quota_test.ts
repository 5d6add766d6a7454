/** What plan() makes of quotas, limits, shares and priorities; whole stories are in tests/stories. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { planViolations } from "../../scheduler/check_plan.ts";
import type { Container, Fn, Plan, Snapshot } from "../../scheduler/model.ts";
import { plan } from "../../scheduler/plan.ts";
import { PREEMPT_WINDOW_MS } from "../../scheduler/preempt.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { container, fn, gpus, node, NOW, snapshot, workspace } from "../setup/snapshots.ts";

function planOf(some: Partial<Snapshot>): Plan {
  let ids = 0;
  const whole = snapshot(some), made = plan(whole, NOW, (prefix) => `${prefix}_${++ids}`);
  assert.deepEqual(planViolations(whole, made, NOW), []);
  return made;
}
const ends = (some: Partial<Snapshot>) =>
  planOf(some).end.map(({ container, preemptAt, reason }) =>
    `${preemptAt === undefined ? "" : `within ${preemptAt - NOW} `}${container}: ${reason}`
  );
const reasonOf = (id: number, made: Plan) => made.waiting.find((one) => one.functionId === id)?.reason;

const GPU = { gpu: parseGpu("H100") };
const asking = (some: Parameters<typeof fn>[0] = {}, priority = 50): Fn =>
  fn({
    id: 2,
    name: "asks",
    workspace: "b",
    need: GPU,
    ...some,
    demand: {
      queued: 1,
      queuedSince: NOW - 60_000,
      priority,
      levels: [{ priority, queued: 1, since: NOW - 60_000 }],
    },
  });
const working = (some: Parameters<typeof fn>[0] = {}, calls = 1): Fn =>
  fn({ name: "works", workspace: "a", need: GPU, demand: { leased: calls }, ...some });
const busy = (id: string, index: number, some: Partial<Container> = {}): Container =>
  container({ id, leased: 1, gpus: [{ index, milli: 1000 }], createdAt: NOW - 5_000, ...some });
const full = (n: number) => [node({ gpus: gpus("H100", ...Array<number>(n).fill(0)) })];

describe("plan() preempts", () => {
  const low = { preemptible: true, preemptNoticeMs: 7_000 };
  const one = { nodes: full(1), workspaces: [workspace({ id: "a" }), workspace({ id: "b" })] };

  it("less important work that may be cut short, with notice", () => {
    const made = { ...one, functions: [working(low), asking({}, 60)], containers: [busy("c", 0)] };
    assert.deepEqual(ends(made), [
      "within 7000 c: gives way to demo/asks: priority 60 comes before 50",
    ]);
  });

  it("not work that is as important; and lets what may not be cut short end its calls", () => {
    const made = (works: Fn, priority: number) =>
      ends({ ...one, functions: [works, asking({}, priority)], containers: [busy("c", 0)] });
    assert.deepEqual(made(working(low), 50), []);
    assert.deepEqual(made(working(), 60), ["c: gives way to demo/asks: priority 60 comes first"]);
  });

  it("nothing whose calls gave way a while ago", () => {
    const made = (ms: number) =>
      planOf({
        ...one,
        functions: [working(low), asking({}, 60)],
        containers: [busy("c", 0, { preemptedAt: NOW - ms })],
      }).end.map((ending) => ending.preemptAt);
    assert.deepEqual(made(PREEMPT_WINDOW_MS), [NOW + 7_000]);
    assert.deepEqual(made(PREEMPT_WINDOW_MS - 1), [undefined]); // it ends its calls first
  });

  it("nothing when that would not make it fit", () => {
    const pair = asking({ need: { gpu: parseGpu("H100:2") } }, 90);
    const nodes = [
      node({ id: "node_1", gpus: gpus("H100", 0) }),
      node({ id: "node_2", gpus: gpus("H100", 0) }),
    ];
    const containers = [busy("c1", 0), busy("c2", 0, { node: "node_2" })];
    assert.deepEqual(ends({ ...one, nodes, functions: [working(low, 2), pair], containers }), []);
  });

  it("as few and as little important ones as will do, and the youngest of those", () => {
    const containers = [
      busy("important", 0, { priority: 40 }),
      busy("old", 1, { priority: 10, createdAt: NOW - 9_000 }),
      busy("young", 2, { priority: 10, createdAt: NOW - 1_000 }),
    ];
    const made = { ...one, nodes: full(3), functions: [working(low, 3), asking({}, 60)], containers };
    assert.deepEqual(planOf(made).end.map((ending) => ending.container), ["young"]);
  });

  it("not again while the room is on its way", () => {
    const leaving = busy("gone", 0, { desired: "drain", drainingAt: NOW, preemptAt: NOW + 5_000 });
    const made = planOf({
      ...one,
      nodes: full(2),
      functions: [working(low, 2), asking({}, 60)],
      containers: [leaving, busy("c", 1)],
    });
    assert.deepEqual(made.end, []);
    assert.equal(
      reasonOf(2, made),
      "waits for a container that gives way, by 2026-01-01T12:00:05.000Z at the latest",
    );
  });

  it("and stops who has not left when the notice is over", () => {
    const late = (preemptAt: number) =>
      planOf({
        ...one,
        functions: [working(low), asking({}, 60)],
        containers: [busy("c", 0, { desired: "drain", drainingAt: NOW - 7_000, preemptAt })],
      }).end.map(({ desired, reason }) => `${desired}: ${reason}`);
    assert.deepEqual(late(NOW), ["stop: its notice is over"]);
    assert.deepEqual(late(NOW + 1), []);
  });

  it("nothing for a function whose starts fail", () => {
    const failing = asking({ startFailures: { count: 1, lastAt: NOW - 60_000, message: "boom" } }, 60);
    assert.deepEqual(ends({ ...one, functions: [working(low), failing], containers: [busy("c", 0)] }), []);
  });
});

describe("plan() lends and takes back", () => {
  const workspaces = [
    workspace({ id: "a", gpuQuotaMilli: 1000 }),
    workspace({ id: "b", gpuQuotaMilli: 2000 }),
  ];
  const two = [busy("c1", 0), busy("c2", 1, { createdAt: NOW - 1_000 })];

  it("what is borrowed, of lower or equal or higher priority, and no more", () => {
    for (const priority of [0, 50, 99]) {
      const containers = two.map((one) => ({ ...one, priority }));
      const functions = [working({ preemptible: true }, 2), asking()];
      assert.deepEqual(ends({ workspaces, nodes: full(2), functions, containers }), [
        "within 30000 c2: workspace b takes back what it lent, for demo/asks",
      ]);
    }
  });

  it("by draining what may not be cut short", () => {
    const made = planOf({
      workspaces,
      nodes: full(2),
      functions: [working({}, 2), asking()],
      containers: two,
    });
    assert.deepEqual(made.end.map(({ container, desired, preemptAt }) => [container, desired, preemptAt]), [
      ["c2", "drain", undefined],
    ]);
    assert.equal(reasonOf(2, made), "waits for 1 GPU lent to workspace a to come back");
  });

  it("nothing for what would itself be borrowed", () => {
    const mine = { ...two[0]!, functionId: 3 }, theirs = two[1]!;
    const functions = [
      working({ preemptible: true }),
      asking(),
      working({ id: 3, name: "own", workspace: "b" }),
    ];
    const poor = [workspace({ id: "a", gpuQuotaMilli: 1000 }), workspace({ id: "b", gpuQuotaMilli: 1000 })];
    assert.deepEqual(ends({ workspaces: poor, nodes: full(2), functions, containers: [mine, theirs] }), []);
  });

  it("places what is promised before what would be borrowed", () => {
    const nodes = [node({ gpus: gpus("H100", 1000) })];
    const functions = [asking({ id: 1, workspace: "a", name: "urgent" }, 90), asking({ workspace: "b" }, 10)];
    const rich = [workspace({ id: "a" }), workspace({ id: "b", gpuQuotaMilli: 1000 })];
    assert.deepEqual(planOf({ workspaces: rich, nodes, functions }).start.map((one) => one.functionId), [2]);
  });
});

describe("plan() keeps limits", () => {
  const workspaces = [workspace({ id: "a" }), workspace({ id: "b", gpuLimitMilli: 1000 })];

  it("though there is room", () => {
    const nodes = [node({ gpus: gpus("H100", 1000, 1000, 1000) })];
    const many = asking({ id: 2 });
    const functions = [{ ...many, demand: { ...many.demand, queued: 3, levels: [] } }];
    const made = planOf({ workspaces, nodes, functions });
    assert.equal(made.start.length, 1);
    const full = planOf({
      workspaces,
      nodes,
      functions: [{ ...functions[0]!, demand: { ...functions[0]!.demand, leased: 1 } }],
      containers: [busy("c", 0, { functionId: 2 })],
    });
    assert.equal(
      reasonOf(2, full),
      "1 container is busy; for another: its workspace uses 1 of its limit of 1 GPU",
    );
  });

  it("by taking what is cheaper of a list, if that is within", () => {
    const nodes = [node({ gpus: [...gpus("H100", 1000, 1000), { ...gpus("L4", 1000)[0]!, index: 2 }] })];
    const functions = [asking({ need: { gpu: parseGpu(["H100:2", "L4"]) } })];
    assert.deepEqual(planOf({ workspaces, nodes, functions }).start.map(({ gpus }) => gpus), [[{
      index: 2,
      milli: 1000,
    }]]);
  });

  it("and lets an idle container of the same workspace go for another", () => {
    const nodes = [node({ gpus: gpus("H100", 0, 1000) })];
    const idle = fn({ id: 3, name: "idle", workspace: "b", need: GPU });
    const made = planOf({
      workspaces,
      nodes,
      functions: [asking(), idle],
      containers: [container({ id: "c", functionId: 3, gpus: [{ index: 0, milli: 1000 }] })],
    });
    assert.deepEqual([made.start, made.end.map(({ container }) => container)], [[], ["c"]]);
  });

  it("and lets none go in vain", () => {
    const nodes = [node({ gpus: gpus("L4", 0) })];
    const idle = fn({ id: 3, name: "idle", workspace: "b", need: { gpu: parseGpu("L4") } });
    const containers = [container({ id: "c", functionId: 3, gpus: [{ index: 0, milli: 1000 }] })];
    assert.deepEqual(ends({ workspaces, nodes, functions: [asking(), idle], containers }), []);
  });
});

describe("plan() moves", () => {
  const nodes = [
    node({ id: "node_1", gpus: gpus("H100", 0, 1000) }),
    node({ id: "node_2", gpus: gpus("H100", 0, 1000) }),
  ];
  const kept = fn({ id: 1, name: "kept", workspace: "a", need: GPU, scale: { min: 1 } });
  const pair = asking({ need: { gpu: parseGpu("H100:2") } });
  const at = { gpus: [{ index: 0, milli: 1000 }], createdAt: NOW - 600_000 };
  const other = busy("other", 0, { functionId: 3, node: "node_2", createdAt: NOW - 600_000 });
  const functions = [kept, pair, working({ id: 3, name: "other" })];
  const workspaces = [workspace({ id: "a" }), workspace({ id: "b" })];

  it("an idle container that is kept, when room is only in pieces", () => {
    const made = planOf({ nodes, functions, workspaces, containers: [container({ id: "c", ...at }), other] });
    assert.deepEqual(made.start.map(({ functionId, node, reason }) => [functionId, node, reason]), [
      [1, "node_2", "moves from node_1 to make room for demo/asks"],
    ]);
    assert.deepEqual(made.end.map(({ container, reason }) => `${container} ${reason}`), [
      "c moves to node_2 to make room for demo/asks",
    ]);
    assert.equal(reasonOf(2, made), "waits for another container to move elsewhere");
  });

  it("none that has just come, or that has nowhere to go", () => {
    const young = container({ id: "c", ...at, createdAt: NOW - 1_000 });
    assert.deepEqual(planOf({ nodes, functions, workspaces, containers: [young, other] }).start, []);
    const full = [nodes[0]!, node({ id: "node_2", gpus: gpus("H100", 0, 0) })];
    const containers = [container({ id: "c", ...at }), other];
    assert.deepEqual(planOf({ nodes: full, functions, workspaces, containers }).end, []);
  });
});
