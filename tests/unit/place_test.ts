import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { choices, fit } from "../../scheduler/fit.ts";
import type { Container, Need, Node } from "../../scheduler/model.ts";
import { place, type Placement, type Request } from "../../scheduler/place.ts";
import { type Room, roomOf } from "../../scheduler/room.ts";
import { parseGpu } from "../../sdk/gpu.ts";
import { container, dice, gpus, need, node } from "../setup/snapshots.ts";

const asks = (gpu: string | string[], some: Partial<Need> = {}) => need({ gpu: parseGpu(gpu), ...some });

type Givers = readonly (readonly Container[])[];

function placed(room: Room, wanted: Need, some: Partial<Request<Container>> = {}): Placement<Container> {
  return place({ need: wanted, digest: null, givers: [], holdingsOf: (one) => [one], ...some }, room);
}

/** Where it went, or who has to leave, or why not. */
const told = (placement: Placement<Container>): string[] => {
  if (placement.kind === "placed") return placement.places.map(({ node }) => node.id);
  return placement.kind === "soon"
    ? ["soon", ...placement.evicted.map(({ id }) => id)]
    : ["blocked", placement.reason];
};

const holding = (id: string, where: string, ...shares: [index: number, milli: number][]) =>
  container({
    id,
    node: where,
    cpuMilli: 0,
    memoryMiB: 0,
    gpus: shares.map(([index, milli]) => ({ index, milli })),
  });

describe("place()", () => {
  it("takes the first choice that fits, and of the room what it placed", () => {
    const room = roomOf([
      node({ id: "a", gpus: gpus("L4", 1000) }),
      node({ id: "b", gpus: gpus("H100", 1000) }),
    ], []);
    const wanted = asks(["H100", "L4"]);
    assert.deepEqual([1, 2, 3].map(() => told(placed(room, wanted))), [["b"], ["a"], [
      "blocked",
      "needs 1 × H100; largest free node has 0; or needs 1 × L4; largest free node has 0",
    ]]);
  });

  it("gives a port of a node to one at a time, and waits for one that leaves", () => {
    const room = roomOf(
      [node({ id: "a" }), node({ id: "b", ports: [8_000] })],
      [container({ id: "c1", node: "b", port: 8_000 })],
    );
    const wanted = need({ port: 8_000 });
    assert.deepEqual(told(placed(room, need({ port: 8_001 }))).length, 1);
    assert.deepEqual(told(placed(room, wanted)), ["a"]);
    assert.deepEqual(told(placed(room, wanted)), ["soon"]);
    assert.equal(told(placed(room, wanted))[0], "blocked");
    room.give(container({ node: "a", port: 8_000 }));
    assert.deepEqual(told(placed(room, wanted)), ["a"]);
    assert.equal(
      room.attempt(() => {
        room.give(container({ node: "a", port: 8_000 }));
        return null;
      }),
      null,
    );
    assert.equal(told(placed(room, wanted))[0], "blocked");
  });

  it("waits for what leaves anyway, and keeps it", () => {
    const room = roomOf([node({ gpus: gpus("H100", 0, 1000) })], [holding("c1", "node_1", [0, 1000])]);
    assert.deepEqual(told(placed(room, asks("H100:2"))), ["soon"]);
    assert.deepEqual(told(placed(room, asks("H100"))), [
      "blocked",
      "needs 1 × H100; largest free node has 0",
    ]);
  });

  describe("lets others leave", () => {
    const full = () =>
      roomOf([node({ id: "a", gpus: gpus("H100", 0, 0) }), node({ id: "b", gpus: gpus("H100", 0, 0) })], []);
    const shares = [
      holding("a1", "a", [0, 500]),
      holding("a2", "a", [0, 500]),
      holding("a3", "a", [1, 1000]),
    ];
    const whole = [holding("b1", "b", [0, 1000]), holding("b2", "b", [1, 1000])];
    const cases: [string, Need, Givers, string[]][] = [
      ["one rather than two", asks("H100"), [[shares[0]!, shares[1]!, whole[1]!]], ["soon", "b2"]],
      ["those of one node", asks("H100:2"), [[shares[2]!, ...whole]], ["soon", "b1", "b2"]],
      ["none that is not needed", asks("H100"), [[shares[0]!, shares[2]!]], ["soon", "a3"]],
      ["the first line alone when it suffices", asks("H100"), [[whole[1]!], [whole[0]!]], ["soon", "b2"]],
      ["the second line on top of the first", asks("H100:2"), [[whole[1]!], [whole[0]!]], [
        "soon",
        "b2",
        "b1",
      ]],
      ["nobody in vain", asks("H100:2"), [[shares[0]!, whole[0]!]], [
        "blocked",
        "needs 2 × H100; largest free node has 0",
      ]],
    ];
    for (const [what, wanted, givers, expected] of cases) {
      it(what, () => {
        const room = full();
        const before = room.nodes();
        assert.deepEqual(told(placed(room, wanted, { givers })), expected);
        if (expected[0] === "blocked") assert.deepEqual(room.nodes(), before);
      });
    }

    it("and keeps the room for what they left it to", () => {
      const room = full();
      assert.deepEqual(told(placed(room, asks("H100"), { givers: [[whole[0]!]] })), ["soon", "b1"]);
      assert.equal(placed(room, asks("H100")).kind, "blocked");
    });

    it("does not look at a line before it needs it", () => {
      function* lines(): Generator<Container[]> {
        yield [whole[0]!];
        assert.fail("the second line is not needed");
      }
      assert.deepEqual(told(placed(full(), asks("H100"), { givers: lines() })), ["soon", "b1"]);
    });
  });
});

