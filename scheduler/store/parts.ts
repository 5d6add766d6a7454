/**
 * How parts end: by a report of their rank, or with their container. The call's lease is locked first, so that of ranks which
 * end at the same time the last one decides (verdict.ts) how the attempt ends.
 */
import type { Failure, Json } from "../../sdk/protocol.ts";
import { policyOf, retryDelayMs } from "../../sdk/retry.ts";
import { isBroken, type Part, type Verdict, verdict } from "../verdict.ts";
import type { Sql } from "./connect.ts";
import { complete, failedAttempts } from "./leases.ts";
import { giveBack, loseLeases, retry } from "./requeue.ts";
import { NOTHING, type Touched, union } from "./touched.ts";

/** Ids of parts begin here; those of leases never come so far. */
const PART_IDS_FROM = 2 ** 52;

/** Whether what runners call a lease is a part. */
export const isPart = (id: number): boolean => id >= PART_IDS_FROM;

/** What a runner says about the end of a part. Times in milliseconds since 1970, CPU time in microseconds. */
export interface PartReport {
  readonly part: number;
  readonly outcome: 0 | 1 | 2 | 3;
  readonly value: Json | Failure;
  readonly startedAt: number;
  readonly cpuUs: number;
}

/** Ends parts of a node as its runner reports; those that had ended are passed over. Call it inside a transaction. */
export async function endParts(
  sql: Sql,
  now: Date,
  nodeId: string,
  reports: readonly PartReport[],
): Promise<Touched> {
  const leases = await lockLeases(sql, reports.map(({ part }) => part));
  const ended = reports.map(({ part, outcome, value, startedAt, cpuUs }) => ({
    part,
    outcome,
    failure: outcome === 1 ? value : null,
    started: new Date(startedAt),
    cpu: cpuUs,
  }));
  await sql`
    update part set ended_at = ${now}, outcome = r.outcome, failure = r.failure, started_at = r.started, cpu_us = r.cpu
    from json_to_recordset(${JSON.stringify(ended)}::text::json) as r(
      part bigint, outcome smallint, failure json, started timestamptz, cpu bigint)
    where part.id = r.part and part.node_id = ${nodeId} and part.ended_at is null and part.exchange is not null`;
  return await settle(sql, now, leases, reports);
}

/** Closes leases and parts of which nothing more will be heard. Call it inside a transaction. */
export async function loseGiven(
  sql: Sql,
  now: Date,
  ids: readonly number[],
  failure: Failure,
): Promise<Touched> {
  const lost = await loseLeases(sql, now, ids.filter((id) => !isPart(id)), failure);
  return union({ ...NOTHING, ...lost }, await loseParts(sql, now, ids.filter(isPart), failure));
}

async function loseParts(
  sql: Sql,
  now: Date,
  parts: readonly number[],
  failure: Failure,
): Promise<Touched> {
  if (parts.length === 0) return NOTHING;
  const leases = await lockLeases(sql, parts);
  await sql`
    update part set ended_at = ${now}, outcome = 1, failure = ${JSON.stringify(failure)}::text::json
    where id = any(${parts as number[]}::bigint[]) and ended_at is null`;
  return await settle(sql, now, leases, []);
}

/** To which call a part belongs, as what tells of it is kept under the gang's lease. */
export interface PartPlace {
  readonly lease: number;
  /** Of the lease. */
  readonly leaseNode: string;
  readonly container: string;
  readonly rank: number;
  /** Ranks of the gang. */
  readonly size: number;
}

/** Places of parts that this node has or had. */
export async function placesOf(
  sql: Sql,
  nodeId: string,
  parts: readonly number[],
): Promise<Map<number, PartPlace>> {
  const rows = await sql<(PartPlace & { id: number })[]>`
    select part.id, lease.id as lease, lease.node_id as lease_node, part.container_id as container, part.rank,
      (select count(*) from part other where other.lease_id = lease.id)::int as size
    from part join lease on lease.id = part.lease_id
    where part.id = any(${parts as number[]}::bigint[]) and part.node_id = ${nodeId}`;
  return new Map(rows.map(({ id, ...place }) => [id, place]));
}

