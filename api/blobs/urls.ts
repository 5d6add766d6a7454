/** Signed URLs of a blob store that the api serves itself: what they may do, until when, and that we have said so. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { PlatformError } from "../../sdk/errors.ts";
import type { Clock } from "../../sdk/ports.ts";
import { STREAM_PATHS } from "../../sdk/protocol.ts";
import type { Access, PartOf, SignedRequest } from "./blobs.ts";

export const URL_KEY_BYTES = 32;

const Query = z.object({
  expires: z.coerce.number().int(),
  size: z.coerce.number().int().min(0).optional(),
  upload: z.string().optional(),
  part: z.coerce.number().int().min(1).optional(),
  offset: z.coerce.number().int().min(0).optional(),
  signature: z.hash("sha256"),
});

interface Claim {
  readonly method: Access["method"];
  readonly key: string;
  /** In milliseconds since 1970. */
  readonly expires: number;
  readonly size?: number | undefined;
  readonly part?: PartOf | undefined;
}

export interface BlobUrlsOptions {
  readonly key: Uint8Array;
  readonly clock: Pick<Clock, "now">;
}

export class BlobUrls {
  readonly #key: Uint8Array;
  readonly #clock: Pick<Clock, "now">;

  constructor({ key, clock }: BlobUrlsOptions) {
    this.#key = key;
    this.#clock = clock;
  }

  sign(key: string, access: Access): SignedRequest {
    const { method, expiresInMs } = access;
    const { size, part } = access.method === "PUT" ? access : {};
    const expires = this.#clock.now() + expiresInMs;
    const signature = this.#sign(claimed({ method, key, expires, size, part })).toString("hex");
    const query = new URLSearchParams({
      expires: String(expires),
      ...(size === undefined ? {} : { size: String(size) }),
      ...(part === undefined
        ? {}
        : { upload: part.upload, part: String(part.number), offset: String(part.offset) }),
      signature,
    });
    return { url: `${STREAM_PATHS.blob.replace(":key{.+}", key)}?${query}`, headers: {} };
  }

  /**
   * How many bytes a signed request may write, and of which part; nothing is said of one that reads.
   *
   * @throws PlatformError `forbidden` when it was not signed by us as it stands, or has expired
   */
  verify(
    method: Access["method"],
    key: string,
    query: Record<string, string>,
  ): { size?: number | undefined; part?: PartOf | undefined } {
    const { success, data } = Query.safeParse(query);
    if (!success) throw refused("it carries no signature");
    const { expires, size, upload, part: number, offset, signature } = data;
    const part = upload === undefined || number === undefined || offset === undefined
      ? undefined
      : { upload, number, offset };
    const expected = this.#sign(claimed({ method, key, expires, size, part }));
    if (!timingSafeEqual(expected, Uint8Array.fromHex(signature))) throw refused("its signature is not ours");
    if (expires <= this.#clock.now()) throw refused("its time is over");
    return { size, part };
  }

  /** What says that a part of so many bytes has arrived. */
  etagOf(key: string, { upload, number }: Omit<PartOf, "offset">, size: number): string {
    return `"${this.#sign(["part", key, upload, number, size]).toString("hex")}"`;
  }

  #sign(claim: readonly unknown[]) {
    return createHmac("sha256", this.#key).update(JSON.stringify(claim)).digest();
  }
}

const claimed = ({ method, key, expires, size, part }: Claim): unknown[] => [
  method,
  key,
  expires,
  size,
  ...(part === undefined ? [] : [part.upload, part.number, part.offset]),
];

const refused = (why: string): PlatformError =>
  new PlatformError("forbidden", `Cannot follow the URL of a blob: ${why}`);
