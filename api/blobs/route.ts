/** `GET` and `PUT /v1/blobs/{key}`: what signed URLs of a store lead to that the api serves itself. The signature is the permission. */
import type { Context as HonoContext } from "hono";
import { PlatformError } from "../../sdk/errors.ts";
import { announcedBytes } from "../body.ts";
import type { Env } from "../serve.ts";
import type { Access, Blobs, Bytes } from "./blobs.ts";
import { contentRange, parseRange, type Part } from "./range.ts";

type Route = (c: HonoContext<Env>) => Promise<Response>;

/** The bytes, or those of a `Range`. */
export function getBlobRoute(blobs: Blobs): Route {
  return async (c) => {
    const { key } = verified(blobs, "GET", c);
    const found = await blobs.head(key);
    if (found === null) throw absent(key);
    const part = parseRange(c.req.header("range"), found.size);
    if (part === "unsatisfiable") {
      const message = `Cannot read bytes of blob "${key}": it has ${found.size}, the range begins beyond`;
      throw new PlatformError("range_not_satisfiable", message);
    }
    const bytes = await blobs.get(key, part === null ? {} : { range: part });
    if (bytes === null) throw absent(key);
    return part === null ? whole(bytes, found.size) : partial(bytes, part, found.size);
  };
}

/** Creates a blob of exactly the bytes that were signed for: 201, or 412 when there is one. Of a part: 200, with its `etag`. */
export function putBlobRoute(blobs: Blobs): Route {
  return async (c) => {
    const { served, key, size, part } = verified(blobs, "PUT", c);
    announcedBytes(c.req.raw, size);
    const body = (c.req.raw.body ?? new Blob([]).stream()).pipeThrough(exactly(size));
    if (part !== undefined) {
      return c.body(null, 200, { etag: await served.writePart(key, part, body) });
    }
    const { created } = await blobs.put(key, body, { ifAbsent: true });
    if (created) return c.body(null, 201);
    throw new PlatformError("precondition_failed", `Cannot create blob "${key}": there is one`);
  };
}

function verified({ served }: Blobs, method: Access["method"], c: HonoContext<Env>) {
  if (served === null) {
    throw new PlatformError(
      "not_found",
      "Cannot serve blobs: they lie on S3, and so do their URLs lead there",
    );
  }
  const key = c.req.param("key") ?? "";
  const { size = 0, part } = served.urls.verify(method, key, c.req.query());
  return { served, key, size, part };
}

const HEADERS = { "content-type": "application/octet-stream", "accept-ranges": "bytes" };

const whole = (bytes: ReadableStream<Bytes>, size: number): Response =>
  new Response(bytes, { headers: { ...HEADERS, "content-length": String(size) } });

function partial(bytes: ReadableStream<Bytes>, part: Part, size: number): Response {
  const headers = {
    ...HEADERS,
    "content-length": String(part.to - part.from),
    "content-range": contentRange(part, size),
  };
  return new Response(bytes, { status: 206, headers });
}

/** Passes bytes on, and fails when they are more or fewer than was said. */
function exactly(size: number): TransformStream<Bytes, Bytes> {
  let bytes = 0;
  const wrong = () =>
    new PlatformError("invalid_request", `Cannot accept the body: the URL is for ${size} bytes`);
  return new TransformStream({
    transform(piece, controller) {
      bytes += piece.length;
      if (bytes > size) throw wrong();
      controller.enqueue(piece);
    },
    flush() {
      if (bytes !== size) throw wrong();
    },
  });
}

const absent = (key: string): PlatformError => new PlatformError("not_found", `Cannot find blob "${key}"`);
