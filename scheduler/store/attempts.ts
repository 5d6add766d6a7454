/** Attempts of a call: those that failed and were repeated, and the one that runs or ended it. */
import type { Attempt, CallKey, Failure } from "../../sdk/protocol.ts";
import { RESULT_STATES } from "../states.ts";
import type { Sql } from "./connect.ts";

interface AttemptRow {
  readonly attempt: number;
  /** Of its result, if it ended the call. */
  readonly resultState: number | null;
  /** It failed and was repeated. */
  readonly repeated: boolean;
  readonly container: string;
  readonly node: string;
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
  readonly failure: Failure | null;
}

/** Attempts in their order, from the one after `after`. */
export async function listAttempts(
  sql: Sql,
  { batch, index }: CallKey,
  { after = 0, limit }: { readonly after?: number | undefined; readonly limit: number },
): Promise<Attempt[]> {
  const rows = await sql<AttemptRow[]>`
    with leased as (
      select id, attempt, container_id, node_id, leased_at, remaining
      from lease
      where batch_id = ${batch} and lo <= ${index} and hi > ${index}  -- lease_batch
        and not exists (select from given_back g where g.lease_id = lease.id and g.idx = ${index})
    )
    select l.attempt, r.state as result_state, t.attempt is not null as repeated, l.container_id as container,
      l.node_id as node, coalesce(r.started_at, t.started_at, (
        select min(at) from event s
        where s.batch_id = ${batch} and s.idx = ${index} and s.lease_id = l.id and s.kind = 'started'
      ), l.leased_at) as started_at,
      coalesce(r.ended_at, t.ended_at) as ended_at, coalesce(t.failure, case when r.state > 0 then r.value end) as failure
    from leased l
    left join result r on r.batch_id = ${batch} and r.idx = ${index} and r.lease_id = l.id
    left join attempt t on t.batch_id = ${batch} and t.idx = ${index} and t.lease_id = l.id
    where l.attempt > ${after}::int and (l.remaining > 0 or r.lease_id is not null or t.lease_id is not null)
    order by l.attempt
    limit ${limit}`;
  return rows.map(toAttempt);
}

function toAttempt(
  { attempt, resultState, repeated, container, node, startedAt, endedAt, failure }: AttemptRow,
): Attempt {
  const ended = resultState === null ? repeated ? "failed" : "running" : RESULT_STATES[resultState];
  return {
    attempt,
    state: ended === "expired" ? "cancelled" : ended!,
    container,
    node,
    startedAt: startedAt?.toISOString() ?? null,
    endedAt: endedAt?.toISOString() ?? null,
    ...(failure === null ? {} : { failure }),
  };
}
