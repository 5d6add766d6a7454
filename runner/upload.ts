/** Sends a file by `PUT`. Its length goes before it, which `fetch` does not say of a stream, and without which S3 takes nothing. */
import { createReadStream } from "node:fs";
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

export interface UploadOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Path of the file. */
  readonly file: string;
  readonly signal: AbortSignal;
  /** Path of a unix socket to connect to, instead of the host in `url`. */
  readonly socket?: string | undefined;
}

/**
 * Resolves when it is answered, be it before everything was sent.
 *
 * @throws when there is no answer
 */
export async function uploadFile(
  { url, headers, file, signal, socket }: UploadOptions,
): Promise<{ status: number; text: string }> {
  const { size } = await Deno.stat(file);
  const answered = Promise.withResolvers<{ status: number; text: string }>();
  const request = (url.startsWith("https:") ? requestHttps : requestHttp)(url, {
    method: "PUT",
    headers: { ...headers, "content-length": size },
    signal,
    ...(socket === undefined ? {} : { socketPath: socket }),
  }, (response) => {
    text(response).then((text) => answered.resolve({ status: response.statusCode!, text }), answered.reject);
  });
  request.on("error", answered.reject);
  pipeline(createReadStream(file), request).catch(answered.reject);
  return await answered.promise;
}
