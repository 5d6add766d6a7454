import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Prestarted, type Waiting } from "../../runner/engines/oci/prestarted.ts";
import { mayWait, plainRecipe, type Recipe, withoutValues } from "../../runner/engines/oci/recipe.ts";
import { wantedWaiting } from "../../runner/engines/oci/waiting.ts";
import type { GuestExit } from "../../runner/engine.ts";
import { silentLog } from "../../sdk/ports.ts";
import type { Assignment } from "../../sdk/protocol.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";

describe("wantedWaiting()", () => {
  const kept = (key: string, memoryMiB: number) => ({ key, memoryMiB });

  it("wants one of each before the second of any, the last used first, within the budget", () => {
    const recent = [kept("a", 50), kept("b", 20)];
    assert.deepEqual([...wantedWaiting(recent, 140)], [["a", 2], ["b", 2]]);
    assert.deepEqual([...wantedWaiting(recent, 139)], [["a", 2], ["b", 1]]);
    assert.deepEqual([...wantedWaiting(recent, 70)], [["a", 1], ["b", 1]]);
    assert.deepEqual([...wantedWaiting(recent, 69)], [["a", 1]]);
    assert.deepEqual([...wantedWaiting(recent, 19)], []);
    assert.deepEqual([...wantedWaiting([], 100)], []);
  });

  it("wants none of what never fits, which keeps nothing else out", () => {
    assert.deepEqual([...wantedWaiting([kept("torch", 400), kept("a", 50)], 50)], [["a", 1]]);
  });
});

describe("mayWait()", () => {
  const plain = plainRecipe("python");
  const gpu = { index: 0, model: "L4", vramMiB: 24_576, simulated: false };
  const like = (spec: Partial<Assignment["spec"]>, more: Partial<Assignment> = {}): Recipe => ({
    ...plain,
    assignment: { ...plain.assignment, ...more, spec: { ...plain.assignment.spec, ...spec } },
  });

  it("is true of what anybody may have at any time", () => {
    assert.ok(mayWait(plain, [gpu]));
    assert.ok(mayWait(like({ egress: "deny", env: { A: "1" }, memory: 4_096 }), [gpu]));
    const gpus = [{ index: 0, milli: 500 }];
    assert.ok(mayWait(like({}, { gpus }), [{ ...gpu, simulated: true }]));
  });

  it("is false of what holds a GPU, is a rank or a server, or may reach some places only", () => {
    assert.ok(!mayWait(like({}, { gpus: [{ index: 0, milli: 500 }] }), [gpu]));
    assert.ok(!mayWait(like({}, { gang: { id: "g", rank: 0, size: 2 } }), []));
    assert.ok(!mayWait(like({ body: "server" }), []));
    assert.ok(!mayWait(like({ egress: ["models.example:443"] }), []));
  });
});

describe("withoutValues()", () => {
  it("keeps names, keys and folders of secrets", () => {
    const secrets = [{ name: "db", as: "files", path: "/run/db", values: { PASSWORD: "p" } }] as const;
    assert.deepEqual(withoutValues({ ...plainRecipe("ts"), secrets }).secrets, [
      { name: "db", as: "files", path: "/run/db", values: { PASSWORD: "" } },
    ]);
  });
});

class Fake implements Waiting {
  readonly #ended = Promise.withResolvers<GuestExit>();
  released = false;
  program = { runs: true, exited: this.#ended.promise, usage: () => ({ cpuUs: 0, memoryMiB: 40 }) };

  constructor(readonly recipe: string) {}

  end(): void {
    this.program.runs = false;
    this.#ended.resolve({ code: 1, signal: null });
  }

  release(): Promise<void> {
    this.released = true;
    return Promise.resolve();
  }
}

function setup(budgetMiB: number) {
  const clock = new ManualClock();
  const made: Fake[] = [];
  const fails = new Set<string>();
  const prestarted = new Prestarted<Fake>({
    budgetMiB,
    plain: [plainRecipe("ts")],
    clock,
    log: silentLog,
    keyOf: ({ assignment: { spec } }) => `${spec.body} ${spec.memory}`,
    launch: async ({ assignment: { spec } }) => {
      await settle();
      const recipe = `${spec.body} ${spec.memory}`;
      if (fails.has(recipe)) throw new Error("not now");
      made.push(new Fake(recipe));
      return made.at(-1)!;
    },
  });
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      await clock.advance(100);
      for (let i = 0; i < 4; i++) await settle();
    }
  };
  const fill = async () => {
    prestarted.fill();
    await pass(800);
  };
  return { prestarted, made, fails, clock, fill, pass, names: () => made.map(({ recipe }) => recipe) };
}

const withMemory = (memory: number): Recipe => {
  const { assignment, secrets } = plainRecipe("ts");
  return { secrets, volumes: [], assignment: { ...assignment, spec: { ...assignment.spec, memory } } };
};

describe("Prestarted", () => {
  it("starts what is plain at first, and gives each once, to its own recipe", async () => {
    const { prestarted, made, fill } = setup(100);
    await fill();
    assert.equal(prestarted.size, 2);
    assert.equal(prestarted.take(withMemory(96)), null);
    assert.equal(prestarted.take(plainRecipe("ts")), made[0]);
    assert.equal(prestarted.take(plainRecipe("ts")), made[1]);
    assert.equal(prestarted.take(plainRecipe("ts")), null);
  });

  it("makes room for what was used last", async () => {
    const { prestarted, made, fill, names } = setup(100);
    await fill();
    prestarted.remember(withMemory(96));
    await fill(); // 50 MiB each, once it was measured
    assert.deepEqual(names(), ["ts 512", "ts 512", "ts 96"]);
    assert.deepEqual(made.map(({ released }) => released), [false, true, false]);
    prestarted.remember(withMemory(128));
    await fill();
    assert.deepEqual(names().slice(3), ["ts 128"]);
    assert.deepEqual(made.map(({ released }) => released), [true, true, false, false]);
  });

  it("starts nothing without a budget", async () => {
    const { made, fill } = setup(0);
    await fill();
    assert.equal(made.length, 0);
  });

  it("gives none that has ended, and replaces it a little later", async () => {
    const { prestarted, made, fill, pass } = setup(50);
    await fill();
    made[0]!.program.runs = false; // nobody has told yet
    assert.equal(prestarted.take(plainRecipe("ts")), null);
    assert.ok(made[0]!.released);
    await fill();
    made[1]!.end();
    for (let i = 0; i < 9; i++) await settle();
    assert.deepEqual([prestarted.size, made.length, made[1]!.released], [0, 2, true]);
    await pass(2_000);
    assert.deepEqual([prestarted.size, made.length], [1, 3]);
  });

  it("goes on with others when one cannot be started", async () => {
    const { prestarted, fails, fill, pass, names } = setup(1_000);
    fails.add("ts 512");
    prestarted.remember(withMemory(96));
    await fill();
    assert.deepEqual(names(), ["ts 96", "ts 96"]);
    fails.clear();
    await pass(2_000);
    assert.deepEqual(names().slice(2), ["ts 512", "ts 512"]);
  });

  it("releases all when it is closed, also what is being made", async () => {
    const { prestarted, made, clock } = setup(1_000);
    prestarted.fill();
    await clock.advance(1_000);
    const closed = prestarted.close();
    await clock.advance(1_000);
    await closed;
    assert.ok(made.length > 0 && made.every(({ released }) => released));
    assert.equal(prestarted.size, 0);
  });
});
