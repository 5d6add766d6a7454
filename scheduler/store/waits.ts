/** Why a call waits, behind how many others, and until when: for those who read calls. */
import type { Call } from "../../sdk/protocol.ts";
import { keyEta, type Outlook, queueEta } from "../eta.ts";
import type { Sql } from "./connect.ts";

/** How many ranges are looked at to count the calls before one; beyond, `position` is a lower bound. */
const POSITION_RANGES = 2_000;

/** A place in `ready`. */
export interface WaitRow {
  readonly attempt: number;
  readonly dueMs: number | null;
  readonly before: number;
  /** The line of the call's concurrency key. */
  readonly key: { readonly places: number; readonly running: number; readonly before: number } | null;
}

/** What the last tick said of the function's queue. */
export interface OutlookRow extends Outlook {
  readonly reason: string;
}

export interface Waiting {
  readonly ready: WaitRow | null;
  readonly outlook: OutlookRow | null;
  readonly concurrencyKey: string | null;
}

/** Milliseconds since 1970 of a column. */
export const epochMs = (sql: Sql, column: string) => sql`(extract(epoch from ${sql(column)}) * 1000)::float8`;

/** An {@link OutlookRow} of function `f`. */
export const outlookOf = (sql: Sql) =>
  sql`
  (select json_build_object('reason', reason, 'slots', slots, 'callMs', call_ms, 'startsAt', ${
    epochMs(sql, "since")
  } + starts_ms)
    from waiting where function_id = f.id)`;

/** The range of `ready` in which call `w` of function `f` waits, unless `r` is its result; `wait` is a {@link WaitRow}. */
export const waitingRange = (sql: Sql) =>
  sql`
  select q.batch_id, json_build_object('attempt', q.attempt, 'dueMs', ${epochMs(sql, "q.due_at")},
    'before', case when q.due_at is null
      then (${earlier(sql, sql`is null`)}) + (${earlier(sql, sql`is not null`)}) + w.idx - q.lo else 0 end,
    'key', case when q.due_at is null and q.concurrency_key is not null then json_build_object(
      'places', coalesce((f.spec->>'concurrencyPerKey')::int, 1),
      'running', (
        select coalesce(sum(remaining), 0)::int from lease  -- lease_key
        where function_id = q.function_id and concurrency_key = q.concurrency_key and remaining > 0
      ),
      'before', (${earlier(sql, sql`= q.concurrency_key`)}) + w.idx - q.lo) end) as wait
  from ready q
  where r.batch_id is null and q.batch_id = w.batch and q.lo <= w.idx and q.hi > w.idx`;

/** Calls of ranges that go before one: of higher priority, or earlier. Keys have indexes of their own: ready_keyed, ready_key. */
const earlier = (sql: Sql, key: ReturnType<typeof epochMs>) =>
  sql`
  select coalesce(sum(hi - lo), 0)::int from (
    (
      select hi, lo from ready
      where function_id = q.function_id and due_at is null and concurrency_key ${key} and priority > q.priority
      order by priority, batch_id desc, lo desc  -- ready_claim, backwards
      limit ${POSITION_RANGES}
    ) union all (
      select hi, lo from ready
      where function_id = q.function_id and due_at is null and concurrency_key ${key} and priority = q.priority
        and (batch_id, lo) < (q.batch_id, q.lo)
      order by priority, batch_id desc, lo desc
      limit ${POSITION_RANGES}
    )
  ) earlier`;

export function waitingOf({ ready, outlook, concurrencyKey }: Waiting, now: number): Call["waiting"] {
  const { attempt = 1, dueMs = null, before = 0, key = null } = ready ?? {};
  if (dueMs !== null && dueMs > now) {
    const what = attempt > 1 ? "its next attempt" : "its delay to pass,";
    return waits(`waits for ${what} at ${instant(dueMs)}`, 0, dueMs);
  }
  if (key !== null && key.running >= key.places) {
    const others = key.running === 1 ? "another call" : `${key.running} other calls`;
    const reason = `waits for ${others} with its concurrency key "${concurrencyKey}" to end`;
    return waits(reason, key.before, keyEta({ ...key, callMs: outlook?.callMs ?? null }, now));
  }
  if (outlook === null) return waits("waits for a free container", before, null);
  return waits(outlook.reason, before, queueEta(outlook, before, now));
}

const waits = (reason: string, position: number, eta: number | null): Call["waiting"] => ({
  reason,
  position,
  eta: eta === null ? null : instant(eta),
});

const instant = (ms: number): string => new Date(ms).toISOString();
