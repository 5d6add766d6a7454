/** Uploads that go past the api: what is to be written is announced to the database first, so that nothing is ever left behind unseen. */
import { announceBlob } from "../scheduler/store/blobs.ts";
import type { ApiDeps } from "./app.ts";
import type { SignedRequest } from "./blobs/blobs.ts";

/** Long enough for anything on any line, and for a store that is away meanwhile. */
export const URL_MS = 3_600_000;

/** After the last URL for it has expired, a blob that nothing refers to is left alone for so long: bytes may still be on their way. */
export const LEEWAY_MS = 24 * 3_600_000;

/** When an announced blob may go that is written by URLs which are good for `expiresInMs`. */
export const dueAfter = (now: number, expiresInMs: number): Date => new Date(now + expiresInMs + LEEWAY_MS);

/** Announces a blob of `size` bytes; answers the request that writes it. */
export async function announce(
  { sql, clock, blobs }: Pick<ApiDeps, "sql" | "clock" | "blobs">,
  { key, size }: { readonly key: string; readonly size: number },
): Promise<SignedRequest> {
  const signed = await blobs.presign(key, { method: "PUT", size, expiresInMs: URL_MS });
  await announceBlob(sql, { key, dueAt: dueAfter(clock.now(), URL_MS) });
  return signed;
}
