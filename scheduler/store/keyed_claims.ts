/**
 * Claims of functions with concurrency keys: at most `concurrencyPerKey` calls of a key are leased at a time, exactly, however many
 * processes claim. Claimers of one function go one after another, under an advisory lock that ends with the transaction: each
 * counts the leases that those before have committed, and leases that end meanwhile only make the count smaller.
 *
 * Keys without a free place are passed over, so that the calls behind theirs start. A key may have many calls, and many keys
 * a few: so the first {@link LOOK} ranges are looked at in order, and only where that is not enough is every key asked for its
 * first ones, which skips a long line of one key but costs some microseconds for each key that waits.
 */
import type { Pool, Sql } from "./connect.ts";
import { CLAIMED, type Claimed, type ClaimedRange, type ClaimRequest, leasing, mayClaim } from "./leasing.ts";

/** Ranges with keys that are looked at in order. */
const LOOK = 200;

/** Any number, but the same for everyone who claims. */
const LOCK = 0x6b6579;

/** The claim of a function of which some calls with keys wait; those without are claimed along, each in its turn. */
export async function claimKeyed(pool: Pool, now: Date, request: ClaimRequest): Promise<Claimed> {
  return await pool.begin((sql) => claimKeyedWithin(sql, now, request)) as Claimed;
}

/** The same, inside a transaction. */
export async function claimKeyedWithin(sql: Sql, now: Date, request: ClaimRequest): Promise<Claimed> {
  const first = await claimLocked(sql, now, request, firstInOrder);
  const left = request.calls - sizeOf(first.ranges);
  if (left === 0 || !first.more) return { ranges: first.ranges, exhausted: left > 0 && !first.missed };
  const rest = await claimLocked(sql, now, { ...request, calls: left }, firstOfEachKey);
  const exhausted = sizeOf(rest.ranges) < left && !rest.missed;
  return { ranges: [...first.ranges, ...rest.ranges], exhausted };
}

const sizeOf = (ranges: readonly ClaimedRange[]): number => ranges.reduce((sum, { size }) => sum + size, 0);

/** What one statement came to. */
interface Taken {
  readonly ranges: readonly ClaimedRange[];
  /** There are more ranges than it looked at. */
  readonly more: boolean;
  /** Somebody else had a range in hand, as one who cancels has. */
  readonly missed: boolean;
}

type TakenRow = ClaimedRange & { readonly wanted: number; readonly more: boolean };

/**
 * The locks and the claim are sent together, yet the claim sees all that was committed before the locks were free. The container is
 * locked first, as everywhere: who holds the line of a function waits for nothing more.
 */
async function claimLocked(
  sql: Sql,
  now: Date,
  request: ClaimRequest,
  keyedLine: typeof firstInOrder,
): Promise<Taken> {
  const { containerId, calls } = request;
  const [, rows] = await Promise.all([
    sql`
      with holder as materialized (select function_id from container where id = ${containerId} for share)
      select pg_advisory_xact_lock(${LOCK}, function_id), set_config('idle_in_transaction_session_timeout', '3000', true)
      from holder`,
    sql<TakenRow[]>`
      with recursive holder as materialized (
        select container.function_id, coalesce((function.spec->>'concurrencyPerKey')::int, 1) as places
        from container
        join function on function.id = container.function_id and function.deployment_id = container.deployment_id
        where ${mayClaim(sql, request)}
        for share of container
      ),
      running as materialized ( -- lease_key
        select concurrency_key as key, sum(remaining)::int as calls from lease
        where function_id = (select function_id from holder) and remaining > 0 and concurrency_key is not null
        group by concurrency_key
      ),
      ${keyedLine(sql)},
      unkeyed as ( -- ready_claim
        select batch_id, lo, hi, priority, null::text as key from ready
        where function_id = (select function_id from holder) and due_at is null and concurrency_key is null
        order by priority desc, batch_id, lo
        limit ${calls}
      ),
      waiting as (
        select * from keyed
        union all
        select * from unkeyed where not exists (
          select from horizon
          where (-unkeyed.priority, unkeyed.batch_id, unkeyed.lo) > (-horizon.priority, horizon.batch_id, horizon.lo))
      ),
      startable as (
        select batch_id, lo, priority, case when waiting.key is null then hi - lo else
          least(hi - lo, greatest(0, places - coalesce(running.calls, 0) -
            (sum(hi - lo) over (partition by waiting.key order by priority desc, batch_id, lo) - (hi - lo)))) end::int as calls
        from holder cross join waiting left join running on running.key = waiting.key
      ),
      wanted as materialized (
        select batch_id, lo, least(calls, ${calls} - before)::int as take from (
          select *, sum(calls) over (order by priority desc, batch_id, lo) - calls as before from startable where calls > 0
        ) as summed
        where before < ${calls}
      ),
      ${leasing(sql, now, request)}
      select ${CLAIMED(sql)}, null::int as wanted, null::boolean as more
      from leased join batch on batch.id = leased.batch_id
      union all
      select null, null, null, null, null, null, null, (select coalesce(sum(take), 0)::int from wanted), exists (select from horizon)`,
  ]);
  const { wanted, more } = rows.at(-1)!;
  const ranges = rows.slice(0, -1).map(({ wanted: _wanted, more: _more, ...range }) => range);
  return { ranges, more, missed: sizeOf(ranges) < wanted };
}

/** The first ranges with keys; `horizon` is the last of them when there may be more. */
const firstInOrder = (sql: Sql) =>
  sql`
      keyed as materialized ( -- ready_keyed
        select batch_id, lo, hi, priority, concurrency_key as key from ready
        where function_id = (select function_id from holder) and due_at is null and concurrency_key is not null
        order by priority desc, batch_id, lo
        limit ${LOOK}
      ),
      horizon as materialized (
        select priority, batch_id, lo from keyed order by priority desc, batch_id, lo offset ${LOOK - 1}
      )`;

/** Of each key as many ranges as it has free places, found by skipping from key to key. */
const firstOfEachKey = (sql: Sql) =>
  sql`
      keys as ( -- ready_key
        (select concurrency_key as key from ready
         where function_id = (select function_id from holder) and due_at is null and concurrency_key is not null
         order by concurrency_key limit 1)
        union all
        select (select concurrency_key from ready
          where function_id = (select function_id from holder) and due_at is null and concurrency_key > keys.key
          order by concurrency_key limit 1)
        from keys where keys.key is not null
      ),
      keyed as materialized (
        select next.* from holder cross join keys left join running using (key)
        cross join lateral ( -- ready_key
          select batch_id, lo, hi, priority, concurrency_key as key from ready
          where function_id = holder.function_id and due_at is null and concurrency_key = keys.key
          order by priority desc, batch_id, lo
          limit greatest(0, places - coalesce(running.calls, 0))
        ) next
        where keys.key is not null
      ),
      horizon as (select priority, batch_id, lo from keyed where false)`;
