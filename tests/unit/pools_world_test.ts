/** Pools through pretended time, by chance: providers that deliver, dawdle or fail, demand that comes and goes, nodes that are lost. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import type { Container, Fn, Node, Pool, Provision } from "../../scheduler/model.ts";
import { poolPlan } from "../../scheduler/pools.ts";
import { next, provisionMachine } from "../../scheduler/states.ts";
import { container, dice, fn, node, NOW, pool, provision, snapshot } from "../setup/snapshots.ts";

const STEP_MS = 1_000;
/** A copy takes a whole node. */
const WHOLE = { cpuMilli: 8_000 };

class World {
  now = NOW;
  pools: Pool[];
  provisions: Provision[] = [];
  nodes: Node[] = [];
  containers: Container[] = [];
  /** Copies that ought to run. */
  wanted = 0;
  readonly #dice: ReturnType<typeof dice>;
  #ids = 0;

  constructor(seed: number) {
    this.#dice = dice(seed);
    const { pick, upTo } = this.#dice;
    this.pools = ["a", "b", "c"].map((name) =>
      pool({
        name,
        min: pick([0, 0, 1]),
        max: 1 + upTo(4),
        costPerHour: upTo(3),
        idleTimeoutMs: 5_000,
        provisionTimeoutMs: 8_000,
      })
    );
  }

  /** One step of everybody: the scheduler, the providers, the work. */
  step({ faults }: { faults: boolean }): void {
    this.#place();
    const waiting = this.wanted - this.containers.length;
    const lacking: Fn[] = waiting > 0 ? [fn({ need: WHOLE })] : [];
    const world = {
      snapshot: snapshot({
        pools: this.pools,
        provisions: this.provisions,
        nodes: this.nodes,
        containers: this.containers,
      }),
      unplaced: lacking.map((one) => ({ fn: one, count: waiting })),
      wanting: lacking,
      occupied: new Set<string>(),
      now: this.now,
    };
    const ids = this.#ids;
    const plan = poolPlan({ ...world, newId: () => `prov_${++this.#ids}` });
    let again = ids;
    assert.deepEqual(
      poolPlan({ ...world, newId: () => `prov_${++again}` }),
      plan,
      "it decides the same from the same",
    );
    for (const one of lacking) assert.ok(plan.reasons.has(one.id), "who waits is told why");
    for (const { provision: id, event, reason } of plan.release) this.#release(id, event, reason);
    this.nodes = this.nodes.map((one) =>
      plan.drainNodes.includes(one.id) ? { ...one, state: "draining" } : one
    );
    this.provisions.push(
      ...plan.ask.map(({ id, pool, deadlineAt }) =>
        provision({ id, pool, requestedAt: this.now, deadlineAt })
      ),
    );
    this.#check();
    this.#provide(faults);
    this.now += STEP_MS;
  }

  /** Runs what is wanted where there is room, and ends what is not. */
  #place(): void {
    while (this.containers.length > this.wanted) this.#free(this.containers.pop()!);
    const free = this.nodes.filter(({ id, state }) =>
      state === "up" && this.containers.every((one) => one.node !== id)
    );
    for (const { id } of free.slice(0, this.wanted - this.containers.length)) {
      this.containers.push(container({ id: `c_${id}_${this.now}`, node: id }));
    }
  }

  #free({ node: id }: Container): void {
    this.nodes = this.nodes.map((one) => one.id === id ? { ...one, emptiedAt: this.now } : one);
  }

  #release(id: string, event: "release" | "cancel" | "fail", reason: string): void {
    const one = this.provisions.find((one) => one.id === id)!;
    const state = next(provisionMachine, one.state, event) as Provision["state"];
    assert.ok(state !== null, `${one.state} → ${event}`);
    assert.ok(
      event === "fail" || this.containers.every(({ node }) => node !== one.node),
      "nobody is put out",
    );
    if (event === "fail") this.#fail(one, reason);
    else this.provisions = this.provisions.map((other) => other.id === id ? { ...other, state } : other);
  }

  #fail(one: Provision, message: string): void {
    this.#forget(one);
    if (one.state === "joined") return;
    this.pools = this.pools.map((pool) =>
      pool.name === one.pool
        ? { ...pool, failures: { count: (pool.failures?.count ?? 0) + 1, lastAt: this.now, message } }
        : pool
    );
  }

  #forget({ id, node: gone }: Provision): void {
    this.provisions = this.provisions.filter((one) => one.id !== id);
    this.nodes = this.nodes.filter((one) => one.id !== gone);
    this.containers = this.containers.filter(({ node }) => node !== gone);
  }

  /** Providers take their time, fail, and take back; nodes are lost. */
  #provide(faults: boolean): void {
    for (const one of this.provisions) {
      const luck = this.#dice.next();
      if (one.state === "releasing") this.#forget(one);
      else if (one.state === "joined") faults && luck < 0.02 && this.#lose(one);
      else if (faults && luck < 0.2) this.#fail(one, "no capacity");
      else if (luck < (faults ? 0.4 : 0.8)) this.#join(one);
    }
  }

  #join(one: Provision): void {
    const id = `node_${one.id}`;
    this.nodes.push(
      node({ id, pool: one.pool, provision: one.id, emptiedAt: this.now, leaseUntil: Infinity }),
    );
    this.provisions = this.provisions.map((other) =>
      other.id === one.id ? { ...other, state: "joined", node: id } : other
    );
    this.pools = this.pools.map((pool) => pool.name === one.pool ? { ...pool, failures: null } : pool);
  }

  #lose({ node: id }: Provision): void {
    this.nodes = this.nodes.map((one) =>
      one.id === id ? { ...one, state: "lost", leaseUntil: this.now } : one
    );
    this.containers = this.containers.filter(({ node }) => node !== id);
  }

  #check(): void {
    for (const { name, max } of this.pools) {
      assert.ok(
        this.provisions.filter((one) => one.pool === name).length <= max,
        `${name} has more than ${max}`,
      );
    }
  }
}

describe("poolPlan() in 60 worlds by chance", () => {
  it("keeps within max, puts nobody out, serves what it can and goes back to min", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const world = new World(seed), { upTo } = dice(seed + 1_000);
      for (let i = 0; i < 150; i++) {
        if (i % 10 === 0) world.wanted = upTo(8);
        world.step({ faults: true });
      }
      world.wanted = Math.min(3, world.pools.reduce((sum, { max }) => sum + max, 0));
      for (let i = 0; i < 400; i++) world.step({ faults: false });
      assert.equal(world.containers.length, world.wanted, `seed ${seed}: all that is wanted runs`);
      world.wanted = 0;
      for (let i = 0; i < 30; i++) world.step({ faults: false });
      for (const { name, min } of world.pools) {
        const left = world.provisions.filter((one) => one.pool === name).length;
        assert.equal(left, min, `seed ${seed}: ${name} is back at its min`);
      }
    }
  });
});
