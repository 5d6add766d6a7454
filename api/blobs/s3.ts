/**
 * Blobs in a bucket of S3, or of what speaks its protocol. Each under its key, behind a prefix.
 *
 * A stream goes up in parts, so that little of it is in memory. One that must not replace anything goes by way of a temporary
 * file and up as a whole: servers heed the condition of a whole upload, while several ignore that of one in parts.
 */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { createReadStream } from "node:fs";
import type { Clock } from "../../sdk/ports.ts";
import {
  type Access,
  type Blobs,
  type ByteRange,
  type Bytes,
  checkKey,
  checkPrefix,
  checkRange,
  type GetOptions,
  noSuchParts,
  type PutOptions,
  type SignedRequest,
  type Stored,
  type StoredPart,
} from "./blobs.ts";
import { isAnswer, isS3Error, s3Error } from "./s3_errors.ts";
import type { S3Place } from "./s3_settings.ts";

/** At most 10,000 parts are allowed, which makes 80 GB. */
const PART_BYTES = 8 * 1024 * 1024;
/** Parts of one stream that are on their way at a time, each held in memory. */
const PARTS_AT_ONCE = 3;
/** An upload in parts this old is from a process that died. */
const ABANDONED_MS = 24 * 3_600_000;
/** How often to look again when a blob is said to be there and is not. */
const LOOKS_MAX = 10;

/** The SDK warns on the console of what we handle. */
const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

export class S3Blobs implements Blobs {
  readonly served = null;
  readonly #client: S3Client;
  readonly #place: S3Place;
  readonly #clock: Pick<Clock, "now">;

  private constructor(place: S3Place, clock: Pick<Clock, "now">) {
    this.#place = place;
    this.#clock = clock;
    this.#client = clientOf(place);
  }

