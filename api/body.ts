/** Reading requests within their limits: bytes of headers and of bodies, counted while they arrive. */
import type { Context as HonoContext } from "hono";
import type { z } from "zod";
import { PlatformError } from "../sdk/errors.ts";
import { LIMITS } from "../sdk/protocol.ts";
import type { Auth } from "./auth.ts";
import type { Env } from "./serve.ts";

/** Refuses a request whose header names and values are too long together. */
export function checkHeaders(headers: Headers): void {
  let bytes = 0;
  for (const [name, value] of headers) bytes += name.length + value.length;
  if (bytes > LIMITS.headerBytes) {
    const message =
      `Cannot accept the headers: they have ${bytes} bytes, at most ${LIMITS.headerBytes} are allowed`;
    throw new PlatformError("headers_too_large", message);
  }
}

/** What the runner of a node says in a body. */
export async function saidByNode<T extends z.ZodType>(
  { auth }: { readonly auth: Auth },
  c: HonoContext<Env>,
  schema: T,
): Promise<z.output<T> & { node: string }> {
  const node = c.req.param("node")!;
  await auth.node(c.req.header("authorization"), node);
  const body = parseObject(await readText(c.req.raw, LIMITS.bodyBytes), c.req.header("content-type"));
  return { ...schema.parse(body) as z.output<T> & object, node };
}

/** The text of a body of at most `limit` bytes. */
export async function readText(request: Request, limit: number): Promise<string> {
  if (request.body === null) return "";
  const announced = announcedBytes(request, limit);
  // The server holds a sender to its content-length, so that the quick way is safe.
  if (announced !== null) return await request.text();
  return await new Response(request.body.pipeThrough(limited(limit))).text();
}

/** Passes on at most `limit` bytes; one more is an error. */
export function limited(limit: number): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      if (bytes > limit) throw tooLarge(limit);
      controller.enqueue(chunk);
    },
  });
}

/** Bytes that the sender announced, or null when it did not. Too many are refused before the first one is read. */
export function announcedBytes(request: Request, limit: number): number | null {
  const header = request.headers.get("content-length");
  if (header === null) return null;
  const bytes = Number(header);
  if (bytes > limit) throw tooLarge(limit);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** The JSON object in a body; an empty body is an empty object. The content type is not looked at: JSON is all we read. */
export function parseObject(text: string, contentType: string | undefined): Record<string, unknown> {
  if (text.trim() === "") return {};
  const value = parseJson(text, contentType);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  const got = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
  throw new PlatformError("invalid_request", `Cannot read the body: expected a JSON object, got ${got}`);
}

function parseJson(text: string, contentType: string | undefined): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const said = contentType === undefined || contentType.includes("json")
      ? ""
      : ` (it is sent as ${contentType})`;
    const message = `Cannot read the body: it is not valid JSON${said}: ${(cause as Error).message}`;
    throw new PlatformError("invalid_request", message, { cause });
  }
}

function tooLarge(limit: number): PlatformError {
  return new PlatformError("too_large", `Cannot accept the body: at most ${limit} bytes are allowed`);
}
