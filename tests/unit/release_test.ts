import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Fn, Node, Provision, Snapshot } from "../../scheduler/model.ts";
import { poolPlan } from "../../scheduler/pools.ts";
import { LOST_MS } from "../../scheduler/release.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { container, fn, gpus, node, NOW, pool, provision, snapshot } from "../setup/snapshots.ts";

const IDLE_MS = 60_000;
const grows = pool({ idleTimeoutMs: IDLE_MS });

/** Nodes 1, 2, … with their provisions; each has been empty for so long. */
function empty(
  forMs: readonly number[],
  some: Partial<Node> = {},
): { nodes: Node[]; provisions: Provision[] } {
  const id = (i: number) => ({ node: `node_${i + 1}`, provision: `prov_${i + 1}` });
  return {
    nodes: forMs.map((ms, i) =>
      node({ id: id(i).node, provision: id(i).provision, pool: "grows", emptiedAt: NOW - ms, ...some })
    ),
    provisions: forMs.map((_, i) => provision({ id: id(i).provision, node: id(i).node, state: "joined" })),
  };
}

function leaving(
  some: Partial<Snapshot>,
  { wanting = [], occupied = [], now = NOW }: { wanting?: Fn[]; occupied?: string[]; now?: number } = {},
): string[] {
  const plan = poolPlan({
    snapshot: snapshot({ pools: [grows], ...some }),
    unplaced: [],
    wanting,
    occupied: new Set(occupied),
    now,
    newId: () => "prov_new",
  });
  return [
    ...plan.drainNodes.map((id) => `drain ${id}`),
    ...plan.release.map(({ provision, event, reason }) => `${event} ${provision}: ${reason}`),
  ];
}
const IDLE = ["drain node_1", "release prov_1: its node was idle"];

describe("poolPlan() gives nodes back", () => {
  it("that have been empty for the idle timeout, and no sooner", () => {
    assert.deepEqual(leaving(empty([IDLE_MS])), IDLE);
    assert.deepEqual(leaving(empty([IDLE_MS - 1])), []);
  });

  it("down to min, the longest empty first", () => {
    const pools = [pool({ ...grows, min: 2 })];
    assert.deepEqual(leaving({ pools, ...empty([IDLE_MS, IDLE_MS + 1, IDLE_MS]) }), [
      "drain node_2",
      "release prov_2: its node was idle",
    ]);
  });

  it("not with a container on them, nor with one that is about to start there", () => {
    assert.deepEqual(leaving({ ...empty([IDLE_MS]), containers: [container()] }), []);
    assert.deepEqual(leaving(empty([IDLE_MS]), { occupied: ["node_1"] }), []);
  });

  it("not while something waits that fits on them; but what fits nowhere there does not keep them", () => {
    assert.deepEqual(leaving(empty([IDLE_MS]), { wanting: [fn()] }), []);
    assert.deepEqual(leaving(empty([IDLE_MS]), { wanting: [fn({ need: { gpu: parseGpu("H100") } })] }), IDLE);
    assert.deepEqual(
      leaving(empty([IDLE_MS], { gpus: gpus("H100", 1000) }), {
        wanting: [fn({ need: { gpu: parseGpu("H100") } })],
      }),
      [],
    );
  });

  it("not when somebody has cordoned them; but when somebody drained them", () => {
    assert.deepEqual(leaving(empty([IDLE_MS], { cordoned: true })), []);
    assert.deepEqual(leaving(empty([IDLE_MS], { state: "draining" })), ["release prov_1: its node was idle"]);
    assert.deepEqual(leaving(empty([1_000], { state: "draining" })), []);
  });

  it("never those that joined by themselves", () => {
    const { nodes } = empty([IDLE_MS], { provision: null });
    assert.deepEqual(leaving({ nodes }), []);
  });

  it("at once where max has been lowered, as far as they are empty", () => {
    const pools = [pool({ ...grows, max: 1 })];
    assert.deepEqual(leaving({ pools, ...empty([10, 20, 30]) }).length, 4);
    assert.deepEqual(leaving({ pools, ...empty([10, 20]), containers: [container()] }), [
      "drain node_2",
      "release prov_2: its node was idle",
    ]);
  });

  it("once, and wakes the scheduler for the next", () => {
    const { nodes } = empty([IDLE_MS], { state: "draining" });
    const releasing = [provision({ state: "releasing", node: "node_1" })];
    assert.deepEqual(leaving({ nodes, provisions: releasing }), []);
    const { wakeAt } = poolPlan({
      snapshot: snapshot({ pools: [grows], ...empty([1_000]) }),
      unplaced: [],
      wanting: [],
      occupied: new Set(),
      now: NOW,
      newId: () => "",
    });
    assert.equal(wakeAt, NOW + IDLE_MS - 1_000);
  });
});

describe("poolPlan() gives provisions up", () => {
  it("whose node was lost a minute ago, or is no more", () => {
    const lost = (agoMs: number) => empty([0], { state: "lost", leaseUntil: NOW - agoMs });
    assert.deepEqual(leaving(lost(LOST_MS - 1)), []);
    assert.deepEqual(leaving(lost(LOST_MS)), ["fail prov_1: its node was lost"]);
    assert.deepEqual(leaving({ nodes: [], provisions: empty([0]).provisions }), [
      "fail prov_1: its node was lost",
    ]);
  });
});

describe("poolPlan() of a pool that drains", () => {
  const pools = [pool({ ...grows, state: "draining", min: 2 })];

  it("drains all nodes, and releases each as soon as it is empty", () => {
    const containers = [container()];
    assert.deepEqual(leaving({ pools, ...empty([0, 0]), containers }), [
      "drain node_1",
      "drain node_2",
      "release prov_2: its pool drains",
    ]);
    assert.deepEqual(leaving({ pools, ...empty([0], { state: "draining" }) }), [
      "release prov_1: its pool drains",
    ]);
  });

  it("drains nodes that joined by themselves", () => {
    assert.deepEqual(leaving({ pools, nodes: empty([0], { provision: null }).nodes }), ["drain node_1"]);
  });

  it("cancels what has not joined", () => {
    const provisions = [provision(), provision({ id: "prov_2", state: "starting" })];
    assert.deepEqual(leaving({ pools, nodes: [], provisions }), [
      "cancel prov_1: its pool drains",
      "cancel prov_2: its pool drains",
    ]);
  });
});
