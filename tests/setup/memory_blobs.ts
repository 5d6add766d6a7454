/** Blobs in a map: whole or not at all, as the real ones. */
import type {
  Access,
  Blobs,
  Bytes,
  GetOptions,
  PutOptions,
  SignedRequest,
  Stored,
} from "../../api/blobs/blobs.ts";
import { BlobUrls, URL_KEY_BYTES } from "../../api/blobs/urls.ts";
import type { Clock } from "../../sdk/ports.ts";

export class MemoryBlobs implements Blobs {
  readonly urls: BlobUrls;
  readonly #blobs = new Map<string, Bytes>();

  constructor(clock: Pick<Clock, "now">) {
    this.urls = new BlobUrls({ key: new Uint8Array(URL_KEY_BYTES), clock });
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
    return Promise.resolve(this.urls.sign(key, access));
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
