/** Log lines and events of calls, as their runner sent them. Kept once each, however often they are sent. */
import type { EventRecord, LogRecord } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

/** PostgreSQL's text can't hold a NUL. */
export const storable = (text: string): string => text.replaceAll("\0", "\uFFFD");

/** Stores log lines of leases that this node has or had; returns the batches they belong to. */
export async function insertLogs(sql: Sql, nodeId: string, logs: readonly LogRecord[]): Promise<number[]> {
  if (logs.length === 0) return [];
  const rows = await sql<{ batchId: number }[]>`
    with sent as (
      select * from rows from (${heads(sql, logs)},
        unnest(${logs.map((log) => storable(log[5]))}::text[])
      ) with ordinality as s(lease_id, idx, n, at_ms, stream, text, place)
    ),
    kept as (
      insert into log (batch_id, idx, lease_id, n, attempt, at, stream, text)
      select lease.batch_id, sent.idx, sent.lease_id, sent.n, lease.attempt, to_timestamp(sent.at_ms / 1000), sent.stream, sent.text
      from ${sentUnderLease(sql, nodeId)}
      on conflict do nothing
      returning batch_id
    )
    select distinct batch_id from kept`;
  return rows.map((row) => row.batchId);
}

/** The same for events. */
export async function insertEvents(
  sql: Sql,
  nodeId: string,
  events: readonly EventRecord[],
): Promise<number[]> {
  if (events.length === 0) return [];
  const rows = await sql<{ batchId: number }[]>`
    with sent as (
      select * from rows from (${heads(sql, events)},
        json_array_elements(${JSON.stringify(events.map((event) => event[5]))}::text::json)
      ) with ordinality as s(lease_id, idx, n, at_ms, kind, data, place)
    ),
    kept as (
      insert into event (batch_id, idx, lease_id, n, attempt, at, kind, data)
      select lease.batch_id, sent.idx, sent.lease_id, sent.n, lease.attempt, to_timestamp(sent.at_ms / 1000), sent.kind, sent.data
      from ${sentUnderLease(sql, nodeId)}
      on conflict do nothing
      returning batch_id
    )
    select distinct batch_id from kept`;
  return rows.map((row) => row.batchId);
}

/** What both begin with: lease, index, number, time, and the stream or kind. */
const heads = (sql: Sql, records: readonly (LogRecord | EventRecord)[]) =>
  sql`
  unnest(${records.map((record) => record[0])}::bigint[]), unnest(${
    records.map((record) => record[1])
  }::int[]),
  unnest(${records.map((record) => record[2])}::bigint[]), unnest(${
    records.map((record) => record[3])
  }::float8[]),
  unnest(${records.map((record) => record[4])}::text[])`;

/** A runner is believed about calls that its own node was given, and no others. */
const sentUnderLease = (sql: Sql, nodeId: string) =>
  sql`
  sent join lease on lease.id = sent.lease_id and sent.idx >= lease.lo and sent.idx < lease.hi
  where lease.node_id = ${nodeId}
  order by sent.place`;
