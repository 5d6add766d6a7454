/**
 * How calls ended, held against what was asked for and what clients saw: one call per wish, an end that its doing explains, a result
 * by the very attempt that the store holds to be the last, and the same story on both sides.
 */
import { type Failure, formatCallId } from "../../../sdk/protocol.ts";
import { isDeepStrictEqual } from "node:util";
import type { Sessions } from "../database/sessions.ts";
import type { Ledger, Wish } from "../ledger.ts";
import type { Doing, Done } from "../machine/deed.ts";

interface Row {
  readonly batch: number;
  readonly index: number;
  readonly n: number;
  readonly state: "succeeded" | "failed" | "cancelled" | "expired" | null;
  readonly value: unknown;
  readonly attempt: number | null;
  readonly container: string | null;
}

const STATES = ["succeeded", "failed", "cancelled", "expired"] as const;

/** What the store and the ledger disagree about, in words. */
export async function disagreements(sessions: Sessions, ledger: Ledger): Promise<string[]> {
  const rows = await readCalls(sessions);
  const byWish = Map.groupBy(rows, ({ n }) => n);
  return ledger.wishes.flatMap((wish) => {
    const found = byWish.get(wish.deed.n) ?? [];
    return [
      ...(found.length > 1 ? [`wish ${wish.deed.n} was made ${found.length} times`] : []),
      ...(found.length === 0 && wish.accepted ? [`wish ${wish.deed.n} was accepted, and is not there`] : []),
      ...found.flatMap((row) => wrongEnd(row, wish) ?? wrongSight(row, wish) ?? []),
    ].map((what) => `${what} (${wish.app}/${wish.function}, ${JSON.stringify(wish.deed)})`);
  });
}

async function readCalls({ watch }: Sessions): Promise<Row[]> {
  const rows = await watch<(Omit<Row, "state"> & { state: number | null })[]>`
    select call.batch_id as batch, call.idx as index, (call.input->>'n')::int as n, result.state, result.value,
      lease.attempt, lease.container_id as container
    from call
      join batch on batch.id = call.batch_id
      left join result on result.batch_id = call.batch_id and result.idx = call.idx
      left join lease on lease.id = result.lease_id
    where batch.schedule_id is null
    order by call.batch_id, call.idx`;
  return rows.map((row) => ({ ...row, state: row.state === null ? null : STATES[row.state]! }));
}

/** An end that nothing explains. */
function wrongEnd(row: Row, wish: Wish): string | null {
  const { deed } = wish;
  const id = formatCallId(row);
  switch (row.state) {
    case null:
      return `call ${id} has not ended`;
    case "succeeded": {
      const done: Done = { n: deed.n, call: id, attempt: row.attempt ?? 0, container: row.container ?? "" };
      if (!CAN_SUCCEED.includes(deed.do)) return `call ${id} succeeded`;
      return isDeepStrictEqual(row.value, done)
        ? null
        : `call ${id} has result ${JSON.stringify(row.value)}, its last attempt would bring ${
          JSON.stringify(done)
        }`;
    }
    case "failed": {
      const { kind } = row.value as Failure;
      return CAN_FAIL[kind](deed.do) || wish.mayFailWithOthers() ? null : `call ${id} failed as ${kind}`;
    }
    case "cancelled":
      return wish.mayCancel || wish.mayLoseFunction()
        ? null
        : `call ${id} is cancelled, which nobody asked for`;
    case "expired":
      return wish.mayExpire ? null : `call ${id} expired, and had no ttl`;
  }
}

const CAN_SUCCEED: readonly Doing[] = ["return", "stumble"];

/** Which doings explain which failures. Whatever a call does, it may run into its timeout on a machine that stands still. */
const CAN_FAIL: Readonly<Record<Failure["kind"], (doing: Doing) => boolean>> = {
  user_error: (doing) => ["throw", "stumble", "exit"].includes(doing),
  timeout: () => true,
  out_of_memory: (doing) => doing === "grow",
  start_failed: () => true,
  node_lost: () => true,
  preempted: () => true,
  cancelled: () => false,
};

/** What the client saw is what is there. */
function wrongSight({ state, value, ...row }: Row, { seen }: Wish): string | null {
  if (seen === null) return null;
  const there = state === "succeeded"
    ? { value }
    : { failure: (value as Failure | null)?.kind ?? "cancelled" };
  return isDeepStrictEqual(seen, there)
    ? null
    : `the client of call ${formatCallId(row)} saw ${JSON.stringify(seen)}, the store has ${
      JSON.stringify(there)
    }`;
}
