/** Values that are too large to travel with their call: which batches have which. A value stays as long as one of them does. */
import { afterReads } from "./blobs.ts";
import type { Sql } from "./connect.ts";
import { isPart } from "./parts.ts";

/** Where a value lies. A reference means something only in the workspace that it was made in. */
export const valueKey = (workspace: string, id: string): string => `values/${workspace}/${id}`;

/** Of these values those that are there; they stay until the transaction ends, so that it can say which batch has them. */
export async function lockValues(tx: Sql, keys: readonly string[]): Promise<Set<string>> {
  const rows = await tx<{ key: string }[]>`
    select key from blob where key = any(${keys as string[]}) and state <> 'going'
    order by key for update`;
  return new Set(rows.map(({ key }) => key));
}

/** Says that a batch has values, which are locked. */
export async function useValues(tx: Sql, batch: number, keys: readonly string[]): Promise<void> {
  await tx`
    with kept as (update blob set state = 'kept', due_at = null where key = any(${keys as string[]}) returning key)
    insert into value_use (batch_id, key) select ${batch}, key from kept on conflict do nothing`;
}

/** Values that calls of a node have returned or yielded: under which lease, and their ids. */
export interface SaidValue {
  readonly lease: number;
  readonly id: string;
}

/** Keeps what calls of a node are about to say. Call it before that is written down: a value too many goes with its batch. */
export async function keepSaidValues(sql: Sql, nodeId: string, said: readonly SaidValue[]): Promise<void> {
  const [parts, leases] = [said.filter(isOfPart), said.filter((one) => !isOfPart(one))];
  await sql`
    with heard as (
      select l.batch_id, s.id from ${
    sent(sql, leases)
  } join lease l on l.id = s.lease_id where l.node_id = ${nodeId}
      union
      select l.batch_id, s.id from ${
    sent(sql, parts)
  } join part p on p.id = s.lease_id join lease l on l.id = p.lease_id
      where p.node_id = ${nodeId}
    ),
    meant as materialized (
      select distinct h.batch_id, 'values/' || b.workspace_id || '/' || h.id as key
      from heard h join batch b on b.id = h.batch_id
    ),
    kept as (
      update blob set state = 'kept', due_at = null
      where key in (select key from meant) and state <> 'going'
      returning key
    )
    insert into value_use (batch_id, key) select meant.batch_id, meant.key from meant join kept using (key)
    on conflict do nothing`;
}

const isOfPart = ({ lease }: SaidValue): boolean => isPart(lease);

const sent = (sql: Sql, said: readonly SaidValue[]) =>
  sql`
  unnest(${said.map(({ lease }) => lease)}::bigint[], ${
    said.map(({ id }) => id)
  }::text[]) as s(lease_id, id)`;

/** Lets go of the values that only these batches have. Call it inside a transaction. */
export async function dropValues(tx: Sql, now: Date, batches: readonly number[]): Promise<void> {
  const mine = batches as number[];
  // Locked before it is asked who else has them: whoever begins to use one meanwhile waits for that.
  const rows = await tx<{ key: string }[]>`
    select key from blob where key in (select key from value_use where batch_id = any(${mine}::bigint[]))
    order by key for update`;
  const keys = rows.map(({ key }) => key);
  await tx`delete from value_use where batch_id = any(${mine}::bigint[])`;
  await tx`
    update blob set state = 'released', due_at = ${afterReads(now)}
    where key = any(${keys}) and state = 'kept'
      and not exists (select from value_use u where u.key = blob.key) -- value_use_key`;
}
