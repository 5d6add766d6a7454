/** Calls as they are created and queued: batches, their inputs, and the ranges of them that wait. */
import type { Failure } from "../../sdk/protocol.ts";
import { RESULT_STATES } from "../states.ts";
import type { Sql } from "./connect.ts";

export * from "./claims.ts";
export { claimKeyed } from "./keyed_claims.ts";
export * from "./leases.ts";
export * from "./cancel.ts";
export * from "./requeue.ts";

/** One create request, to be stored as one batch. */
export interface Submission {
  readonly workspaceId: string;
  readonly functionId: number;
  readonly method: string;
  /** The inputs as one JSON array, in text: they are stored as they came, never parsed and printed again. */
  readonly inputs: string;
  readonly size: number;
  readonly priority: number;
  readonly concurrencyKey?: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly dueAt?: Date | undefined;
  readonly expiresAt?: Date | undefined;
  readonly scheduleId?: string | undefined;
  readonly tickAt?: Date | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly requestHash?: string | undefined;
  /** Keys of the values that inputs stand for. */
  readonly values?: readonly string[];
}

/**
 * Stores submissions, all in one statement, and queues their calls, whatever limits their workspaces have.
 *
 * @returns for each, in order, the id of its batch; null when its idempotency key or its tick was there before
 */
export async function enqueue(
  sql: Sql,
  now: Date,
  submissions: readonly Submission[],
): Promise<(number | null)[]> {
  return (await store(sql, now, submissions, { skipLimited: false })).map(({ id }) => id);
}

/** What became of a submission. */
export interface Stored {
  readonly id: number | null;
  /** It was not looked at: its workspace has a limit for calls that wait. */
  readonly skipped: boolean;
}

/** Stores submissions; those of workspaces with a limit are skipped when that is asked for. */
export async function store(
  sql: Sql,
  now: Date,
  submissions: readonly Submission[],
  { skipLimited }: { readonly skipLimited: boolean },
): Promise<Stored[]> {
  // Inputs travel apart from the heads: `json_to_recordset` would decode, and refuse, escapes such as \\u0000.
  const heads = JSON.stringify(submissions.map(headOf));
  const inputs = `[${submissions.map((submission) => submission.inputs).join(",")}]`;
  return await sql<Stored[]>`
    with asked as materialized (
      select nextval(pg_get_serial_sequence('batch', 'id')) as id, d.*,
        ${skipLimited} and exists (select from workspace where workspace.id = d.workspace_id and queued_limit is not null) as skipped
      from json_to_recordset(${heads}::text::json) as d(
        n int, workspace_id text, function_id int, method text, size int, priority smallint, concurrency_key text, tags jsonb,
        due_at timestamptz, expires_at timestamptz, schedule_id text, tick_at timestamptz, idempotency_key text, request_hash text)
      order by n
    ),
    stored as (
      insert into batch (id, workspace_id, function_id, method, size, priority, concurrency_key, tags, created_at, due_at, expires_at,
        schedule_id, tick_at, idempotency_key, request_hash)
      select id, workspace_id, function_id, method, size, priority, concurrency_key, tags, ${now}, due_at, expires_at,
        schedule_id, tick_at, idempotency_key, request_hash
      from asked where not skipped
      on conflict do nothing
      returning id
    ),
    filled as (
      insert into call (batch_id, idx, input)
      select asked.id, element.place - 1, element.input
      from asked join stored using (id)
        join json_array_elements(${inputs}::text::json) with ordinality as given(elements, n) on given.n = asked.n,
        json_array_elements(given.elements) with ordinality as element(input, place)
    ),
    queued as (
      insert into ready (batch_id, lo, hi, function_id, priority, attempt, due_at, expires_at, since, concurrency_key)
      select id, 0, size, function_id, priority, 1, case when due_at > ${now} then due_at end, expires_at, ${now}, concurrency_key
      from asked join stored using (id)
    )
    select stored.id, asked.skipped from asked left join stored using (id) order by asked.n`;
}

const headOf = (submission: Submission, index: number) => ({
  n: index + 1,
  workspace_id: submission.workspaceId,
  function_id: submission.functionId,
  method: submission.method,
  size: submission.size,
  priority: submission.priority,
  concurrency_key: submission.concurrencyKey,
  tags: submission.tags,
  due_at: submission.dueAt,
  expires_at: submission.expiresAt,
  schedule_id: submission.scheduleId,
  tick_at: submission.tickAt,
  idempotency_key: submission.idempotencyKey,
  request_hash: submission.requestHash,
});

/** The batch that an idempotency key made before. */
export async function findByIdempotencyKey(
  sql: Sql,
  workspaceId: string,
  key: string,
): Promise<{ id: number; size: number; requestHash: string } | null> {
  const [row] = await sql<{ id: number; size: number; requestHash: string }[]>`
    select id, size, request_hash from batch where workspace_id = ${workspaceId} and idempotency_key = ${key}`;
  return row ?? null;
}

/** Ends what has waited beyond its `ttl`, at most `limit` ranges; returns the batches it touched. */
export async function expireDue(sql: Sql, now: Date, limit = 1_000): Promise<number[]> {
  const rows = await sql<{ batchId: number }[]>`
    with due as (
      select batch_id, lo from ready where expires_at <= ${now} -- ready_expires
      order by expires_at limit ${limit} for update skip locked
    ),
    gone as (
      delete from ready using due where ready.batch_id = due.batch_id and ready.lo = due.lo
      returning ready.batch_id, ready.lo, ready.hi
    ),
    ended as (
      insert into result (batch_id, idx, state, ended_at)
      select batch_id, generate_series(lo, hi - 1), 3, ${now} from gone
      on conflict (batch_id, idx) do nothing
    )
    select distinct batch_id from gone`;
  return rows.map((row) => row.batchId);
}

/** Makes claimable what had to wait for a time that has come; returns the functions it touched. */
export async function wakeDue(sql: Sql, now: Date): Promise<number[]> {
  const rows = await sql<{ functionId: number }[]>`
    with due as (
      update ready set due_at = null where due_at <= ${now} -- ready_due
      returning function_id
    )
    select distinct function_id from due`;
  return rows.map((row) => row.functionId);
}

/**
 * Fails the calls of a function that wait to start now: it can't be started. Returns the batches it touched.
 *
 * @param until spares those that wait since later
 */
export async function failQueued(
  sql: Sql,
  now: Date,
  functionId: number,
  failure: Failure,
  until: Date = now,
): Promise<number[]> {
  const state = RESULT_STATES.indexOf(failure.kind === "cancelled" ? "cancelled" : "failed");
  const rows = await sql<{ batchId: number }[]>`
    with gone as (
      delete from ready where function_id = ${functionId} and due_at is null and since <= ${until}
      returning batch_id, lo, hi
    ),
    ended as (
      insert into result (batch_id, idx, state, value, ended_at)
      select batch_id, generate_series(lo, hi - 1), ${state}, ${JSON.stringify(failure)}::text::json, ${now}
      from gone
      on conflict (batch_id, idx) do nothing
    )
    select distinct batch_id from gone`;
  return rows.map((row) => row.batchId);
}
