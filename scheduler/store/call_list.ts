/** Finding calls: which ones a filter means, newest first. What they are is read by call_reads.ts. */
import type { CallKey, CallState } from "../../sdk/protocol.ts";
import { RESULT_STATES } from "../states.ts";
import type { Sql } from "./connect.ts";

export interface CallFilter {
  readonly workspace: string;
  readonly app?: string | undefined;
  /** `train`, `Digits.classify`, or the class `Digits` for all its methods. */
  readonly function?: string | undefined;
  readonly state?: CallState | undefined;
  readonly tag?: { readonly key: string; readonly value?: string | undefined } | undefined;
  /** The last call of the page before. */
  readonly after?: CallKey | undefined;
  readonly limit: number;
}

/**
 * Keys of the calls that a filter means, newest first. Each statement walks an index backwards until the page is full: what
 * is everywhere is found from the batches, what is rare from where it lies. `offset 0` keeps the planner to that order.
 */
export async function findCallKeys(sql: Sql, filter: CallFilter): Promise<CallKey[]> {
  const functionIds = await functionsOf(sql, filter);
  if (functionIds?.length === 0) return [];
  const meant = batchIsMeant(sql, filter, functionIds);
  return await sql<CallKey[]>`
    select b.id as batch, k.idx as index
    from ${
    filter.state === undefined || filter.state === "succeeded"
      ? fromBatches(sql, filter, meant)
      : fromPlaces(sql, placesOf(sql, filter.state), meant)
  }
    where true ${afterCursor(sql, filter)}
    order by b.id desc, k.idx desc
    limit ${filter.limit}`;
}

type Fragment = ReturnType<typeof batchIsMeant>;

const fromBatches = (sql: Sql, { state, after }: CallFilter, meant: Fragment) =>
  sql`
  (
    select b.id from batch b
    where ${meant} ${after === undefined ? sql`` : sql`and b.id <= ${after.batch}`}
    order by b.id desc  -- batch_workspace, or batch_function
    offset 0
  ) b
  join lateral (
    ${
    state === undefined
      ? sql`select c.idx from call c where c.batch_id = b.id`
      : sql`select r.idx from result r where r.batch_id = b.id and r.state = 0`
  }
    offset 0
  ) k on true`;

const fromPlaces = (sql: Sql, places: Fragment, meant: Fragment) =>
  sql`
  (${places} offset 0) k
  join lateral (select b.id from batch b where b.id = k.batch_id and ${meant} offset 0) b on true`;

const afterCursor = (sql: Sql, { after }: CallFilter) =>
  after === undefined ? sql`` : sql`and (b.id, k.idx) < (${after.batch}, ${after.index})`;

/** Functions that the filter names, over all that ever bore the name; undefined when it names none. */
async function functionsOf(
  sql: Sql,
  { workspace, app, function: name }: CallFilter,
): Promise<number[] | undefined> {
  if (app === undefined && name === undefined) return undefined;
  const rows = await sql<{ id: number }[]>`
    select f.id
    from function f
    join app a on a.id = f.app_id
    where a.workspace_id = ${workspace}
      ${app === undefined ? sql`` : sql`and a.name = ${app}`}
      ${name === undefined ? sql`` : sql`and f.name = ${name.split(".")[0]!}`}`;
  return rows.map((row) => row.id);
}

function batchIsMeant(
  sql: Sql,
  { workspace, function: name, tag }: CallFilter,
  functionIds: number[] | undefined,
) {
  return sql`
    b.workspace_id = ${workspace}
    ${functionIds === undefined ? sql`` : sql`and b.function_id = any(${functionIds}::int[])`}
    ${name?.includes(".") ? sql`and b.method = ${name}` : sql``}
    ${tag === undefined ? sql`` : sql`and jsonb_exists(b.tags, ${tag.key})`}
    ${tag?.value === undefined ? sql`` : sql`and b.tags->>${tag.key} = ${tag.value}`}`;
}

/** Where calls in a state lie, newest first. */
function placesOf(sql: Sql, state: Exclude<CallState, "succeeded">) {
  switch (state) {
    case "queued":
      return sql`
        select q.batch_id, i as idx
        from (select * from ready order by batch_id desc, lo desc offset 0) q, generate_series(q.hi - 1, q.lo, -1) i`;
    case "running":
      return openPlaces(sql);
    default:
      return sql`
        select batch_id, idx from result  -- result_unsuccessful
        where state > 0 and state = ${RESULT_STATES.indexOf(state)}
        order by batch_id desc, idx desc`;
  }
}

/** Calls of open leases that have not been reported in any way. */
const openPlaces = (sql: Sql) =>
  sql`
  select l.batch_id, i as idx
  from lease l, generate_series(l.lo, l.hi - 1) i
  where l.remaining > 0
    and not exists (select from result r where r.batch_id = l.batch_id and r.idx = i)
    and not exists (select from attempt t where t.batch_id = l.batch_id and t.idx = i and t.lease_id = l.id)
    and not exists (select from given_back g where g.lease_id = l.id and g.idx = i)
  order by l.batch_id desc, i desc`;
