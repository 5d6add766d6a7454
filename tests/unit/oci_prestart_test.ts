import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { type Ahead, Prestarted } from "../../runner/engines/oci/prestarted.ts";
import {
  mayBeCreated,
  mayWait,
  plainRecipe,
  type Recipe,
  withoutValues,
} from "../../runner/engines/oci/recipe.ts";
import { wantedCreated, wantedWaiting } from "../../runner/engines/oci/waiting.ts";
import type { GuestExit } from "../../runner/engine.ts";
import { silentLog } from "../../sdk/ports.ts";
import type { Assignment } from "../../sdk/protocol.ts";
import type { PlacedVolume } from "../../runner/volumes.ts";
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

describe("wantedCreated()", () => {
  const all = "abcdefghijk".split("").map((key) => ({ key }));

  it("wants one of what was used last and does not wait", () => {
    assert.deepEqual([...wantedCreated(all.slice(0, 3), new Map([["b", 2]]))], ["a", "c"]);
    assert.deepEqual([...wantedCreated(all, new Map())].join(""), "abcdefgh");
    assert.deepEqual([...wantedCreated(all, new Map([["a", 1]]))].join(""), "bcdefghi");
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

  it("is false, and mayBeCreated() true, of what holds something only once it has started", () => {
    for (const recipe of [like({}, { gpus: [{ index: 0, milli: 500 }] }), { ...plain, volumes: [VOLUME] }]) {
      assert.deepEqual([mayWait(recipe, [gpu]), mayBeCreated(recipe)], [false, true]);
    }
    const never = [
      like({ body: "server" }),
      like({ egress: ["models.example:443"] }),
      like({}, { gang: { id: "g", rank: 0, size: 2 } }),
    ];
    for (const recipe of never) assert.ok(!mayBeCreated(recipe));
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

class Fake implements Ahead {
  readonly #ended = Promise.withResolvers<GuestExit>();
  released = false;
  readonly #program = { runs: true, exited: this.#ended.promise, usage: () => ({ cpuUs: 0, memoryMiB: 40 }) };
  readonly image = IMAGE;

  constructor(readonly recipe: string, readonly how: "started" | "created") {}

  get program() {
    return this.how === "started" ? this.#program : null;
  }

  end(): void {
    this.#program.runs = false;
    this.#ended.resolve({ code: 1, signal: null });
  }

  release(): Promise<void> {
    this.released = true;
    return Promise.resolve();
  }
}

const IMAGE = "deno:1";

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
    imageOf: () => IMAGE,
    mayWait: ({ volumes }) => volumes.length === 0,
    make: async ({ assignment: { spec } }, how) => {
      await settle();
      const recipe = `${spec.body} ${spec.memory}`;
      if (fails.has(recipe)) throw new Error("not now");
      made.push(new Fake(recipe, how));
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
  const those = (how: Fake["how"]) => made.filter((one) => one.how === how);
  const names = (how: Fake["how"] = "started") => those(how).map(({ recipe }) => recipe);
  return { prestarted, made, those, fails, clock, fill, pass, names };
}

const VOLUME: PlacedVolume = {
  id: "vol_1",
  name: "data",
  storage: "node",
  path: "/data",
  readOnly: false,
  folder: "/v",
  place: "/data",
};

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
    const { prestarted, those, fill, names } = setup(100);
    await fill();
    prestarted.remember(withMemory(96));
    await fill(); // 50 MiB each, once it was measured
    assert.deepEqual(names(), ["ts 512", "ts 512", "ts 96"]);
    assert.deepEqual(those("started").map(({ released }) => released), [false, true, false]);
    prestarted.remember(withMemory(128));
    await fill();
    assert.deepEqual(names().slice(3), ["ts 128"]);
    assert.deepEqual(those("started").map(({ released }) => released), [true, true, false, false]);
    assert.deepEqual(names("created"), ["ts 512"]); // which lost its place
  });

  it("starts nothing without a budget, and creates what was used before", async () => {
    const { prestarted, made, fill, names } = setup(0);
    await fill();
    assert.equal(made.length, 0);
    prestarted.remember(withMemory(96));
    prestarted.remember(withMemory(128));
    await fill();
    assert.deepEqual([names(), names("created")], [[], ["ts 128", "ts 96"]]);
    assert.equal(prestarted.take(withMemory(96)), made[1]);
    assert.equal(prestarted.take(withMemory(96)), null);
    prestarted.remember(withMemory(96));
    await fill();
    assert.deepEqual([names("created").slice(2), prestarted.size], [["ts 96"], 0]);
  });

  it("creates what may not wait, and keeps to those used last", async () => {
    const { prestarted, fill, those, names } = setup(1_000);
    const holding = (memory: number): Recipe => ({ ...withMemory(memory), volumes: [VOLUME] });
    for (let i = 1; i <= 9; i++) prestarted.remember(holding(100 + i));
    await fill();
    assert.deepEqual(names("created"), [109, 108, 107, 106, 105, 104, 103, 102].map((mib) => `ts ${mib}`));
    prestarted.remember(holding(101));
    await fill();
    const there = those("created").filter(({ released }) => !released).map(({ recipe }) => recipe);
    assert.deepEqual([there.length, there.includes("ts 101"), there.includes("ts 102")], [8, true, false]);
  });

  it("lets go of what was made of an image, until that is used again", async () => {
    const { prestarted, fill, made } = setup(60);
    prestarted.remember(withMemory(96));
    await fill();
    assert.deepEqual(made.map(({ how }) => how), ["created", "started"]);
    assert.deepEqual([prestarted.of(IMAGE), prestarted.of("other:1")], [2, 0]);
    await prestarted.letGo(IMAGE);
    assert.ok(made.every(({ released }) => released));
    await fill();
    assert.deepEqual([prestarted.of(IMAGE), made.length], [0, 2]);
    prestarted.remember(withMemory(96));
    await fill();
    assert.deepEqual([prestarted.of(IMAGE), prestarted.size], [1, 1]);
  });

  it("gives none that has ended, and replaces it a little later", async () => {
    const { prestarted, made, fill, pass } = setup(50);
    await fill();
    made[0]!.program!.runs = false; // nobody has told yet
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
