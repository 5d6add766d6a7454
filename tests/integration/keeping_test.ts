/** Keeping pools: provisions in a real database, machines that are pretended, and whoever keeps them dying in between. */
import { describe, it } from "@std/testing/bdd";
import assert from "node:assert/strict";
import { createKeeping, KEEP_MS } from "../../scheduler/providers/loop.ts";
import type { Provider } from "../../scheduler/providers/provider.ts";
import type { Pool } from "../../scheduler/store/connect.ts";
import { insertPool } from "../../scheduler/store/pools.ts";
import { askFor, release } from "../../scheduler/store/provisions.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { realRandom, silentLog } from "../../sdk/ports.ts";
import { ManualClock } from "../setup/manual_clock.ts";
import { testDatabase } from "../setup/postgres.ts";
import { Fate, mortalPool, mortalProvider, PretendProvider } from "../setup/pretend_provider.ts";
import { insertContainers, insertFunction } from "../setup/world.ts";

const START = Date.UTC(2026, 0, 1);
const SETTINGS = {
  provider: "local",
  min: 0,
  max: 5,
  shape: { cpu: 4, memory: 8_192, disk: 0, gpus: [], labels: {} },
  costPerHour: 0,
  idleTimeout: "5m",
  provisionTimeout: "5m",
  config: { poolSize: 0 },
} as const;

async function setup() {
  const db = await testDatabase();
  const clock = new ManualClock(START);
  const provider = new PretendProvider();
  const now = () => new Date(clock.now());
  await insertPool(db.sql, now(), "grows", {
    ...SETTINGS,
    shape: { ...SETTINGS.shape, gpus: [], labels: {} },
  });
  const keeping = (
    { keeper = "me", sql = db.sql, of = provider as Provider }: Partial<
      { keeper: string; sql: Pool; of: Provider }
    > = {},
  ) =>
    createKeeping({
      sql,
      clock,
      log: silentLog,
      wakes: new LocalWakes(),
      providers: { local: of },
      keeper,
      newToken: () => {
        const token = realRandom.bytes(8).toHex();
        return { token, hash: `hash of ${token}` };
      },
    });
  return {
    sql: db.sql,
    clock,
    provider,
    keeping,
    now,
    ask: (...ids: string[]) =>
      askFor(
        db.sql,
        now(),
        ids.map((id) => ({ id, pool: "grows", deadlineAt: clock.now() + 300_000, reason: "test" })),
      ),
    release: (provision: string, event: "release" | "cancel" | "fail" = "release") =>
      db.sql.begin((tx) => release(tx, now(), [{ provision, event, reason: "idle" }])),
    states: async () => {
      const rows = await db.sql<{ id: string; state: string; error: string | null }[]>`
        select id, state, error from provision order by id`;
      return rows.map(({ id, state, error }) => `${id} ${state}${error === null ? "" : `: ${error}`}`);
    },
    /** A node that joined for a provision. */
    join: async (provision: string) => {
      await insertContainers(db.sql, await insertFunction(db.sql), ["c1"]);
      await db.sql`
        update node set provision_id = ${provision}, pool = 'grows', cpu_milli_free = 7900, memory_mib_free = 7900`;
      await db.sql`update provision set state = 'joined', node_id = 'node_1' where id = ${provision}`;
    },
    [Symbol.asyncDispose]: () => db[Symbol.asyncDispose](),
  };
}

