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

/** Keys of the calls that a filter means, newest first; each state is looked up where calls in it lie. */
export async function findCallKeys(sql: Sql, filter: CallFilter): Promise<CallKey[]> {
  const functionIds = await functionsOf(sql, filter);
  if (functionIds?.length === 0) return [];
  return await sql<CallKey[]>`
    select b.id as batch, k.idx as index
    from batch b
    join ${placesOf(sql, filter.state)}
    where ${batchIsMeant(sql, filter, functionIds)}
      ${
    filter.after === undefined
      ? sql``
      : sql`and b.id <= ${filter.after.batch} and (b.id, k.idx) < (${filter.after.batch}, ${filter.after.index})`
  }
    order by b.id desc, k.idx desc  -- batch_workspace, or batch_function
    limit ${filter.limit}`;
}

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

/** Where calls in a state lie, as `k(idx)` joined to batch `b`. */
function placesOf(sql: Sql, state: CallState | undefined) {
  switch (state) {
    case undefined:
      return sql`call k on k.batch_id = b.id`;
    case "queued":
      return sql`lateral (
        select generate_series(q.lo, q.hi - 1) as idx from ready q where q.batch_id = b.id
      ) k on true`;
    case "running":
      return sql`lateral (${openPlaces(sql)}) k on true`;
    case "succeeded":
      return sql`result k on k.batch_id = b.id and k.state = 0`;
    default: // result_unsuccessful
      return sql`result k on k.batch_id = b.id and k.state > 0 and k.state = ${RESULT_STATES.indexOf(state)}`;
  }
}

/** Calls of open leases that have not been reported in any way. */
const openPlaces = (sql: Sql) =>
  sql`
  select i as idx
  from lease l, generate_series(l.lo, l.hi - 1) i
  where l.batch_id = b.id and l.remaining > 0
    and not exists (select from result r where r.batch_id = l.batch_id and r.idx = i)
    and not exists (select from attempt t where t.batch_id = l.batch_id and t.idx = i and t.lease_id = l.id)
    and not exists (select from given_back g where g.lease_id = l.id and g.idx = i)`;
