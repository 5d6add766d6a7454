/**
 * A runner that was started anew goes on with what the one before has left running: containers, and the calls that they were given. For
 * the platform the node never went away.
 */
import type { OpenLease, Resumed } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";
import type { JoiningNode } from "./join.ts";
import { NODE_LEASE_MS, wanted } from "./nodes.ts";

/**
 * A session takes the place of another, with all that it has. Call it inside a transaction that has locked the node.
 *
 * @returns false when there is nothing to go on with: the other is over, or the machine is not what it was
 */
export async function resumeSession(
  sql: Sql,
  now: Date,
  node: JoiningNode,
  before: string,
): Promise<boolean> {
  const until = new Date(now.getTime() + NODE_LEASE_MS);
  const { count } = await sql`
    update node set session = ${node.session}, credential_hash = ${node.credentialHash}, name = ${node.name},
      host = ${node.host}, labels = ${sql.json(node.labels)}, address = ${node.address},
      relay_port = ${node.relay?.port ?? null}, relay_key = ${node.relay?.key ?? null},
      seen_at = ${now}, lease_until = ${until}
    where id = ${node.id} and session = ${before} and state in ('up', 'draining')
      and cpu_milli = ${node.cpuMilli} and memory_mib = ${node.memoryMiB}
      and not exists (
        select from (select * from gpu where gpu.node_id = ${node.id}) had
          full join json_to_recordset(${JSON.stringify(node.gpus)}::text::json)
            as found(index int, model text, "vramMiB" int, uuid text, simulated boolean) using (index)
        where (had.model, had.vram_mib, had.uuid, had.simulated)
          is distinct from (found.model, found."vramMiB", found.uuid, found.simulated))`;
  if (count === 0) return false;
  await sql`
    update container set session = ${node.session}
    where node_id = ${node.id} and exited_at is null and session = ${before} -- container_node`;
  return true;
}

/** What the node has now, as far as a runner could go on with it. */
export async function resumedOf(sql: Sql, now: Date, nodeId: string): Promise<Resumed> {
  const ready = await sql<{ id: string; nextLine: number }[]>`
    select c.id, coalesce((select max(n) + 1 from container_log l where l.container_id = c.id), 0) as next_line
    from container c
    where c.node_id = ${nodeId} and c.exited_at is null and c.observed = 'ready' -- container_node`;
  const nextLines = new Map(ready.map(({ id, nextLine }) => [id, nextLine]));
  const { containers } = await wanted(sql, nodeId);
  return {
    containers: containers.flatMap((assignment) => {
      const nextLine = nextLines.get(assignment.id);
      return nextLine === undefined ? [] : [{ ...assignment, nextLine }];
    }),
    leases: await openLeases(sql, now, nodeId, ready.map(({ id }) => id)),
  };
}

/** Leases and parts of containers, with those of their calls that have not ended. */
async function openLeases(
  sql: Sql,
  now: Date,
  nodeId: string,
  containers: readonly string[],
): Promise<OpenLease[]> {
  const rows = await sql<(Omit<OpenLease, "master"> & { address: string | null; port: number | null })[]>`
    select lease.id as lease, lease.container_id as container, lease.batch_id as batch, lease.attempt, batch.method,
      null as address, null::int as port, array_agg(place order by place) as indexes,
      (extract(epoch from ${now}::timestamptz - lease.leased_at) * 1000)::bigint as age_ms
    from lease join batch on batch.id = lease.batch_id, generate_series(lease.lo, lease.hi - 1) as place
    where lease.node_id = ${nodeId} and lease.remaining > 0 and lease.exchange > 0 -- lease_open_node
      and lease.container_id = any(${containers as string[]})
      and not exists (select from result where result.batch_id = lease.batch_id and result.idx = place)
      and not exists (select from given_back where given_back.lease_id = lease.id and given_back.idx = place)
      and not exists (select from attempt
        where attempt.batch_id = lease.batch_id and attempt.idx = place and attempt.lease_id = lease.id)
    group by lease.id, batch.id
    union all
    select part.id, part.container_id, lease.batch_id, lease.attempt, batch.method, part.address, part.port, array[lease.lo],
      (extract(epoch from ${now}::timestamptz - part.sent_at) * 1000)::bigint
    from part join lease on lease.id = part.lease_id join batch on batch.id = lease.batch_id
    where part.node_id = ${nodeId} and part.ended_at is null and part.exchange is not null -- part_open_node
      and part.container_id = any(${containers as string[]})
    order by lease`;
  return rows.map(({ address, port, ageMs, ...row }) => ({
    ...row,
    ageMs: Math.max(0, ageMs),
    ...(address === null || port === null ? {} : { master: { address, port } }),
  }));
}
