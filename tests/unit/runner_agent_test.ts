import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { Agent, JoinRefused } from "../../runner/agent.ts";
import { apiAddress } from "../../runner/address.ts";
import { RunnerApi } from "../../runner/api.ts";
import type { Engine, Guest, Spawn } from "../../runner/engine.ts";
import { GpuHealth } from "../../runner/gpu_health.ts";
import { type Random, silentLog } from "../../sdk/ports.ts";
import { FunctionSpec, type Gpu } from "../../sdk/protocol.ts";
import { ManualClock, settle } from "../setup/manual_clock.ts";
import { ScriptedEngine, ScriptedGuest } from "../setup/scripted_guest.ts";
import { NO_VOLUMES } from "../setup/no_volumes.ts";

const MACHINE = {
  name: "n",
  pool: "default",
  host: "h",
  cpu: 4,
  memory: 1_024,
  gpus: [],
  disk: 0,
  labels: {},
  address: "n",
};

interface Asked {
  readonly token?: string;
  readonly session?: string;
  readonly engine?: { readonly away: string | null };
  readonly ailingGpus?: readonly { readonly index: number; readonly ailment: string }[];
}
type Answer = (verb: string, body: Asked) => Response | null;

const NO_PROGRAMS = {} as Spawn;

/** An agent whose requests the test answers; null is a lost connection. Long polls that are answered with `park` wait for ever. */
function setup(
  answer: Answer,
  {
    orphaned = (): boolean => false,
    tokens = ["token"],
    gpus = [] as Gpu[],
    drill = { text: "" },
    engine = new ScriptedEngine() as Engine,
  } = {},
) {
  const clock = new ManualClock();
  const asked: string[] = [];
  let seeds = 0;
  const random: Random = { next: () => 0, bytes: (n) => new Uint8Array(n).fill(++seeds) };
  const fetch = (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const verb = new URL(url).pathname.split("/")[4] ?? "join";
    const body = JSON.parse(String(init.body));
    asked.push(verb === "join" ? `join ${body.token} ${body.session.slice(0, 2)}` : verb);
    const response = answer(verb, body);
    if (response === null) return Promise.reject(new Error("connection refused"));
    if (response.status !== 299) return Promise.resolve(response);
    return new Promise((_, reject) =>
      init.signal!.addEventListener("abort", () => reject(new Error("aborted")))
    );
  };
  const joined: string[] = [];
  const health = new GpuHealth({
    gpus,
    spawn: NO_PROGRAMS,
    drill: () => Promise.resolve(drill.text),
    clock,
    log: silentLog,
  });
  const agent = new Agent({
    api: new RunnerApi({ address: apiAddress("http://berth"), fetch, clock }),
    engine,
    machine: MACHINE,
    clock,
    random,
    log: silentLog,
    tokens: () => Promise.resolve(tokens),
    lastSession: () => Promise.resolve(undefined),
    joined: ({ node }) => {
      joined.push(node.credential);
      return Promise.resolve();
    },
    orphaned,
    health,
    volumes: NO_VOLUMES,
    graceMs: 100,
    drainMs: 100,
  });
  const state = { over: false };
  const ran = agent.run().then(() => {
    state.over = true;
  });
  return { agent, clock, asked, joined, ran, state };
}

const JOINED = () => Response.json({ id: "node_1", credential: "credential" });
const PARKED = () => new Response(null, { status: 299 });

/** An answer that wants one container, once; later ones want nothing. */
function wanting(): Answer {
  const methods = [{ name: "fn", kind: "call" }];
  const spec = FunctionSpec.parse({ name: "fn", kind: "function", body: "ts", entry: "fn", methods });
  const container = { id: "ctr_1", app: "test", deployment: "dep_1", bundle: "0".repeat(64), spec };
  const wanted = { ...container, desired: "run", external: [], gpus: [] };
  let syncs = 0;
  return (verb) => {
    if (verb === "join") return JOINED();
    if (verb !== "sync" || syncs++ > 0) return PARKED();
    return Response.json({ revision: 1, containers: [wanted], execs: [], leave: false });
  };
}

