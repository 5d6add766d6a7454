/** A gang whose containers lie on a node each, driven through the store alone: what its runners' exchanges do, without runners. */
import { claimTogether, type PartClaim, partsToCancel, takeParts } from "../../scheduler/store/gangs.ts";
import { cancelCall, enqueue } from "../../scheduler/store/calls.ts";
import { containersLost } from "../../scheduler/store/containers.ts";
import { endParts } from "../../scheduler/store/parts.ts";
import type { Touched } from "../../scheduler/store/touched.ts";
import type { Failure, FunctionSpec, Json } from "../../sdk/protocol.ts";
import { auditOf } from "./audit.ts";
import { ManualClock } from "./manual_clock.ts";
import { testDatabase } from "./postgres.ts";
import { StoreRunner } from "./store_runner.ts";
import { insertFunction, NOW, submission } from "./world.ts";

export const failure = (kind: Failure["kind"], message = "boom"): Failure => ({
  kind,
  message,
  retryable: true,
});

/** How a rank reports that its part ended. */
export type End = { readonly value: Json } | { readonly failure: Failure } | "cancelled" | "unstarted";

export type GangWorld = Awaited<ReturnType<typeof gangWorld>>;

/** `await using world = await gangWorld()`: nodes `node_0` …, containers `ctr_0` …, all ready. */
export async function gangWorld({ size = 3, spec = {} as Partial<FunctionSpec> } = {}) {
  const db = await testDatabase();
  const { sql } = db;
  const clock = new ManualClock(NOW.getTime());
  const now = () => new Date(clock.now());
  const functionId = await insertFunction(sql, { nodes: size, ...spec });
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  const runners = ranks.map((rank) => new StoreRunner(sql, clock, `node_${rank}`));
  for (const runner of runners) await runner.join();
  await sql`insert into gang values ('gang_1', ${functionId}, ${size}, 29500, ${NOW})`;
  let exchanges = 0;

  /** A ready container for a rank. */
  const start = async (rank: number, id = `ctr_${rank}`): Promise<void> => {
    await sql`
      with started as (
        insert into container (id, function_id, deployment_id, node_id, session, desired, observed, gpus, gpu_milli, cpu_milli,
          memory_mib, gang_id, rank, reason, created_at, busy_at)
        values (${id}, ${functionId}, 'dep_1', ${`node_${rank}`}, 's1', 'run', 'pending', '[]', 0, 100, 100, 'gang_1', ${rank},
          'test', ${now()}, ${now()}))
      update node set cpu_milli_free = cpu_milli_free - 100, memory_mib_free = memory_mib_free - 100
      where id = ${`node_${rank}`}`;
    await runners[rank]!.ready();
  };
  for (const rank of ranks) await start(rank);

  const world = {
    sql,
    clock,
    now,
    functionId,
    ranks,
    runners,
    start,
    call: async (inputs: unknown[], more = {}) =>
      (await enqueue(sql, now(), [submission(functionId, inputs, more)]))[0]!,
    /** The live container of a rank. */
    container: async (rank: number) => {
      const [row] = await sql<{ id: string }[]>`
        select id from container where gang_id = 'gang_1' and rank = ${rank} and exited_at is null`;
      return row?.id;
    },
    /** Rank 0 claims; the nodes to be told. */
    claim: async () => {
      const containerId = await world.container(0);
      if (containerId === undefined) return [];
      return (await claimTogether(sql, now(), { containerId, nodeId: "node_0" })).nodeIds;
    },
    /** What a rank is sent, if anything. */
    take: async (rank: number, exchange = ++exchanges): Promise<PartClaim | undefined> => {
      const containers = await sql<{ id: string }[]>`
        select id from container where gang_id = 'gang_1' and rank = ${rank} and exited_at is null`;
      const ids = containers.map(({ id }) => id);
      return (await takeParts(sql, now(), { nodeId: `node_${rank}`, exchange, containers: ids }))[0];
    },
    /** Rank 0 claims and all take. */
    begin: async (): Promise<PartClaim[]> => {
      await world.claim();
      const parts = await Promise.all(ranks.map((rank) => world.take(rank)));
      return parts.map((part, rank) => {
        if (part === undefined) throw new Error(`Rank ${rank} was sent nothing`);
        return part;
      });
    },
    report: async (rank: number, part: Pick<PartClaim, "lease">, end: End): Promise<Touched> => {
      const outcome = end === "cancelled" ? 2 : end === "unstarted" ? 3 : "value" in end ? 0 : 1;
      const value = typeof end === "string" ? null : "value" in end ? end.value : end.failure;
      const report = { part: part.lease, outcome, value, startedAt: clock.now(), cpuUs: 5 } as const;
      return await sql.begin((tx) => endParts(tx, now(), `node_${rank}`, [report])) as Touched;
    },
    lose: async (rank: number): Promise<void> => {
      const id = await world.container(rank);
      if (id !== undefined) await sql.begin((tx) => containersLost(tx, now(), [id], "The node went away"));
    },
    cancel: (batch: number, index = 0) => sql.begin((tx) => cancelCall(tx, now(), { batch, index })),
    /** Ranks that are told to end what they have. */
    told: async (): Promise<number[]> => {
      const told = await Promise.all(ranks.map((rank) => partsToCancel(sql, now(), `node_${rank}`)));
      return ranks.filter((rank) => told[rank]!.length > 0);
    },
    /** Where each call of a batch is, or how it ended. */
    places: async (): Promise<string[]> => {
      const rows = await sql<{ place: string }[]>`
        select 'result ' || state || coalesce(' ' || (value->>'kind') || ': ' || (value->>'message'), '') as place from result
        union all select 'ready ' || attempt from ready, generate_series(lo, hi - 1)
        union all select 'lease ' || attempt from lease, generate_series(1, remaining)
        order by 1`;
      return rows.map(({ place }) => place);
    },
    audit: () => auditOf(sql),
    [Symbol.asyncDispose]: () => db[Symbol.asyncDispose](),
  };
  return world;
}
