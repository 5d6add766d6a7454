/** Lines of containers that take no calls, servers and endpoints, as their runner sent them. The latest of each are kept. */
import { type ContainerLog, type ContainerLogRecord, LIMITS } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";
import type { Part } from "./story.ts";
import { storable } from "./telemetry.ts";

/** Stores lines of containers of this node; returns those that have new ones. */
export async function insertContainerLogs(
  sql: Sql,
  nodeId: string,
  logs: readonly ContainerLogRecord[],
): Promise<string[]> {
  if (logs.length === 0) return [];
  const rows = await sql<{ containerId: string }[]>`
    with sent as (
      select * from unnest(
        ${logs.map((log) => log[0])}::text[], ${logs.map((log) => log[1])}::bigint[], ${
    logs.map((log) => log[2])
  }::float8[],
        ${logs.map((log) => log[3])}::text[], ${logs.map((log) => storable(log[4]))}::text[]
      ) as s(container_id, n, at_ms, stream, text)
    ),
    kept as (
      insert into container_log (container_id, n, at, stream, text)
      select sent.container_id, sent.n, to_timestamp(sent.at_ms / 1000), sent.stream, sent.text
      from sent join container c on c.id = sent.container_id
      where c.node_id = ${nodeId}                        -- a runner is believed about its own
      on conflict do nothing
      returning container_id, n
    ),
    latest as (
      select container_id, max(n) as n from kept group by container_id
    ),
    outgrown as (
      delete from container_log l using latest           -- by its primary key
      where l.container_id = latest.container_id and l.n <= latest.n - ${LIMITS.containerLogLines}
    )
    select container_id from latest`;
  return rows.map((row) => row.containerId);
}

/** Lines of one container, in their order. */
export async function listContainerLogs(
  sql: Sql,
  container: string,
  { after = -1, limit }: Part,
): Promise<ContainerLog[]> {
  const rows = await sql<(Omit<ContainerLog, "at"> & { at: Date })[]>`
    select n as seq, at, stream, text
    from container_log
    where container_id = ${container} and n > ${after}
    order by n
    limit ${limit}`;
  return rows.map(({ at, ...row }) => ({ ...row, at: at.toISOString() }));
}