describe("keeping a pool", () => {
  it("starts what is asked for, with a token of its own, and stops what is given back", async () => {
    await using world = await setup();
    const { provider, keeping, states, sql } = world;
    await world.ask("prov_1", "prov_2");
    await keeping().pass("local");
    assert.deepEqual(await states(), ["prov_1 starting", "prov_2 starting"]);
    const { order } = provider.machines.get("prov_1")!;
    assert.deepEqual([order.pool, order.shape.cpuMilli, order.config], ["grows", 4_000, { poolSize: 0 }]);
    const [token] =
      await sql`select pool, provision_id, expires_at from join_token where hash = ${`hash of ${order.token}`}`;
    assert.deepEqual(token, { pool: "grows", provisionId: "prov_1", expiresAt: new Date(START + 300_000) });

    await world.join("prov_1");
    await sql`update container set exited_at = ${world.now()}, observed = 'exited'`;
    await world.release("prov_1");
    await world.release("prov_2", "cancel");
    for (let i = 0; i < 2; i++) await keeping().pass("local");
    assert.deepEqual(await states(), ["prov_1 released", "prov_2 released"]);
    assert.deepEqual(provider.story, ["start prov_1", "start prov_2", "stop prov_1", "stop prov_2"]);
    assert.deepEqual((await sql`select state from node`)[0], { state: "left" });
  });

  it("notes why a provider can't, and is not kept from the others by it", async () => {
    await using world = await setup();
    world.provider.refusal = "no capacity";
    await world.ask("prov_1");
    await world.keeping().pass("local");
    assert.deepEqual(await world.states(), ["prov_1 failed: no capacity"]);
  });

  it("notes that a machine has ended: its containers are lost at once, its node has left", async () => {
    await using world = await setup();
    const { provider, keeping, sql } = world;
    await world.ask("prov_1");
    await keeping().pass("local");
    await world.join("prov_1");
    provider.crash("prov_1", "killed");
    await keeping().pass("local");
    assert.deepEqual(await world.states(), ["prov_1 failed: its machine ended: killed"]);
    assert.deepEqual((await sql`select state from node`)[0], { state: "left" });
    assert.deepEqual((await sql`select observed from container`)[0], { observed: "lost" });
    await keeping().pass("local");
    assert.equal(provider.machines.size, 0, "what is left of it is cleared away");
  });

  it("stops machines of provisions that were given up", async () => {
    await using world = await setup();
    const { provider, keeping } = world;
    await world.ask("prov_1");
    await keeping().pass("local");
    await world.release("prov_1", "fail");
    provider.stubborn = true;
    for (let i = 0; i < 3; i++) await keeping().pass("local");
    provider.stubborn = false;
    await keeping().pass("local");
    assert.deepEqual(provider.story, ["start prov_1", "stop prov_1"]);
  });

  it("is with one process at a time; another takes over when it has been silent", async () => {
    await using world = await setup();
    const { keeping, clock, states } = world;
    await keeping({ keeper: "first" }).pass("local");
    await world.ask("prov_1");
    await clock.advance(KEEP_MS - 1);
    await keeping({ keeper: "second" }).pass("local");
    assert.deepEqual(await states(), ["prov_1 requested"]);
    await clock.advance(1);
    await keeping({ keeper: "second" }).pass("local");
    assert.deepEqual(await states(), ["prov_1 starting"]);
    await world.ask("prov_2");
    await keeping({ keeper: "first" }).pass("local");
    assert.deepEqual(await states(), ["prov_1 starting", "prov_2 requested"]);
  });

  it("does nothing with what it knew before it stood still", async () => {
    await using world = await setup();
    const { keeping, clock, provider } = world;
    const frozen: Provider = {
      list: async () => {
        const machines = await provider.list();
        await clock.advance(KEEP_MS);
        await world.ask("prov_1");
        await keeping({ keeper: "other" }).pass("local");
        return machines;
      },
      start: (order) => provider.start(order),
      stop: (machine) => provider.stop(machine),
    };
    await keeping({ of: frozen }).pass("local");
    assert.deepEqual(await world.states(), ["prov_1 starting"]);
    assert.deepEqual(provider.story, ["start prov_1"]);
  });

  for (const when of ["before", "after"] as const) {
    it(`survives being killed ${when} each of its steps, without a machine too many or one that is forgotten`, async () => {
      for (let n = 1, died = true; died; n++) {
        await using world = await setup();
        const { provider, keeping, states } = world;
        const fate = new Fate(n, when);
        const mortal = () =>
          keeping({ sql: mortalPool(world.sql, fate), of: mortalProvider(provider, fate) }).pass("local")
            .catch(() => {});
        await world.ask("prov_1");
        for (let i = 0; i < 2; i++) await mortal();
        await keeping().pass("local");
        assert.deepEqual(await states(), ["prov_1 starting"], `killed at step ${n}`);
        assert.deepEqual(provider.story, ["start prov_1"], `killed at step ${n}`);
        await world.release("prov_1", "cancel");
        for (let i = 0; i < 3; i++) await mortal();
        for (let i = 0; i < 2; i++) await keeping().pass("local");
        assert.deepEqual(await states(), ["prov_1 released"], `killed at step ${n}`);
        assert.deepEqual(provider.story, ["start prov_1", "stop prov_1"], `killed at step ${n}`);
        died = fate.dead;
        assert.ok(n < 100, "it never ends alive");
      }
    });
  }
});
