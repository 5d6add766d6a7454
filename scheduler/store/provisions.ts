/** Provisions: nodes that a pool's provider is asked for, from the request to the end. Locks: node, then provision. */
import type { Provision } from "../../sdk/protocol.ts";
import type { Ask, Release } from "../model.ts";
import { nodeMachine, provisionMachine, type ProvisionState, sources } from "../states.ts";
import type { Sql } from "./connect.ts";
import { nodesLost } from "./containers.ts";
import { NOTHING, type Touched, union } from "./touched.ts";

/** Writes down what the scheduler asks for. A pool that has begun to drain meanwhile is not asked. */
export async function askFor(sql: Sql, now: Date, asks: readonly Ask[]): Promise<Touched> {
  if (asks.length > 0) {
    await sql`
      insert into provision (id, pool, state, reason, requested_at, deadline_at)
      select asked.id, asked.pool, 'requested', asked.reason, ${now}, to_timestamp(asked."deadlineAt" / 1000)
      from json_to_recordset(${JSON.stringify(asks)}::text::json) as asked(
        id text, pool text, reason text, "deadlineAt" float8)
      join pool on pool.name = asked.pool and pool.state = 'active'`;
  }
  return NOTHING;
}

/** What the scheduler gives up or back, as far as it has not moved on since. The provider takes it from there. */
export async function release(sql: Sql, now: Date, releases: readonly Release[]): Promise<Touched> {
  const failed = releases.filter(({ event }) => event === "fail");
  const [, ...touched] = await Promise.all([
    failed.length === 0
      ? NOTHING
      : endProvisions(sql, now, failed.map((one) => ({ id: one.provision, error: one.reason }))),
    letGo(sql, "release", releases),
    letGo(sql, "cancel", releases),
  ]);
  return union(...touched);
}

async function letGo(sql: Sql, event: "release" | "cancel", releases: readonly Release[]): Promise<Touched> {
  const some = releases.filter((one) => one.event === event);
  if (some.length === 0) return NOTHING;
  const rows = await sql<{ id: string }[]>`
    with given as (
      select * from json_to_recordset(${
    JSON.stringify(some)
  }::text::json) as given(provision text, reason text)
    ),
    changed as (
      update provision set state = 'releasing', reason = given.reason
      from given
      where provision.id = given.provision and provision.state = any(${sources(provisionMachine, event)})
      returning provision.node_id
    )
    update node set revision = revision + 1 where id in (select node_id from changed)
    returning id`;
  return { ...NOTHING, nodeIds: rows.map(({ id }) => id) };
}

/** How a provision ended: with an error, or, without one, as it should. */
export interface ProvisionEnd {
  readonly id: string;
  readonly error: string | null;
}

/**
 * Provisions are over: their machines are gone, and with them their nodes and what ran there. Call it inside a transaction. One that
 * is over already, or that can't be released yet, is left alone.
 */
export async function endProvisions(sql: Sql, now: Date, ends: readonly ProvisionEnd[]): Promise<Touched> {
  const ids = ends.map(({ id }) => id);
  await sql`select from node where provision_id = any(${ids}) order by id for no key update`;
  const ended = await sql<{ id: string }[]>`
    update provision set ended_at = ${now}, error = given.error,
      state = case when given.error is null then ${provisionMachine.releasing.end} else ${provisionMachine.joined.fail} end
    from json_to_recordset(${JSON.stringify(ends)}::text::json) as given(id text, error text)
    where provision.id = given.id and provision.state = any(
      case when given.error is null then ${sources(provisionMachine, "end")}::text[]
      else ${sources(provisionMachine, "fail")}::text[] end)
    returning provision.id`;
  const over = ended.map(({ id }) => id);
  const nodes = await sql<
    { id: string }[]
  >`select id from node where provision_id = any(${over}) order by id`;
  const lost = await nodesLost(sql, now, nodes.map(({ id }) => id), "The machine of the node is gone");
  await sql`
    update node set state = 'left', revision = revision + 1
    where provision_id = any(${over}) and state = any(${sources(nodeMachine, "leave")})`;
  return lost;
}

/** A provision as its provider needs it. */
export interface OpenProvision {
  readonly id: string;
  readonly pool: string;
  readonly state: Exclude<ProvisionState, "released" | "failed">;
  readonly deadlineAt: Date;
}

/** Those of a provider's pools that are not over, the oldest first. */
export async function openProvisions(sql: Sql, provider: string): Promise<OpenProvision[]> {
  return await sql<OpenProvision[]>`
    select provision.id, provision.pool, provision.state, provision.deadline_at
    from provision join pool on pool.name = provision.pool
    where pool.provider = ${provider} and ended_at is null -- provision_live
    order by provision.id`;
}

/** The provider has been told, and has it under this name. The node may have joined already. */
export async function provisionStarted(
  sql: Sql,
  { id, external }: { id: string; external: string },
): Promise<void> {
  await sql`
    update provision set external = ${external},
      state = case when state = any(${
    sources(provisionMachine, "start")
  }) then ${provisionMachine.requested.start} else state end
    where id = ${id} and ended_at is null`;
}

/** The node of a provision is there; false when the provision is no longer wanted. May be repeated for the same node. */
export async function provisionJoined(
  sql: Sql,
  { id, node }: { id: string; node: string },
): Promise<boolean> {
  const { count } = await sql`
    update provision set state = ${provisionMachine.starting.join}, node_id = ${node}
    where id = ${id} and (state = any(${
    sources(provisionMachine, "join")
  }) or (state = 'joined' and node_id = ${node}))`;
  return count > 0;
}

interface ProvisionRow extends Omit<Provision, "node" | "requestedAt" | "deadlineAt" | "endedAt"> {
  nodeId: string | null;
  requestedAt: Date;
  deadlineAt: Date;
  endedAt: Date | null;
}

/** Provisions of a pool, newest first, from the one before `after`. */
export async function listProvisions(
  sql: Sql,
  { pool, after, limit }: {
    pool: string;
    after: readonly [ms: number, id: string] | undefined;
    limit: number;
  },
): Promise<Provision[]> {
  const rows = await sql<ProvisionRow[]>`
    select id, pool, state, node_id, external, reason, error, requested_at, deadline_at, ended_at
    from provision
    where pool = ${pool}
      ${after === undefined ? sql`` : sql`and (requested_at, id) < (${new Date(after[0])}, ${after[1]})`}
    order by requested_at desc, id desc -- provision_recent
    limit ${limit}`;
  return rows.map(({ nodeId, requestedAt, deadlineAt, endedAt, ...rest }) => ({
    ...rest,
    node: nodeId,
    requestedAt: requestedAt.toISOString(),
    deadlineAt: deadlineAt.toISOString(),
    endedAt: endedAt?.toISOString() ?? null,
  }));
}
