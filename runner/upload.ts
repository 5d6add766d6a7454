/** Sends a file by `PUT`. Its length goes before it, which `fetch` does not say of a stream, and without which S3 takes nothing. */
import { createReadStream } from "node:fs";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

/** Some bytes of a file. */
export interface FilePart {
  readonly path: string;
  /** @default the beginning */
  readonly from?: number;
  /** The first byte that is no longer meant. @default the end */
  readonly to?: number;
}

export interface UploadOptions extends FilePart {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Path of a unix socket to connect to, instead of the host in `url`. */
  readonly socket?: string | undefined;
}

export interface Uploaded {
  readonly status: number;
  readonly text: string;
  /** The store's name for what it was sent; empty where it gave none. */
  readonly etag: string;
}

/**
 * Resolves when it is answered, be it before everything was sent.
 *
 * @throws when there is no answer
 */
export async function uploadFile(
  { url, headers, path, from = 0, to, signal, socket }: UploadOptions,
): Promise<Uploaded> {
  const size = (to ?? (await Deno.stat(path)).size) - from;
  const answered = Promise.withResolvers<Uploaded>();
  const request = (url.startsWith("https:") ? requestHttps : requestHttp)(url, {
    method: "PUT",
    headers: { ...headers, "content-length": size },
    signal,
    ...(socket === undefined ? {} : { socketPath: socket }),
  }, (response) => {
    const { statusCode, headers: { etag = "" } } = response;
    text(response).then((text) => answered.resolve({ status: statusCode!, text, etag }), answered.reject);
  });
  request.on("error", answered.reject);
  if (size === 0) request.end();
  else {pipeline(createReadStream(path, { start: from, end: from + size - 1 }), request).catch(
      answered.reject,
    );}
  return await answered.promise;
}
