/** Applies the migrations of this folder, in order, each once, however many starters race. */
import type postgres from "postgres";

const FILES = [
  "0001_first.sql",
  "0002_brain.sql",
  "0003_secrets.sql",
  "0004_artifacts.sql",
  "0005_debug.sql",
  "0006_images.sql",
  "0007_volumes.sql",
  "0008_kept.sql",
  "0009_blobs.sql",
  "0010_relay.sql",
  "0011_keep.sql",
] as const;

/** Any number, the same for every starter. */
const LOCK = 7_238_114;

/** Brings the database up to date; returns the names of the migrations that were applied now. */
export async function migrate(sql: postgres.Sql<Record<string, never>>, now: Date): Promise<string[]> {
  return await sql.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(${LOCK})`;
    await tx`create table if not exists migration (name text primary key, applied_at timestamptz not null)`;
    const done = new Set((await tx<{ name: string }[]>`select name from migration`).map((row) => row.name));
    const due = FILES.filter((name) => !done.has(name));
    for (const name of due) {
      await tx`insert into migration (name, applied_at) values (${name}, ${now})`;
      await tx.unsafe(await Deno.readTextFile(new URL(name, import.meta.url)));
    }
    return due;
  });
}
