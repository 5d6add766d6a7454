/** Endpoint traffic as each gateway sees it. */
import type { Sql } from "./connect.ts";

/** What one gateway says of one function. */
export interface DemandRow {
  readonly functionId: number;
  /** Requests that containers are serving. */
  readonly inFlight: number;
  /** Requests that the gateway holds. */
  readonly waiting: number;
  /** Since when the first of them waits, in milliseconds since 1970. */
  readonly oldestAt: number | null;
  /** Last time there was a request. */
  readonly activeAt: number;
}

/**
 * Writes what a gateway says now of some functions. It says so again every 5 s while there is something to say: older rows are
 * those of a dead gateway, and the snapshot ignores them (`TRAFFIC_STALE_MS`).
 */
export async function reportDemand(
  sql: Sql,
  now: Date,
  { gateway, rows }: { gateway: string; rows: readonly DemandRow[] },
): Promise<void> {
  await sql`
    insert into demand (gateway, function_id, in_flight, waiting, oldest_at, active_at, updated_at)
    select ${gateway}, said."functionId", said."inFlight", said.waiting,
      to_timestamp(said."oldestAt" / 1000.0), to_timestamp(said."activeAt" / 1000.0), ${now}
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as said
      ("functionId" int, "inFlight" int, waiting int, "oldestAt" float8, "activeAt" float8)
    on conflict (gateway, function_id) do update set
      in_flight = excluded.in_flight,
      waiting = excluded.waiting,
      oldest_at = excluded.oldest_at,
      active_at = greatest(demand.active_at, excluded.active_at),
      updated_at = excluded.updated_at`;
}

/** Removes the rows of gateways that died long ago. */
export async function forgetDemand(sql: Sql, before: Date): Promise<void> {
  await sql`delete from demand where updated_at < ${before}`;
}
