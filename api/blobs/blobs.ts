/**
 * Blobs: bytes under a key, whole or not at all. For what is too large for the database: bundles, checkpoints, artifacts. One file
 * per place they can lie in. Pure: types, and the rule for keys.
 */

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

export interface Blobs {
  /**
   * Stores the bytes durably, in place of what was there; readers see all of the old or all of the new. When the stream fails, so does
   * this, and nothing has changed.
   */
  put(key: string, bytes: Bytes | ReadableStream<Bytes>, options?: PutOptions): Promise<Stored>;
  /** The bytes as they are now, whatever happens to the key while they are read. */
  get(key: string): Promise<ReadableStream<Bytes> | null>;
  head(key: string): Promise<{ size: number } | null>;
  /** There need not be one. */
  delete(key: string): Promise<void>;
  /** Keys that begin with `prefix`, in no order. */
  list(prefix: string): AsyncIterable<string>;
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
