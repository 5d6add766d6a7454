/**
 * Which blobs there are, and which of them may go. A blob is *announced* before a byte of it is written, *kept* while something
 * refers to it, *released* when nothing does any more, and *going* once its bytes are being removed. Whoever wants to refer to it
 * changes its row, as does whoever removes it: of the two, one is first, and the other sees that.
 */
import type { Sql } from "./connect.ts";

/** What is on its way out is still read by those who were given a URL for it; none is good for longer. */
export const READ_MS = 2 * 3_600_000;
/** How long a sweeper has for what it took; then another may take it. */
const SWEEP_MS = 10 * 60_000;

export interface Announced {
  readonly key: string;
  /** Removed from then on, unless something refers to it by then. */
  readonly dueAt: Date;
  /** The store's name for an upload in parts. */
  readonly upload?: string | undefined;
}

/** Makes a blob known, before anybody can write it. */
export async function announceBlob(sql: Sql, { key, dueAt, upload }: Announced): Promise<void> {
  await sql`
    insert into blob (key, state, upload, due_at) values (${key}, 'announced', ${upload ?? null}, ${dueAt})`;
}

/** The upload in parts by which a blob that nothing refers to yet is written; undefined when there is no such blob. */
export async function announcedUpload(
  sql: Sql,
  key: string,
): Promise<{ upload: string | null } | undefined> {
  const [row] = await sql<{ upload: string | null }[]>`
    select upload from blob where key = ${key} and state in ('announced', 'kept')`;
  return row;
}

/** Keeps an announced blob from now on; false when it is going, or has been kept before. */
export async function keepBlob(sql: Sql, key: string): Promise<boolean> {
  const { count } = await sql`
    update blob set state = 'kept', due_at = null where key = ${key} and state = 'announced'`;
  return count > 0;
}

/** Says that a blob which was announced is not wanted after all. */
export async function discardBlob(sql: Sql, now: Date, key: string): Promise<void> {
  await sql`update blob set due_at = ${now} where key = ${key} and state = 'announced'`;
}

/** Says that nothing refers to a kept blob any more. */
export async function releaseBlob(sql: Sql, now: Date, key: string): Promise<void> {
  await sql`
    update blob set state = 'released', due_at = ${afterReads(now)} where key = ${key} and state = 'kept'`;
}

/** When the bytes of what is released now may go. */
export const afterReads = (now: Date): Date => new Date(now.getTime() + READ_MS);

/** A blob to be removed, by whoever has taken it. */
export interface DueBlob {
  readonly key: string;
  readonly upload: string | null;
}

/**
 * Takes blobs that are due, so that nothing can refer to them any more; those too that an earlier sweeper has not removed in time.
 * A bundle that no deployment came for is forgotten with its bytes.
 */
export async function takeDueBlobs(sql: Sql, now: Date, limit: number): Promise<DueBlob[]> {
  const next = new Date(now.getTime() + SWEEP_MS);
  return await sql<DueBlob[]>`
    with due as (
      select key from blob where due_at <= ${now} -- blob_due
      order by due_at limit ${limit} for update skip locked
    ),
    taken as (
      update blob set state = 'going', due_at = ${next} from due where blob.key = due.key
      returning blob.key, blob.upload
    ),
    forgotten as (delete from bundle using taken where bundle.blob = taken.key) -- bundle_blob
    select key, upload from taken`;
}

/** Forgets blobs whose bytes have been removed. */
export async function forgetBlobs(sql: Sql, keys: readonly string[]): Promise<void> {
  await sql`delete from blob where key = any(${keys as string[]}) and state = 'going'`;
}
