import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { choices, fit } from "../../scheduler/fit.ts";
import type { Need, Node } from "../../scheduler/model.ts";
import { type Holding, type Room, roomOf } from "../../scheduler/room.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { dice, gpus, need, node } from "../setup/snapshots.ts";

const NEEDS: readonly Need[] = [
  need(),
  need({ cpuMilli: 900, memoryMiB: 3_000 }),
  need({ gpu: parseGpu("H100"), cpuMilli: 700 }),
  need({ gpu: parseGpu("H100:2"), diskMiB: 30_000 }),
  need({ gpu: parseGpu("L4:0.3") }),
  need({ gpu: parseGpu("L4:0.81"), cpuMilli: 300 }),
  need({ gpu: parseGpu(["L4:2", "any>=80GiB"]), cpuMilli: 1_500 }),
  need({ gpu: parseGpu("H100|L4:0.5"), labels: { zone: "eu" } }),
];
const MIX = NEEDS.map((need, i) => ({ need, weight: 1 + i }));

function drawNodes(seed: number): Node[] {
  const { upTo, pick } = dice(seed);
  return Array.from({ length: 2 + upTo(8) }, (_, i) => {
    const all = Array.from({ length: pick([0, 1, 2, 4]) }, () => 1000);
    const models = pick([["H100"], ["L4"], ["L4", "H100"]]);
    return node({
      id: `n${i}`,
      pool: pick(["p", "q"]),
      cordoned: upTo(9) === 0,
      labels: pick([{}, { zone: "eu" }]),
      costPerHour: pick([1, 2]),
      gpus: gpus("L4", ...all).map((gpu, at) => ({
        ...gpu,
        model: models[at % models.length]!,
        vramMiB: pick([40_960, 81_920]),
        healthy: upTo(9) > 0,
      })),
    });
  });
}

/** What each need would get. */
const answers = (room: Room) =>
  NEEDS.map((wanted) => {
    const found = room.find(wanted, null);
    return found === null
      ? null
      : [found.node.id, ...found.gpus.map(({ index, milli }) => `${index}:${milli}`)];
  });

const couldFit = (wanted: Need, nodes: readonly Node[]): boolean =>
  nodes.some((where) => choices(wanted).some((choice) => fit(wanted, choice, where) !== null));

describe("Room", () => {
  it("finds a place exactly when a node fits, and only one that does (300 seeds)", () => {
    let placed = 0, refused = 0;
    for (let seed = 0; seed < 300; seed++) {
      const { pick } = dice(seed);
      const room = roomOf(drawNodes(seed), [], MIX);
      for (let i = 0; i < 30; i++) {
        const wanted = pick(NEEDS), nodes = room.nodes();
        const found = room.find(wanted, null);
        assert.equal(found !== null, couldFit(wanted, nodes), `seed ${seed}, step ${i}`);
        if (found === null) {
          refused++;
          continue;
        }
        placed++;
        const where = nodes.find(({ id }) => id === found.node.id)!;
        assert.ok(couldFit(wanted, [where]));
        for (const { index, milli } of found.gpus) assert.ok(where.gpus[index]!.milliFree >= milli);
        room.take(found, wanted);
      }
    }
    assert.ok(placed > 1_000 && refused > 1_000);
  });

  it("answers after any takes and gives as one that is built anew does (150 seeds)", () => {
    for (let seed = 0; seed < 150; seed++) {
      const { pick, upTo } = dice(seed);
      const room = roomOf(drawNodes(seed), [], MIX);
      const held: Holding[] = [];
      for (let i = 0; i < 25; i++) {
        const wanted = pick(NEEDS);
        const found = room.find(wanted, null);
        if (found !== null) {
          room.take(found, wanted);
          held.push({ ...wanted, node: found.node.id, gpus: found.gpus });
        }
        if (held.length > 0 && upTo(2) === 0) room.give(held.splice(upTo(held.length - 1), 1)[0]!);
        assert.deepEqual(answers(room), answers(roomOf(room.nodes(), [], MIX)), `seed ${seed}, step ${i}`);
      }
      for (const one of held) room.give(one);
      assert.deepEqual(room.nodes(), roomOf(drawNodes(seed), [], MIX).nodes(), `seed ${seed}`);
    }
  });

  it("takes back what was attempted and came to nothing", () => {
    const room = roomOf(drawNodes(7), [], MIX);
    const before = room.nodes(), said = answers(room);
    const result = room.attempt(() => {
      for (const wanted of NEEDS) {
        const found = room.find(wanted, null);
        if (found !== null) room.take(found, wanted);
      }
      assert.notDeepEqual(room.nodes(), before);
      return null;
    });
    assert.equal(result, null);
    assert.deepEqual(room.nodes(), before);
    assert.deepEqual(answers(room), said);
  });

  it("leaves alone what nodes it was made of", () => {
    const nodes = drawNodes(3), copy = structuredClone(nodes);
    const room = roomOf(nodes, [], MIX);
    for (const wanted of NEEDS) {
      const found = room.find(wanted, null);
      if (found !== null) room.take(found, wanted);
    }
    assert.deepEqual(nodes, copy);
  });
});
