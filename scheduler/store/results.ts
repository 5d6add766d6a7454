/** Results of a batch as lines of text, made by the database: values are passed on as they were written, never parsed. */
import type { Sql } from "./connect.ts";

/** Indexes [lo, hi) of a batch. */
export type Range = readonly [lo: number, hi: number];

/**
 * Results that lie in the given ranges, as lines `[index, "state", result | null, failure | null]` in order of index.
 *
 * A value may hold line breaks between its tokens (never inside a string), which would end its line early.
 */
export async function readResultLines(
  sql: Sql,
  batch: number,
  ranges: readonly Range[],
  limit: number,
): Promise<{ indexes: number[]; lines: string }> {
  const [row] = await sql<{ indexes: string | null; lines: string | null }[]>`
    with found as (
      select r.idx, r.state, replace(r.value::text, E'\n', ' ') as value
      from unnest(${arrayOf(ranges, 0)}::text::int[], ${arrayOf(ranges, 1)}::text::int[]) as missing(lo, hi)
      join result r on r.batch_id = ${batch} and r.idx >= missing.lo and r.idx < missing.hi
      order by r.idx
      limit ${limit}
    )
    select string_agg(idx::text, ',' order by idx) as indexes,
      string_agg('[' || idx || case state
        when 0 then ',"succeeded",' || coalesce(value, 'null') || ',null]'
        when 1 then ',"failed",null,' || coalesce(value, 'null') || ']'
        when 2 then ',"cancelled",null,' || coalesce(value, 'null') || ']'
        else ',"expired",null,' || coalesce(value, 'null') || ']'
      end, E'\n' order by idx) as lines
    from found`;
  if (row!.indexes === null) return { indexes: [], lines: "" };
  return { indexes: row!.indexes.split(",").map(Number), lines: `${row!.lines}\n` };
}

const arrayOf = (ranges: readonly Range[], side: 0 | 1): string =>
  `{${ranges.map((range) => range[side]).join(",")}}`;
