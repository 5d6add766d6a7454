/** Blobs in a map: whole or not at all, as the real ones. */
import type { Blobs, Bytes, PutOptions, Stored } from "../../api/blobs/blobs.ts";

export class MemoryBlobs implements Blobs {
  readonly #blobs = new Map<string, Bytes>();

  async put(
    key: string,
    bytes: Bytes | ReadableStream<Bytes>,
    { ifAbsent = false }: PutOptions = {},
  ): Promise<Stored> {
    const whole = await new Response(bytes).bytes();
    const there = this.#blobs.get(key);
    if (ifAbsent && there !== undefined) return { size: there.byteLength, created: false };
    this.#blobs.set(key, whole);
    return { size: whole.byteLength, created: true };
  }

  get(key: string): Promise<ReadableStream<Bytes> | null> {
    const bytes = this.#blobs.get(key);
    return Promise.resolve(bytes === undefined ? null : new Blob([bytes]).stream());
  }

  head(key: string): Promise<{ size: number } | null> {
    const bytes = this.#blobs.get(key);
    return Promise.resolve(bytes === undefined ? null : { size: bytes.byteLength });
  }

  delete(key: string): Promise<void> {
    this.#blobs.delete(key);
    return Promise.resolve();
  }

  async *list(prefix: string): AsyncIterable<string> {
    for (const key of this.#blobs.keys()) if (key.startsWith(prefix)) yield key;
  }
}