describe("Agent that leaves", () => {
  it("waits for what was about to start, so that nothing of it stays", async () => {
    const started = Promise.withResolvers<Guest>();
    const engine = Object.assign(new ScriptedEngine(), { start: () => started.promise });
    const { agent, clock, ran, state } = setup(wanting(), { engine });
    await settle();
    agent.stop();
    await clock.advance(6_000); // the farewell, and goodbye
    assert.equal(state.over, false);
    const guest = new ScriptedGuest();
    started.resolve(guest.asGuest());
    await settle();
    assert.equal(guest.killed, 1);
    await clock.advance(0);
    assert.equal(state.over, true);
    await ran;
  });

  it("waits until what has exited is removed, and not for ever", async () => {
    const guest = new ScriptedGuest();
    const stuck = { ...guest.asGuest(), release: () => new Promise<void>(() => {}) };
    const engine = Object.assign(new ScriptedEngine(), { start: () => Promise.resolve(stuck) });
    const { agent, clock, ran, state } = setup(wanting(), { engine });
    await settle();
    agent.stop();
    await clock.advance(6_000);
    assert.equal(guest.killed > 0, true);
    assert.equal(state.over, false);
    await clock.advance(5_000);
    assert.equal(state.over, true);
    await ran;
  });
});

describe("Agent", () => {
  it("tries until the api is there, with growing pauses", async () => {
    let tries = 0;
    const { agent, clock, asked, ran } = setup((verb) =>
      verb !== "join" ? PARKED() : tries++ < 3 ? null : JOINED()
    );
    await clock.advance(49);
    assert.equal(asked.length, 1);
    await clock.advance(1 + 100 + 200);
    assert.deepEqual(asked.slice(0, 4), Array(4).fill("join token 01"));
    assert.deepEqual(asked.slice(4).sort(), ["exchange", "sync"]);
    agent.stop();
    await clock.advance(1_000);
    await ran;
  });

  it("joins with the token when its credential is refused, and keeps the new one", async () => {
    const refuse = () => Response.json({ error: { message: "unknown" } }, { status: 401 });
    const { agent, clock, asked, joined, ran } = setup(
      (verb, { token }) => verb !== "join" ? PARKED() : token === "old" ? refuse() : JOINED(),
      { tokens: ["old", "token"] },
    );
    await settle();
    await settle();
    assert.deepEqual(asked.slice(0, 2), ["join old 01", "join token 01"]);
    assert.deepEqual(joined, ["credential"]);
    agent.stop();
    await clock.advance(1_000);
    await ran;
  });

  it("joins anew, as another session, when the api no longer knows the one it has", async () => {
    let known = true;
    const { agent, clock, asked, ran } = setup((verb) => {
      if (verb === "join") return JOINED();
      if (known) known = false;
      else return PARKED();
      return Response.json({ error: { message: "over" } }, { status: 409 });
    });
    await clock.advance(2_000);
    assert.deepEqual(asked.filter((one) => one.startsWith("join")), ["join token 01", "join token 02"]);
    agent.stop();
    await clock.advance(1_000);
    await ran;
  });

  it("ends when its parent is gone and the api has been silent for 30 s, not before", async () => {
    let orphan = false;
    const { clock, state, ran } = setup((verb) => verb === "join" ? JOINED() : null, {
      orphaned: () => orphan,
    });
    await clock.advance(60_000);
    assert.equal(state.over, false);
    orphan = true;
    await clock.advance(1_000);
    await ran;
    assert.equal(state.over, true);
  });

  it("goes on without its parent while the api answers", async () => {
    const sync = () => Response.json({ revision: 1, containers: [] });
    const { agent, clock, state, ran } = setup(
      (verb) => verb === "join" ? JOINED() : verb === "sync" ? sync() : PARKED(),
      { orphaned: () => true },
    );
    await clock.advance(3_000);
    for (let i = 0; i < 40; i++) await clock.advance(1_000);
    assert.equal(state.over, false);
    agent.stop();
    await clock.advance(1_000);
    await ran;
  });

  const refuse = (status: number, message: string) => Response.json({ error: { message } }, { status });

  it("gives up when its first token is refused, or it is no longer wanted, and says why", async () => {
    for (
      const [status, message] of [[401, "the token expired"], [403, "no longer wanted"], [
        400,
        "wrong pool",
      ]] as const
    ) {
      const { ran } = setup(() => refuse(status, message));
      await assert.rejects(ran, (error: Error) => error instanceof JoinRefused && error.message === message);
    }
    await assert.rejects(setup(() => null, { tokens: [] }).ran, /there is no token/);
  });

  it("tries again when a pool drains, and when its credential was good before", async () => {
    let joins = 0;
    const { agent, clock, ran } = setup((verb) => {
      if (verb !== "join") return refuse(409, "over");
      return [refuse(409, "the pool drains"), JOINED(), refuse(401, "unknown"), JOINED()][joins++] ??
        PARKED();
    });
    await clock.advance(10_000);
    assert.ok(joins >= 4);
    agent.stop();
    await clock.advance(10_000);
    await ran;
  });

  it("ends in order when it is told to leave", async () => {
    const leave = () => Response.json({ revision: 1, containers: [], leave: true });
    const { clock, state, ran } = setup((verb) =>
      verb === "join" ? JOINED() : verb === "sync" ? leave() : PARKED()
    );
    await clock.advance(5_000);
    await ran;
    assert.equal(state.over, true);
  });

  it("tells at once that a GPU fails, and that it is well again", async () => {
    const told: string[] = [];
    const drill = { text: "" };
    const gpus = [{ index: 0, model: "L4", vramMiB: 24_576, simulated: true }];
    const { agent, clock, ran } = setup((verb, { ailingGpus = [] }) => {
      if (verb === "sync") told.push(ailingGpus.map(({ ailment }) => ailment).join());
      return verb === "join" ? JOINED() : PARKED();
    }, { gpus, drill });
    await clock.advance(2_000);
    drill.text = "0 it smokes";
    await clock.advance(2_000);
    assert.equal(told.at(-1), "it smokes");
    agent.stop();
    await clock.advance(5_000);
    await ran;
  });

  it("tells at once that its container engine is away, and ends with the reason when that is wrong for good", async () => {
    const told: unknown[] = [];
    const changes: (() => void)[] = [], broken = Promise.withResolvers<void>();
    const containers = { away: null as string | null, only: true };
    const engine = Object.assign(new ScriptedEngine(), {
      containers,
      watch: (_: AbortSignal, changed: () => void) => (changes.push(changed), broken.promise),
    });
    const { clock, ran } = setup((verb, { engine }) => {
      if (verb === "sync") told.push(engine?.away);
      return verb === "join" ? JOINED() : PARKED();
    }, { engine });
    await clock.advance(100);
    containers.away = "/sock: gone";
    changes[0]!();
    await clock.advance(100);
    assert.deepEqual(told, [null, "/sock: gone"]);
    const ended = assert.rejects(ran, /no such runtime/);
    broken.reject(new TypeError("no such runtime"));
    await clock.advance(5_000);
    await ended;
  });

  it("tells a guest that has ended once the platform has heard of it", async () => {
    const guest = new ScriptedGuest();
    let forgotten = 0;
    const heard = { ...guest.asGuest(), forgotten: () => void forgotten++ };
    const engine = Object.assign(new ScriptedEngine(), { start: () => Promise.resolve(heard) });
    const first = wanting(), hears = { it: false };
    let syncs = 0;
    const { agent, clock, ran } = setup((verb, body) => {
      if (verb !== "sync" || syncs++ === 0) return first(verb, body);
      return hears.it ? Response.json({ revision: 2, containers: [], execs: [], leave: false }) : null;
    }, { engine });
    await clock.advance(100);
    guest.exit(1);
    await clock.advance(1_000);
    assert.equal(forgotten, 0);
    hears.it = true;
    await clock.advance(5_000);
    assert.equal(forgotten, 1);
    agent.stop();
    await clock.advance(10_000);
    await ran;
  });

  it("ends when it is told to while it joins", async () => {
    const { agent, clock, ran } = setup(() => null);
    await clock.advance(500);
    agent.stop();
    await clock.advance(2_000);
    await ran;
  });
});

describe("apiAddress()", () => {
  it("refuses what is no address", () => {
    for (const text of ["", "localhost:80", "ftp://x", "unix:relative"]) {
      assert.throws(() => apiAddress(text), /Cannot use api address/, text);
    }
    assert.equal(apiAddress("http://h:1/path").origin, "http://h:1");
  });
});