async function lockLeases(sql: Sql, parts: readonly number[]): Promise<number[]> {
  const rows = await sql<{ id: number }[]>`
    select id from lease
    where id in (select lease_id from part where id = any(${parts as number[]}::bigint[]))
    order by id for update`;
  return rows.map(({ id }) => id);
}

interface LeasedPart extends Part {
  readonly id: number;
  readonly node: string;
  readonly startedAt: number | null;
  readonly cpuUs: number;
}

/** A gang's lease and all that its ranks have of it. */
interface Leased {
  readonly id: number;
  readonly batch: number;
  readonly index: number;
  readonly nodeId: string;
  readonly functionId: number;
  readonly open: boolean;
  readonly cancelling: boolean;
  readonly parts: readonly LeasedPart[];
}

/** @param reports of parts that have ended just now */
async function settle(
  sql: Sql,
  now: Date,
  leases: readonly number[],
  reports: readonly PartReport[],
): Promise<Touched> {
  await dropUnsent(sql, now, leases);
  const touched: Touched[] = [];
  for (const leased of await readLeased(sql, leases)) {
    const decided = leased.open ? verdict(leased.parts, leased.cancelling) : null;
    if (decided !== null) touched.push(await close(sql, now, leased, decided, reports));
    touched.push(toTell(leased));
  }
  return union(...touched);
}

/** Nobody need begin what others have ended. */
async function dropUnsent(sql: Sql, now: Date, leases: readonly number[]): Promise<void> {
  await sql`
    update part set ended_at = ${now}, outcome = 3
    where lease_id = any(${leases as number[]}::bigint[]) and exchange is null and ended_at is null
      and exists (
        select from part other
        where other.lease_id = part.lease_id and (other.outcome > 0 or other.rank = 0 and other.outcome = 0)
      )`;
}

async function readLeased(sql: Sql, leases: readonly number[]): Promise<Leased[]> {
  return await sql<Leased[]>`
    select lease.id, lease.batch_id as batch, lease.lo as index, lease.node_id, lease.function_id, lease.remaining > 0 as open,
      exists (select from cancellation c where c.batch_id = lease.batch_id and c.idx = lease.lo) as cancelling,
      (select json_agg(json_build_object('id', id, 'rank', rank, 'node', node_id, 'outcome', outcome, 'failure', failure,
        'startedAt', extract(epoch from started_at) * 1000, 'endedAt', extract(epoch from ended_at) * 1000,
        'cpuUs', cpu_us) order by rank)
       from part where lease_id = lease.id) as parts
    from lease
    where id = any(${leases as number[]}::bigint[])
    order by id`;
}

/** The other ranks have something to end, or the gang is free for the next call. */
function toTell({ functionId, parts }: Leased): Touched {
  const open = parts.filter(({ outcome }) => outcome === null);
  if (open.length === 0) return { ...NOTHING, functionIds: [functionId] };
  return isBroken(parts) ? { ...NOTHING, nodeIds: open.map(({ node }) => node) } : NOTHING;
}

async function close(
  sql: Sql,
  now: Date,
  leased: Leased,
  decided: Verdict<LeasedPart>,
  reports: readonly PartReport[],
): Promise<Touched> {
  const { nodeId, parts } = leased;
  const done = {
    lease: leased.id,
    index: leased.index,
    startedAt: Math.min(now.getTime(), ...parts.flatMap(({ startedAt }) => startedAt ?? [])),
    endedAt: now.getTime(),
    cpuUs: parts.reduce((sum, part) => sum + part.cpuUs, 0),
  };
  const write = async (state: 0 | 1 | 2, value: Json | Failure): Promise<Touched> => ({
    ...NOTHING,
    ...await complete(sql, nodeId, [{ ...done, state, value }]),
  });
  if (decided.end === "unstarted") return { ...NOTHING, ...await giveBack(sql, now, nodeId, [done]) };
  if (decided.end === "cancelled") return await write(2, null);
  if (decided.end === "succeeded") {
    return await write(0, reports.find(({ part }) => part === decided.part.id)!.value);
  }
  const { failure } = decided;
  const [attempt] = await failedAttempts(sql, [done]);
  const delayMs = retryDelayMs(policyOf(attempt!.retries), failure, attempt!.past);
  if (delayMs === null) return await write(1, failure);
  return { ...NOTHING, ...await retry(sql, now, nodeId, [{ ...done, failure, delayMs }]) };
}
