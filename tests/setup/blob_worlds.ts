/** The stores of blobs, each in a place of its own, for tests that hold for all of them. */
import { Hono } from "hono";
import { join } from "node:path";
import type { Blobs, SignedRequest } from "../../api/blobs/blobs.ts";
import { FileBlobs } from "../../api/blobs/files.ts";
import { getBlobRoute, putBlobRoute } from "../../api/blobs/route.ts";
import { S3Blobs } from "../../api/blobs/s3.ts";
import { answerError } from "../../api/errors.ts";
import type { Env } from "../../api/serve.ts";
import { type Clock, realClock, realRandom, silentLog } from "../../sdk/ports.ts";
import { STREAM_PATHS } from "../../sdk/protocol.ts";
import { testPlace, unfinishedUploads } from "./s3.ts";

export interface BlobWorld {
  readonly blobs: Blobs;
  /** The same blobs, as another process opens them. */
  open(clock?: Clock): Promise<Blobs>;
  /** Makes a signed request, as somebody who only knows it. */
  send(signed: SignedRequest, init?: RequestInit): Promise<Response>;
  /** All that lies in the place, unfinished things too. */
  left(): Promise<string[]>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function fileWorld(): Promise<BlobWorld & { readonly folder: string }> {
  const folder = await Deno.makeTempDir({ prefix: "berth-blobs-" });
  const open = (clock: Clock = realClock) => FileBlobs.open({ folder, clock, random: realRandom });
  const blobs = await open();
  const server = serveBlobs(blobs);
  return {
    folder,
    open,
    blobs,
    send: (signed, init) => sendTo(`http://127.0.0.1:${server.addr.port}`, signed, init),
    left: async () => (await filesIn(folder)).filter((path) => path !== ".url-key").sort(),
    [Symbol.asyncDispose]: async () => {
      await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

export async function s3World(): Promise<BlobWorld> {
  const place = await testPlace();
  const opened: S3Blobs[] = [];
  const open = async (clock: Clock = realClock) => {
    const blobs = await S3Blobs.open(place, { clock });
    opened.push(blobs);
    return blobs;
  };
  const blobs = await open();
  return {
    open,
    blobs,
    send: (signed, init) => sendTo(place.endpoint, signed, init),
    left: async () => [...await Array.fromAsync(blobs.list("")), ...await unfinishedUploads(place)].sort(),
    [Symbol.asyncDispose]: () => Promise.resolve(opened.forEach((blobs) => blobs.close())),
  };
}

/** As the api does. */
function serveBlobs(blobs: Blobs): Deno.HttpServer<Deno.NetAddr> {
  const app = new Hono<Env>();
  app.get(STREAM_PATHS.blob, getBlobRoute(blobs));
  app.put(STREAM_PATHS.blob, putBlobRoute(blobs));
  app.onError((error) => answerError(error, "req_test", silentLog));
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, app.fetch);
}

const sendTo = (origin: string, { url, headers }: SignedRequest, init: RequestInit = {}): Promise<Response> =>
  fetch(new URL(url, origin), {
    ...init,
    headers: { ...headers, ...init.headers as Record<string, string> },
  });

async function filesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) names.push(...(await filesIn(join(folder, name))).map((inner) => `${name}/${inner}`));
    else names.push(name);
  }
  return names;
}
