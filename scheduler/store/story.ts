/** The story of a call: its log lines and its events, in the order of their `seq`. */
import type { CallKey, EventItem, Failure, Json, LogItem } from "../../sdk/protocol.ts";
import { RESULT_STATES } from "../states.ts";
import type { Sql } from "./connect.ts";

/** Which part of a story: items with a `seq` above `after`. */
export interface Part {
  readonly after?: number | undefined;
  readonly limit: number;
}

/** Log lines of a call. */
export async function listLogs(
  sql: Sql,
  { batch, index }: CallKey,
  { after = 0, limit }: Part,
): Promise<LogItem[]> {
  const rows = await sql<(Omit<LogItem, "at"> & { at: Date })[]>`
    select seq, at, stream, text, attempt
    from log
    where batch_id = ${batch} and idx = ${index} and seq > ${after}  -- log_seq
    order by seq
    limit ${limit}`;
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }));
}

interface EventRow {
  readonly seq: number;
  readonly at: Date;
  readonly kind: EventItem["kind"];
  readonly attempt: number;
  readonly data: Record<string, Json>;
}

/** Before everything that is stored. */
const QUEUED_SEQ = 0;

/**
 * Events of a call. The first (`queued`) and the last (how it ended) are told from the call itself, so that a call which
 * says nothing needs no event row.
 */
export async function listEvents(sql: Sql, key: CallKey, { after = -1, limit }: Part): Promise<EventItem[]> {
  const { batch, index } = key;
  const rows = await sql<EventRow[]>`
    select e.seq, e.at, e.kind, e.attempt,
      case when e.kind = 'started' and e.data->'rank' is null then json_build_object('container', l.container_id, 'node', l.node_id) else e.data end as data
    from event e
    join lease l on l.id = e.lease_id
    where e.batch_id = ${batch} and e.idx = ${index} and e.seq > ${after}  -- event_seq
    order by e.seq
    limit ${limit}`;
  const told = rows.map(({ data, at, ...row }) => ({ ...data, ...row, at: at.toISOString() }));
  if (after >= QUEUED_SEQ && rows.length >= limit) return told;
  const { createdAt, end } = await endsOf(sql, key);
  const queued = { seq: QUEUED_SEQ, at: createdAt, kind: "queued" as const, attempt: 0 };
  return [...after < QUEUED_SEQ ? [queued] : [], ...told, ...end !== null && end.seq > after ? [end] : []]
    .slice(0, limit);
}

interface EndsRow {
  readonly createdAt: Date;
  readonly lastSeq: number;
  readonly state: number | null;
  readonly value: Json;
  readonly endedAt: Date;
  readonly attempt: number;
}

/** When a call was created, and its last event when it has ended. */
async function endsOf(
  sql: Sql,
  { batch, index }: CallKey,
): Promise<{ createdAt: string; end: EventItem | null }> {
  const [row] = await sql<EndsRow[]>`
    select b.created_at, r.state, r.ended_at, case when r.state > 0 then r.value end as value,
      coalesce((select attempt from lease where id = r.lease_id), 0) as attempt,
      (select coalesce(max(seq), 0) from event where batch_id = ${batch} and idx = ${index}) as last_seq
    from batch b
    left join result r on r.batch_id = b.id and r.idx = ${index}
    where b.id = ${batch}`;
  const { createdAt, state, endedAt, lastSeq, attempt, value } = row!;
  const end = state === null ? null : {
    seq: lastSeq + 1,
    at: endedAt.toISOString(),
    kind: RESULT_STATES[state]!,
    attempt,
    ...(value === null ? {} : { failure: value as unknown as Failure }),
  };
  return { createdAt: createdAt.toISOString(), end };
}
