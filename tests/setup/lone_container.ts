/** A container by itself, with a guest made of lines that a test says, in time that stands still. */
import type { z } from "zod";
import { NodeApi } from "../../runner/api.ts";
import { Container } from "../../runner/container.ts";
import { Leases } from "../../runner/leases.ts";
import { Outbox } from "../../runner/outbox.ts";
import { silentLog } from "../../sdk/ports.ts";
import { FunctionSpec, type Json } from "../../sdk/protocol.ts";
import { ManualClock, settle } from "./manual_clock.ts";
import { ScriptedEngine } from "./scripted_guest.ts";

export const GRACE_MS = 5_000;
export const HELLO = { t: "hello", protocol: 1, pid: 7 };
export const READY = { t: "ready" };

/** One container with a guest that the test speaks for. */
export async function loneContainer(
  { spec = {}, starts = true, engine = new ScriptedEngine() }: {
    spec?: Partial<z.input<typeof FunctionSpec>>;
    starts?: boolean;
    engine?: ScriptedEngine;
  } = {},
) {
  const clock = new ManualClock();
  const outbox = new Outbox();
  const leases = new Leases();
  const api = new NodeApi(
    { address: { origin: "http://berth" }, fetch: () => Promise.reject(new Error("away")), clock },
    { id: "node_1", credential: "credential" },
  );
  let changes = 0;
  const methods = [{ name: "fn", kind: "call" }, {
    name: "web",
    kind: "endpoint",
    endpoint: { name: "web" },
  }] as const;
  const container = new Container({
    id: "ctr_1",
    desired: "run",
    app: "test",
    deployment: "dep_1",
    bundle: "0".repeat(64),
    external: [],
    gpus: [],
    volumes: [],
    spec: FunctionSpec.parse({ name: "fn", kind: "function", body: "ts", entry: "fn", methods, ...spec }),
  }, {
    api,
    engine,
    clock,
    outbox,
    log: silentLog,
    graceMs: GRACE_MS,
    retire: (_, guest) => guest.release(),
    changed: () => void changes++,
    hungry: () => {},
  });
  const ran = container.run();
  await settle();
  const guest = engine.guests[0]!;
  let claims = 0;
  const world = {
    container,
    engine,
    guest,
    ran,
    clock,
    changes: () => changes,
    say: async (...frames: (Record<string, unknown> | string)[]) => {
      guest.say(...frames);
      await settle();
    },
    give: (...inputs: Json[]) => {
      const claim = {
        lease: ++claims,
        container: "ctr_1",
        batch: 1,
        lo: 0,
        attempt: 1,
        method: "fn",
        inputs,
      };
      const lease = leases.open(claim, clock.now())!;
      container.give(lease);
      return lease;
    },
    pass: async (ms: number) => {
      await clock.advance(ms);
      container.tick(clock.now());
      await settle();
    },
    reports: () => [...outbox.take()?.reports.values() ?? []].flat(),
    exit: () => container.observed.exit,
  };
  if (starts && guest !== undefined) await world.say(HELLO, READY);
  return world;
}