  /**
   * Makes sure that the bucket is there and may be used, and clears away what processes left unfinished when they died.
   *
   * @throws Error that says which setting is wrong
   */
  static async open(place: S3Place, { clock }: { readonly clock: Pick<Clock, "now"> }): Promise<S3Blobs> {
    const blobs = new S3Blobs(place, clock);
    try {
      await blobs.#try(
        "open the store",
        () =>
          blobs.#client.send(new ListObjectsV2Command({ ...blobs.#at, Prefix: place.prefix, MaxKeys: 1 })),
      );
      await blobs.#try("clear away unfinished uploads", () => blobs.#abortAbandoned());
      return blobs;
    } catch (error) {
      blobs.close();
      throw error;
    }
  }

  /** Lets go of its connections. */
  close(): void {
    this.#client.destroy();
  }

  put(
    key: string,
    bytes: Bytes | ReadableStream<Bytes>,
    { ifAbsent = false }: PutOptions = {},
  ): Promise<Stored> {
    return this.#on(key, "put", async (object) => {
      if (!(bytes instanceof Uint8Array)) {
        return ifAbsent ? await this.#createFrom(object, bytes) : await this.#upload(object, bytes);
      }
      if (ifAbsent) return await this.#create(object, bytes.length, () => bytes);
      await this.#client.send(new PutObjectCommand({ ...object, Body: bytes }));
      return { size: bytes.length, created: true };
    });
  }

  get(key: string, { range }: GetOptions = {}): Promise<ReadableStream<Bytes> | null> {
    if (range !== undefined) checkRange(range);
    return this.#on(key, "get", async (object) => {
      try {
        const asked = range === undefined ? object : { ...object, Range: rangeHeader(range) };
        const { Body } = await this.#client.send(new GetObjectCommand(asked));
        return Body!.transformToWebStream() as ReadableStream<Bytes>;
      } catch (error) {
        if (isAnswer(error, 404, "NoSuchKey")) return null;
        if (isAnswer(error, 416)) return new Blob([]).stream(); // the range begins at the end, or beyond
        throw error;
      }
    });
  }

  head(key: string): Promise<{ size: number } | null> {
    return this.#on(key, "look at", (object) => this.#head(object));
  }

  async delete(key: string): Promise<void> {
    await this.#on(key, "delete", (object) => this.#client.send(new DeleteObjectCommand(object)));
  }

  async *list(prefix: string): AsyncIterable<string> {
    checkPrefix(prefix);
    const { prefix: own } = this.#place;
    const pages = paginateListObjectsV2({ client: this.#client }, { ...this.#at, Prefix: own + prefix });
    while (true) {
      const { done, value } = await this.#try("list blobs", () => pages.next());
      if (done) return;
      for (const { Key } of value.Contents ?? []) yield Key!.slice(own.length);
    }
  }

  presign(key: string, access: Access): Promise<SignedRequest> {
    const options = {
      expiresIn: Math.ceil(access.expiresInMs / 1_000),
      signingDate: new Date(this.#clock.now()),
    };
    return this.#on(key, "sign a request for", async (object) => {
      if (access.method === "GET") {
        return { url: await getSignedUrl(this.#client, new GetObjectCommand(object), options), headers: {} };
      }
      const { size: ContentLength, part } = access;
      if (part !== undefined) {
        const { upload: UploadId, number: PartNumber } = part;
        const command = new UploadPartCommand({ ...object, ContentLength, UploadId, PartNumber });
        return { url: await getSignedUrl(this.#client, command, { ...options, ...SIGNED }), headers: {} };
      }
      const command = new PutObjectCommand({ ...object, ContentLength, IfNoneMatch: "*" });
      return { url: await getSignedUrl(this.#client, command, { ...options, ...SIGNED }), headers: CREATE };
    });
  }

  beginParts(key: string): Promise<string> {
    return this.#on(key, "begin to upload", async (object) => {
      return (await this.#client.send(new CreateMultipartUploadCommand(object))).UploadId!;
    });
  }

  completeParts(key: string, upload: string, parts: readonly StoredPart[]): Promise<void> {
    const Parts = parts.map(({ etag: ETag }, i) => ({ ETag, PartNumber: i + 1 }));
    return this.#on(key, "put together", async (object) => {
      try {
        const request = { ...object, UploadId: upload, MultipartUpload: { Parts } };
        await this.#client.send(new CompleteMultipartUploadCommand(request));
      } catch (error) {
        if (await this.#head(object) !== null) return; // it was done before
        throw isAnswer(error, 404) || isAnswer(error, 400) ? noSuchParts(key) : error;
      }
    });
  }

  abandonParts(key: string, upload: string): Promise<void> {
    return this.#on(key, "give up", async (object) => {
      try {
        await this.#client.send(new AbortMultipartUploadCommand({ ...object, UploadId: upload }));
      } catch (error) {
        if (!isAnswer(error, 404)) throw error; // it is over
      }
    });
  }

  get #at(): { readonly Bucket: string } {
    return { Bucket: this.#place.bucket };
  }

  async #head(object: ObjectName): Promise<{ size: number } | null> {
    try {
      return { size: (await this.#client.send(new HeadObjectCommand(object))).ContentLength ?? 0 };
    } catch (error) {
      // Without a body there is no code: a bucket that is not there looks the same. It was when we opened it.
      if (isAnswer(error, 404)) return null;
      throw error;
    }
  }

  /** In parts, which are given up when the stream fails. */
  async #upload(object: ObjectName, stream: ReadableStream<Bytes>): Promise<Stored> {
    let size = 0;
    const counted = stream.pipeThrough(
      new TransformStream<Bytes, Bytes>({
        transform(piece, controller) {
          size += piece.length;
          controller.enqueue(piece);
        },
      }),
    );
    const params = { ...object, Body: counted };
    await new Upload({ client: this.#client, params, partSize: PART_BYTES, queueSize: PARTS_AT_ONCE }).done();
    return { size, created: true };
  }

  async #createFrom(object: ObjectName, stream: ReadableStream<Bytes>): Promise<Stored> {
    const file = await Deno.makeTempFile({ prefix: "berth-blob-" });
    try {
      await Deno.writeFile(file, stream);
      const { size } = await Deno.stat(file);
      return await this.#create(object, size, () => createReadStream(file));
    } finally {
      await Deno.remove(file);
    }
  }

  /** Of several that do this at once, one wins. @param body called for each try */
  async #create(
    object: ObjectName,
    size: number,
    body: () => Bytes | ReturnType<typeof createReadStream>,
  ): Promise<Stored> {
    for (let looks = 1;; looks++) {
      try {
        const request = { ...object, Body: body(), ContentLength: size, IfNoneMatch: "*" };
        await this.#client.send(new PutObjectCommand(request));
        return { size, created: true };
      } catch (error) {
        if (!isAnswer(error, 412) && !isAnswer(error, 409)) throw error;
        const there = await this.#head(object);
        if (there !== null) return { size: there.size, created: false };
        if (looks === LOOKS_MAX) throw error; // else it was deleted meanwhile, or is not whole yet
      }
    }
  }

  async #abortAbandoned(): Promise<void> {
    const { prefix } = this.#place;
    let page: Partial<ListMultipartUploadsCommandOutput> = {};
    do {
      page = await this.#client.send(
        new ListMultipartUploadsCommand({
          ...this.#at,
          Prefix: prefix,
          KeyMarker: page.NextKeyMarker,
          UploadIdMarker: page.NextUploadIdMarker,
        }),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (this.#clock.now() - (Initiated?.getTime() ?? Infinity) < ABANDONED_MS) continue;
        await this.#client.send(new AbortMultipartUploadCommand({ ...this.#at, Key, UploadId }));
      }
    } while (page.IsTruncated);
  }

  #on<T>(key: string, verb: string, act: (object: ObjectName) => Promise<T>): Promise<T> {
    return this.#try(`${verb} blob "${key}"`, () => {
      checkKey(key);
      return act({ ...this.#at, Key: this.#place.prefix + key });
    });
  }

  /** What S3 answers is explained; what goes wrong with a stream that is put is its owner's to explain. */
  async #try<T>(what: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw isS3Error(error) ? s3Error(error, what, this.#place) : error;
    }
  }
}

interface ObjectName {
  readonly Bucket: string;
  readonly Key: string;
}

/** Sent with a signed request that creates; its length is signed too, and is sent by whoever sends bytes. */
const CREATE = { "if-none-match": "*" };
const SIGNED = {
  signableHeaders: new Set(["host", "content-length", "if-none-match"]),
  unhoistableHeaders: new Set(["if-none-match"]),
};

const rangeHeader = ({ from, to }: ByteRange): string => `bytes=${from}-${to === undefined ? "" : to - 1}`;

/** Checksums only where S3 demands them: other servers don't know them, and a signed URL would promise one in advance. */
const clientOf = ({ endpoint, region, accessKeyId, secretAccessKey, forcePathStyle }: S3Place): S3Client =>
  new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    logger: SILENT,
  });
