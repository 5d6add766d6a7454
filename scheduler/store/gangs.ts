/**
 * Gangs at work: rank 0 claims for all, once every rank is ready and has nothing left of the call before; then each rank is sent
 * its part. How parts end is in parts.ts.
 */
import { type Claimed, type ClaimedRange, claimWithin } from "./claims.ts";
import type { Pool, Sql } from "./connect.ts";

/** A rank's part of a call, as a claim of its container. */
export interface PartClaim extends ClaimedRange {
  readonly containerId: string;
  readonly address: string;
  readonly port: number;
}

/** `exchange` of a gang's own lease: it is in no reply, its parts are. */
const IN_NO_REPLY = 0;
/** Rank 0 is reached by this address when all ranks are on one machine, whatever that machine calls itself. */
const LOOPBACK = "127.0.0.1";
/** Time that the other ranks have to end by themselves once rank 0 has succeeded. */
export const FOLLOWERS_GRACE_MS = 2_000;

const NOTHING: Claimed & { readonly nodeIds: readonly string[] } = {
  ranges: [],
  exhausted: false,
  nodeIds: [],
};

/**
 * Claims the next call of its function for the gang of a container that is its rank 0. Nothing while a rank is missing, is not
 * ready, is to end, or still has a part.
 *
 * @returns as {@link claimWithin}, and the nodes where parts now wait to be sent
 */
export async function claimTogether(
  pool: Pool,
  now: Date,
  { containerId, nodeId }: { readonly containerId: string; readonly nodeId: string },
): Promise<Claimed & { readonly nodeIds: readonly string[] }> {
  return await pool.begin(async (sql) => {
    const gang = await lockGang(sql, containerId, nodeId);
    if (gang === undefined) return NOTHING;
    const members = await idleMembers(sql, gang.id);
    if (members.length < gang.size) return NOTHING;
    const claimed = await claimWithin(sql, now, { containerId, nodeId, exchange: IN_NO_REPLY, calls: 1 });
    const [range] = claimed.ranges;
    if (range !== undefined) await insertParts(sql, range.lease, members, gang.port);
    return { ...claimed, nodeIds: range === undefined ? [] : members.map((member) => member.node) };
  }) as Claimed & { readonly nodeIds: readonly string[] };
}

/** Held to the end of the transaction: a gang takes one call at a time. Whoever finds it held has nothing to claim. */
async function lockGang(sql: Sql, containerId: string, nodeId: string) {
  const [gang] = await sql<{ id: string; size: number; port: number }[]>`
    select gang.id, gang.size, gang.port
    from container join gang on gang.id = container.gang_id
    where container.id = ${containerId} and container.node_id = ${nodeId} and container.rank = 0
      and container.exited_at is null
    for update of gang skip locked`;
  return gang;
}

interface Member {
  readonly container: string;
  readonly rank: number;
  readonly node: string;
  readonly address: string | null;
  readonly host: string;
}

/** By rank. What somebody else has locked is about to change; to wait for it here could be to wait in a circle. */
async function idleMembers(sql: Sql, gangId: string): Promise<Member[]> {
  return await sql<Member[]>`
    select c.id as container, c.rank, node.id as node, node.address, node.host
    from container c join node on node.id = c.node_id
    where c.gang_id = ${gangId} and c.exited_at is null -- container_rank
      and c.desired = 'run' and c.observed = 'ready'
      and not exists (select from part where part.container_id = c.id and part.ended_at is null) -- part_open_container
    order by c.rank
    for share of c skip locked`;
}

async function insertParts(sql: Sql, lease: number, members: readonly Member[], port: number): Promise<void> {
  const together = members.every(({ host }) => host === members[0]!.host);
  const address = together ? LOOPBACK : members[0]!.address ?? LOOPBACK;
  await sql`
    insert into part (lease_id, rank, container_id, node_id, address, port)
    select ${lease}, rank, container, node, ${address}, ${port}
    from json_to_recordset(${JSON.stringify(members)}::text::json) as m(rank int, container text, node text)
    order by rank`;
}

/** Parts that wait to be sent to containers of a node. */
export async function takeParts(
  sql: Sql,
  now: Date,
  { nodeId, exchange, containers }: {
    readonly nodeId: string;
    readonly exchange: number;
    readonly containers: readonly string[];
  },
): Promise<PartClaim[]> {
  return await sql<PartClaim[]>`
    with waiting as (
      select id from part
      where container_id = any(${containers as string[]}) and node_id = ${nodeId} -- part_open_container
        and exchange is null and ended_at is null
      for update skip locked
    ),
    sent as (
      update part set exchange = ${exchange}, sent_at = ${now} from waiting where part.id = waiting.id returning part.*
    )
    ${asClaims(sql)} from sent ${theirCalls(sql)}`;
}

/** Parts of replies that never arrived, to be sent again. */
export async function partsOfExchanges(
  sql: Sql,
  nodeId: string,
  exchanges: readonly number[],
): Promise<PartClaim[]> {
  return await sql<PartClaim[]>`
    ${asClaims(sql)} from part sent ${theirCalls(sql)}
    where sent.node_id = ${nodeId} and sent.ended_at is null -- part_open_node
      and sent.exchange = any(${exchanges as number[]}::bigint[])`;
}

const asClaims = (sql: Sql) =>
  sql`
  select sent.id as lease, lease.batch_id as batch, lease.lo, 1 as size, lease.attempt, batch.method, sent.container_id,
    sent.address, sent.port,
    (select call.input::text from call where call.batch_id = lease.batch_id and call.idx = lease.lo) as inputs`;

const theirCalls = (sql: Sql) =>
  sql`
  join lease on lease.id = sent.lease_id join batch on batch.id = lease.batch_id`;

/**
 * Parts of a node that are to end: their call is to be cancelled, another rank has failed, or rank 0 has succeeded a while ago.
 * As pairs of a part and the call's index.
 */
export async function partsToCancel(
  sql: Sql,
  now: Date,
  nodeId: string,
): Promise<(readonly [part: number, index: number])[]> {
  const graceOver = new Date(now.getTime() - FOLLOWERS_GRACE_MS);
  const rows = await sql<{ id: number; lo: number }[]>`
    select part.id, lease.lo
    from part join lease on lease.id = part.lease_id
    where part.node_id = ${nodeId} and part.ended_at is null and part.exchange is not null -- part_open_node
      and (
        exists (select from cancellation c where c.batch_id = lease.batch_id and c.idx = lease.lo)
        or exists (
          select from part other where other.lease_id = part.lease_id
            and (other.outcome > 0 or other.rank = 0 and other.outcome = 0 and other.ended_at <= ${graceOver})
        )
        or lease.remaining = 0 and not exists (
          select from part leader where leader.lease_id = part.lease_id and leader.rank = 0 and leader.outcome = 0
        )
      )
    order by part.id`;
  return rows.map(({ id, lo }) => [id, lo] as const);
}
