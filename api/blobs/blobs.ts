/**
 * Blobs: bytes under a key, whole or not at all. For what is too large for the database: bundles, checkpoints, artifacts. One file
 * per place they can lie in. Pure: types, and the rules for keys and ranges.
 */
import type { BlobUrls } from "./urls.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

export interface PutOptions {
  /** Leaves a blob that is there as it is. */
  readonly ifAbsent?: boolean;
}

export interface Stored {
  readonly size: number;
  /** False: there was one already, and `ifAbsent` was asked for. */
  readonly created: boolean;
}

/** Bytes `from` to `to`, counted from 0. */
export interface ByteRange {
  readonly from: number;
  /**
   * The first byte that is no longer wanted.
   * @default the end
   */
  readonly to?: number;
}

export interface GetOptions {
  /** Only these bytes, as far as there are any. */
  readonly range?: ByteRange;
}

/**
 * What a signed request may do until it expires: read a blob, or create one of exactly `size` bytes where there is none. So what
 * was written by one is never overwritten by another.
 */
export type Access =
  & { readonly expiresInMs: number }
  & ({ readonly method: "GET" } | { readonly method: "PUT"; readonly size: number });

/** A request that whoever knows it may make. */
export interface SignedRequest {
  /** A path when it leads to the api. */
  readonly url: string;
  /** To be sent with it. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Blobs {
  /**
   * Stores the bytes durably, in place of what was there; readers see all of the old or all of the new. When the stream fails, so does
   * this, and nothing has changed.
   */
  put(key: string, bytes: Bytes | ReadableStream<Bytes>, options?: PutOptions): Promise<Stored>;
  /** The bytes as they are now, whatever happens to the key while they are read. */
  get(key: string, options?: GetOptions): Promise<ReadableStream<Bytes> | null>;
  head(key: string): Promise<{ size: number } | null>;
  /** There need not be one. */
  delete(key: string): Promise<void>;
  /** Keys that begin with `prefix`, in no order. */
  list(prefix: string): AsyncIterable<string>;
  /** Lets others move bytes without the api in between. Whether there is such a blob shows when the request is made. */
  presign(key: string, access: Access): Promise<SignedRequest>;
  /** Checks signed requests of a store that the api serves itself; null when another server does. */
  readonly urls: BlobUrls | null;
}

const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const KEY_LENGTH_MAX = 512;

/**
 * Throws unless `key` is made of names between slashes: letters, digits, `.`, `_` and `-`, not beginning with a dot or a dash. So a key
 * means the same in every store, and none leads out of its folder.
 */
export function checkKey(key: string): void {
  if (key.length <= KEY_LENGTH_MAX && key.split("/").every((segment) => SEGMENT.test(segment))) return;
  throw new TypeError(
    `Cannot use ${JSON.stringify(key.slice(0, 80))} as the key of a blob: it must be names between slashes`,
  );
}

/** Throws unless keys can begin with `prefix`. */
export function checkPrefix(prefix: string): void {
  const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (folder !== "") checkKey(folder.slice(0, -1));
}

/** Throws unless the range holds at least a byte. */
export function checkRange({ from, to = Infinity }: ByteRange): void {
  if (Number.isSafeInteger(from) && from >= 0 && to > from && (to === Infinity || Number.isSafeInteger(to))) {
    return;
  }
  throw new RangeError(
    `Cannot read bytes ${from} to ${to} of a blob: a range goes from a byte to a later one`,
  );
}
