/** Leadership: whoever holds the lock of a tick's transaction leads for that tick, and nobody can write a plan without it. */
import type { Sql } from "./connect.ts";

/** Any number, but the same for every scheduler of a database. */
const LOCK = 0x62657274;

/**
 * Tries to lead until the end of the transaction; does not wait. Also sets, for that long:
 *
 * - a leader that falls silent in the middle of a tick is cut off, so that another can take over;
 * - plans that suit a tick: it reads a little of tables that may be long, so never all of one, and compiles nothing.
 */
export async function lead(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ leads: boolean }[]>`
    select pg_try_advisory_xact_lock(${LOCK}) as leads,
      set_config('idle_in_transaction_session_timeout', '3000', true),
      set_config('enable_seqscan', 'off', true),
      set_config('jit', 'off', true)`;
  return row!.leads;
}
