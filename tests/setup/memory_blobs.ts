/** Blobs in a map: whole or not at all, as the real ones. */
import {
  type Access,
  type Blobs,
  type Bytes,
  type GetOptions,
  noSuchParts,
  type PutOptions,
  type ServedBlobs,
  type SignedRequest,
  type Stored,
  type StoredPart,
} from "../../api/blobs/blobs.ts";
import { BlobUrls, URL_KEY_BYTES } from "../../api/blobs/urls.ts";
import type { Clock } from "../../sdk/ports.ts";

export class MemoryBlobs implements Blobs {
  readonly served: ServedBlobs;
  readonly #urls: BlobUrls;
  readonly #blobs = new Map<string, Bytes>();
  readonly #parts = new Map<string, Bytes[]>();

  constructor(clock: Pick<Clock, "now">) {
    const urls = this.#urls = new BlobUrls({ key: new Uint8Array(URL_KEY_BYTES), clock });
    this.served = {
      urls,
      writePart: async (key, part, stream) => {
        const bytes = await new Response(stream).bytes();
        const parts = this.#parts.get(part.upload);
        if (parts === undefined) throw noSuchParts(key);
        parts[part.number - 1] = bytes;
        return urls.etagOf(key, part, bytes.length);
      },
    };
  }

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

  get(key: string, { range }: GetOptions = {}): Promise<ReadableStream<Bytes> | null> {
    const bytes = this.#blobs.get(key)?.subarray(range?.from ?? 0, range?.to);
    return Promise.resolve(bytes === undefined ? null : streamOf(bytes));
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

  presign(key: string, access: Access): Promise<SignedRequest> {
    return Promise.resolve(this.#urls.sign(key, access));
  }

  beginParts(): Promise<string> {
    const upload = String(this.#parts.size);
    this.#parts.set(upload, []);
    return Promise.resolve(upload);
  }

  async completeParts(key: string, upload: string, wanted: readonly StoredPart[]): Promise<void> {
    if (this.#blobs.has(key)) return;
    const parts = this.#parts.get(upload) ?? [];
    const arrived = wanted.every(({ etag, size }, i) =>
      parts[i]?.length === size && etag === this.#urls.etagOf(key, { upload, number: i + 1 }, size)
    );
    if (!arrived || parts.length !== wanted.length) throw noSuchParts(key);
    this.#blobs.set(key, await new Blob(parts).bytes());
  }

  abandonParts(_key: string, upload: string): Promise<void> {
    this.#parts.delete(upload);
    return Promise.resolve();
  }
}

/** All at once, without a turn of the event loop: in a simulation that would be chance. */
const streamOf = (bytes: Bytes): ReadableStream<Bytes> =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
