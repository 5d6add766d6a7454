/** (t) One whole tick, from the lock to the commit, with 2,000 containers to place on the published trace's machines. */
import { migrate } from "../../migrations/migrate.ts";
import { createScheduler } from "../../scheduler/loop.ts";
import { commitPlan } from "../../scheduler/store/commit.ts";
import { connect, type Pool } from "../../scheduler/store/connect.ts";
import { enqueue } from "../../scheduler/store/calls.ts";
import { ensureWorkspace } from "../../scheduler/store/keys.ts";
import { lead } from "../../scheduler/store/leader.ts";
import { readSnapshot } from "../../scheduler/store/snapshot.ts";
import { plan } from "../../scheduler/plan.ts";
import { LocalWakes } from "../../scheduler/wakes.ts";
import { newId, realRandom, silentLog } from "../../sdk/ports.ts";
import { Scale } from "../../sdk/protocol.ts";
import { insertFunction, submission } from "../setup/world.ts";
import { type Finding, median, ms } from "./report.ts";
import { took } from "./times.ts";
import type { World } from "./world.ts";

/** Machines of the trace: how many, cores, GiB, GPUs, model. 1,213 nodes with 6,212 GPUs. */
const SHAPES = [
  [549, 96, 384, 8, "G2"],
  [387, 104, 512, 2, "T4"],
  [107, 16, 120, 2, "P100"],
  [39, 128, 768, 8, "G3"],
  [28, 32, 128, 4, "V100M16"],
  [22, 64, 256, 2, "P100"],
  [21, 96, 768, 8, "V100M32"],
  [19, 8, 32, 1, "V100M16"],
  [17, 96, 384, 4, "T4"],
  [9, 48, 368, 4, "V100M32"],
  [8, 64, 256, 8, "V100M16"],
  [7, 8, 60, 2, "P100"],
] as const;

/** Needs in about the trace's proportions. */
const NEEDS = [
  { cpu: 4, memory: 16_384, gpu: ["any"] },
  { cpu: 8, memory: 32_768, gpu: ["any:0.5"] },
  { cpu: 2, memory: 8_192, gpu: ["any:0.1"] },
  { cpu: 8, memory: 32_768, gpu: ["T4", "any"] },
  { cpu: 4, memory: 4_096, gpu: [] },
  { cpu: 6, memory: 16_384, gpu: ["any:0.8"] },
  { cpu: 64, memory: 262_144, gpu: ["G2:8", "G3:8"] },
  { cpu: 3, memory: 12_288, gpu: ["G2"] },
] as const;

const FUNCTIONS = 40;
const CONTAINERS = 2_000;
const ROUNDS = 7;
const TARGET_MS = 150;

export async function tick(world: World): Promise<Finding> {
  const { clock, scaled } = world;
  const url = await world.database("tick");
  const sql = connect(url, { max: 1, name: "bench tick" });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => sql.end({ timeout: 1 }));
  await fill(sql, new Date(clock.now()), scaled(CONTAINERS));

  const deps = { sql, clock, random: realRandom, log: silentLog, wakes: new LocalWakes() };
  const whole: number[] = [], parts: number[][] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await empty(sql, new Date(clock.now()));
    const scheduler = createScheduler(deps);
    whole.push(await took(() => scheduler.tick()));
    await empty(sql, new Date(clock.now()));
    parts.push(await inParts(sql, world));
  }
  const [{ placed }] = await sql<[{ placed: number }]>`select count(*)::int as placed from container`;
  const [read, decide, write] = [0, 1, 2].map((i) => median(parts.map((part) => part[i]!)));
  const figures = { tick: median(whole), read: read!, decide: decide!, write: write!, placed };
  return {
    bench: "t tick",
    what: `${placed.toLocaleString("en-US")} containers placed on 1,213 nodes with 6,212 GPUs in one tick`,
    value: ms(figures.tick),
    baseline: `read ${ms(read!)}, decide ${ms(decide!)}, write ${ms(write!)}`,
    target: `≤ ${TARGET_MS} ms`,
    ok: figures.tick <= TARGET_MS,
    figures,
  };
}

/** What one tick does, step by step: milliseconds to read, to decide, to write. */
async function inParts(pool: Pool, { clock }: World): Promise<number[]> {
  const now = clock.now();
  const at = [0];
  const id = (prefix: string) => newId(prefix, { clock, random: realRandom });
  await pool.begin(async (sql) => {
    await lead(sql);
    at[0] = performance.now();
    const snapshot = await readSnapshot(sql, new Date(now), { lastLease: null, hearingSince: 0 });
    at.push(performance.now());
    const made = plan(snapshot, now, id);
    at.push(performance.now());
    await commitPlan(sql, new Date(now), made);
  });
  at.push(performance.now());
  return at.slice(1).map((instant, i) => instant - at[i]!);
}

async function fill(sql: Pool, now: Date, containers: number): Promise<void> {
  await migrate(sql, now);
  await ensureWorkspace(sql, now, "default");
  await sql`insert into pool (name, provider, created_at) values ('default', 'static', ${now})`;
  const nodes = SHAPES.flatMap(([count, cpu, gib, gpus, model]) =>
    Array.from({ length: count }, () => ({ cpu: cpu * 1000, memory: gib * 1024, gpus, model }))
  ).map((node, i) => ({ ...node, id: `node_${String((i * 7_919) % 1_213).padStart(4, "0")}` }));
  await sql`
    insert into node (id, name, pool, credential_hash, session, host, state, cpu_milli, memory_mib, cpu_milli_free,
      memory_mib_free, joined_at, seen_at, lease_until)
    select id, id, 'default', id, 's1', 'here', 'up', cpu, memory, cpu, memory, ${now}, ${now}, ${now}::timestamptz + interval '1 hour'
    from json_to_recordset(${JSON.stringify(nodes)}::text::json) as n(id text, cpu int, memory int)`;
  await sql`
    insert into gpu (node_id, index, model, vram_mib, simulated)
    select id, place, model, 16384, true
    from json_to_recordset(${JSON.stringify(nodes)}::text::json) as n(id text, gpus int, model text),
      generate_series(0, gpus - 1) place`;
  for (let i = 0; i < FUNCTIONS; i++) {
    const { gpu, ...need } = NEEDS[i % NEEDS.length]!;
    const scale = Scale.parse({ max: 1_000 });
    const id = await insertFunction(sql, { ...need, gpu: [...gpu], scale, name: `work_${i}` });
    await enqueue(sql, now, [
      submission(id, Array.from({ length: containers / FUNCTIONS }, () => 1), { method: `work_${i}` }),
    ]);
  }
  await sql`analyze`;
}

/** Takes all containers away. */
async function empty(sql: Pool, now: Date): Promise<void> {
  await sql`truncate container cascade`;
  await sql`delete from waiting`;
  await sql`update gpu set milli_free = 1000 where milli_free < 1000`;
  await sql`
    update node set cpu_milli_free = cpu_milli, memory_mib_free = memory_mib, lease_until = ${now}::timestamptz + interval '1 hour'`;
  await sql`vacuum (analyze) node, gpu, waiting`; // as autovacuum does between ticks; here they come one on the other
}