describe("place() of a gang", () => {
  const eight = (id: string, pool: string, ...free: number[]) =>
    node({ id, pool, gpus: gpus("H100", ...free) });

  it("is on distinct nodes of one pool, though another pool has the first node", () => {
    const room = roomOf([eight("a", "p", 1000), eight("b", "q", 1000), eight("c", "q", 1000)], []);
    assert.deepEqual(told(placed(room, asks("H100"), { nodes: 2 })), ["b", "c"]);
  });

  it("spans pools when no pool has enough", () => {
    const room = roomOf([eight("a", "p", 1000), eight("b", "q", 1000)], []);
    assert.deepEqual(told(placed(room, asks("H100"), { nodes: 2 })), ["a", "b"]);
  });

  it("has the same choice of GPU on all nodes", () => {
    const room = roomOf([
      eight("a", "p", 1000),
      node({ id: "b", gpus: gpus("L4", 1000) }),
      node({ id: "c", gpus: gpus("L4", 1000) }),
    ], []);
    assert.deepEqual(told(placed(room, asks(["H100", "L4"]), { nodes: 2 })), ["b", "c"]);
  });

  it("says how many nodes have room when they are too few, and takes nothing", () => {
    const room = roomOf([eight("a", "p", 1000, 1000), eight("b", "p", 0, 0)], []);
    assert.deepEqual(told(placed(room, asks("H100"), { nodes: 2 })), [
      "blocked",
      "needs 2 nodes at once; 1 has room",
    ]);
    assert.deepEqual(told(placed(room, asks("H100:2"))), ["a"]);
  });

  it("lets as few leave as make room on as many nodes, and keeps the free ones for it", () => {
    const room = roomOf([eight("a", "p", 1000), eight("b", "p", 0), eight("c", "p", 0)], []);
    const givers = [[
      holding("b1", "b", [0, 500]),
      holding("b2", "b", [0, 500]),
      holding("c1", "c", [0, 1000]),
    ]];
    assert.deepEqual(told(placed(room, asks("H100"), { nodes: 2, givers })), ["soon", "c1"]);
    assert.equal(placed(room, asks("H100")).kind, "blocked");
  });

  it("counts a gang that leaves once, on all its nodes", () => {
    const room = roomOf([eight("a", "p", 0), eight("b", "p", 0)], []);
    const gang = ["a", "b"].map((where) => holding(`g${where}`, where, [0, 1000]));
    const placement = place({
      need: asks("H100"),
      digest: null,
      nodes: 2,
      givers: [["gang"]],
      holdingsOf: () => gang,
    }, room);
    assert.equal(placement.kind, "soon");
    if (placement.kind !== "soon") return;
    assert.deepEqual(placement.evicted, ["gang"]);
    assert.deepEqual(placement.places.map(({ node }) => node.id), ["a", "b"]);
  });

  it("stays off the nodes that are excepted", () => {
    const room = roomOf([eight("a", "p", 1000), eight("b", "p", 1000)], []);
    assert.deepEqual(told(placed(room, asks("H100"), { except: new Set(["a"]) })), ["b"]);
    assert.equal(placed(room, asks("H100"), { except: new Set(["a"]) }).kind, "blocked");
  });

  it("is placed all or none, exactly when enough nodes fit (200 seeds)", () => {
    let whole = 0, none = 0;
    for (let seed = 0; seed < 200; seed++) {
      const { upTo, pick } = dice(seed);
      const nodes: Node[] = Array.from({ length: 2 + upTo(6) }, (_, i) =>
        node({
          id: `n${i}`,
          pool: pick(["p", "q"]),
          cpuMilliFree: 100 * upTo(8),
          gpus: gpus(
            pick(["H100", "L4"]),
            ...Array.from({ length: 1 + upTo(2) }, () => pick([0, 500, 1000, 1000])),
          ),
        }));
      const wanted = asks(pick([["H100"], ["L4:0.5", "H100:2"], ["any"]]), { cpuMilli: 100 });
      const size = 2 + upTo(1), room = roomOf(nodes, []);
      const fits = choices(wanted).some((choice) =>
        nodes.filter((where) => fit(wanted, choice, where) !== null).length >= size
      );
      const placement = placed(room, wanted, { nodes: size });
      assert.equal(placement.kind, fits ? "placed" : "blocked", `seed ${seed}`);
      if (placement.kind !== "placed") {
        none++;
        assert.deepEqual(room.nodes(), roomOf(nodes, []).nodes());
        continue;
      }
      whole++;
      assert.equal(new Set(placement.places.map(({ node }) => node.id)).size, size);
      const left = new Map(room.nodes().map((one) => [one.id, one]));
      for (const { node: { id, cpuMilliFree }, gpus } of placement.places) {
        assert.equal(left.get(id)!.cpuMilliFree, cpuMilliFree - 100);
        const before = nodes.find((one) => one.id === id)!;
        for (const { index, milli } of gpus) {
          assert.equal(left.get(id)!.gpus[index]!.milliFree, before.gpus[index]!.milliFree - milli);
        }
      }
    }
    assert.ok(whole > 30 && none > 30, `${whole} and ${none}`);
  });
});
