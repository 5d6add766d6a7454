/**
 * Blobs: bytes under a key, whole or not at all. For what is too large for the database: bundles, checkpoints, artifacts. One file
 * per place they can lie in. Pure: types, and the rules for keys and ranges.
 */
import { PlatformError } from "../../sdk/errors.ts";
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

/** One of the parts in which a blob is uploaded. */
export interface PartOf {
  /** The store's name for the upload. */
  readonly upload: string;
  /** Counted from 1. */
  readonly number: number;
  /** Of its first byte in the blob. */
  readonly offset: number;
}

/** A part that has arrived: how the store named it in the header `etag` of its answer. */
export interface StoredPart {
  readonly etag: string;
  readonly size: number;
}

/**
 * What a signed request may do until it expires: read a blob, or create one of exactly `size` bytes where there is none, or bring a
 * part of so many bytes. So what was written by one is never overwritten by another.
 */
export type Access =
  & { readonly expiresInMs: number }
  & (
    | { readonly method: "GET" }
    | { readonly method: "PUT"; readonly size: number; readonly part?: PartOf | undefined }
  );

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
  /** Begins to upload a blob in parts, which signed requests bring; answers the name of the upload. */
  beginParts(key: string): Promise<string>;
  /**
   * Makes the parts, in their order, one blob. May be repeated.
   *
   * @throws PlatformError `conflict` when they are not those that have arrived
   */
  completeParts(key: string, upload: string, parts: readonly StoredPart[]): Promise<void>;
  /** Gives up an upload in parts, if it is still under way. */
  abandonParts(key: string, upload: string): Promise<void>;
  /** What the api needs to serve signed requests itself; null when another server does. */
  readonly served: ServedBlobs | null;
}

export interface ServedBlobs {
  readonly urls: BlobUrls;
  /** Stores a part; answers its etag. */
  writePart(key: string, part: PartOf, bytes: ReadableStream<Bytes>): Promise<string>;
}

/** An upload that is over, or was given other parts. */
export function noSuchParts(key: string): PlatformError {
  const message = `Cannot put blob "${key}" together: its parts are not all there, upload them first`;
  return new PlatformError("conflict", message);
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
