/**
 * How many calls of a workspace may wait. The limit is exact: creations of a workspace that has one go one after another, under the
 * lock of its row, each counting what those before have committed. Calls that end or start meanwhile only make room. What was
 * accepted once is never refused: calls that wait again, and ticks of schedules, are counted but pass.
 */
import { findByIdempotencyKey, store, type Submission } from "./calls.ts";
import type { Pool, Sql } from "./connect.ts";
import { lockValues, useValues } from "./values.ts";

/** A submission that did not fit, and what its workspace had at that moment. */
export interface OverLimit {
  readonly limit: number;
  readonly queued: number;
}

/** A submission of which an input stands for a value that is not there (any more). */
export const NO_VALUE = "no value";

type Refusal = OverLimit | typeof NO_VALUE;
/** The id of a submission's batch; null when its idempotency key was there before; or why there is none. */
export type Outcome = number | null | Refusal;

/**
 * Stores submissions as far as the limits of their workspaces allow, each whole or not at all. Those of workspaces without a limit
 * share one statement and wait for nobody, unless they have values to keep.
 *
 * @returns for each, in order, what became of it
 */
export async function enqueueWithinLimits(
  pool: Pool,
  now: Date,
  submissions: readonly Submission[],
): Promise<Outcome[]> {
  const plain = submissions.filter((one) => !hasValues(one));
  const stored = plain.length === 0 ? [] : await store(pool, now, plain, { skipLimited: true });
  const outcomes = new Map<Submission, Outcome>();
  for (const [i, { id, skipped }] of stored.entries()) if (!skipped) outcomes.set(plain[i]!, id);
  const careful = submissions.filter((one) => !outcomes.has(one));
  if (careful.length > 0) {
    const later = await pool.begin((sql) => storeCarefully(sql, now, careful)) as Outcome[];
    for (const [i, one] of careful.entries()) outcomes.set(one, later[i]!);
  }
  return submissions.map((one) => outcomes.get(one)!);
}

const hasValues = ({ values = [] }: Submission): boolean => values.length > 0;

async function storeCarefully(sql: Sql, now: Date, submissions: readonly Submission[]): Promise<Outcome[]> {
  const queues = await lockQueues(sql, [...new Set(submissions.map((one) => one.workspaceId))]);
  const there = await lockValues(sql, submissions.flatMap(({ values = [] }) => values));
  const verdicts: (Refusal | null)[] = [];
  for (const submission of submissions) {
    const lacks = submission.values?.some((key) => !there.has(key)) ?? false;
    verdicts.push(lacks ? NO_VALUE : await admit(sql, submission, queues));
  }
  const admitted = submissions.filter((_, i) => verdicts[i] === null);
  const ids = (await store(sql, now, admitted, { skipLimited: false })).map(({ id }) => id);
  for (const [i, { values = [] }] of admitted.entries()) {
    const id = ids[i]!;
    if (values.length > 0 && id !== null) await useValues(sql, id, values);
  }
  let next = 0;
  return verdicts.map((refusal) => refusal ?? ids[next++]!);
}

interface Queue {
  readonly limit: number;
  /** Calls that wait, with those admitted just now. */
  queued: number;
}

/** Counts a submission in, or says why it does not fit. One that came before, and has its batch, takes no room. */
async function admit(
  sql: Sql,
  { workspaceId, size, idempotencyKey }: Submission,
  queues: ReadonlyMap<string, Queue>,
): Promise<OverLimit | null> {
  const queue = queues.get(workspaceId);
  if (queue === undefined) return null;
  if (idempotencyKey !== undefined && await findByIdempotencyKey(sql, workspaceId, idempotencyKey) !== null) {
    return null;
  }
  if (queue.queued + size > queue.limit) return { ...queue };
  queue.queued += size;
  return null;
}

/** The queues of workspaces that have a limit now. They are locked, then counted by a statement of its own, which sees what came before. */
async function lockQueues(sql: Sql, workspaces: readonly string[]): Promise<Map<string, Queue>> {
  const limits = await sql<{ id: string; limit: number }[]>`
    select id, queued_limit as limit from workspace
    where id = any(${workspaces as string[]}) and queued_limit is not null
    order by id for no key update`;
  const counts = await sql<{ id: string; queued: number }[]>`
    select app.workspace_id as id, sum(${waitingCalls(sql, "function.id")})::float8 as queued
    from app join function on function.app_id = app.id
    where app.workspace_id = any(${limits.map(({ id }) => id)}) and app.deleted_at is null -- app_live
    group by app.workspace_id`;
  const queued = new Map(counts.map((row) => [row.id, row.queued]));
  return new Map(limits.map(({ id, limit }) => [id, { limit, queued: queued.get(id) ?? 0 }]));
}

/** How many calls of a function wait, it being named by a column. Each term has its index. */
export const waitingCalls = (sql: Sql, functionId: string) =>
  sql`
    (select coalesce(sum(hi - lo), 0)::float8 from (
      select hi, lo from ready
      where function_id = ${sql(functionId)} and due_at is null and concurrency_key is null -- ready_claim
      union all
      select hi, lo from ready
      where function_id = ${sql(functionId)} and due_at is null and concurrency_key is not null -- ready_keyed
      union all
      select hi, lo from ready where function_id = ${sql(functionId)} and due_at is not null -- ready_delayed
    ) waits)`;
