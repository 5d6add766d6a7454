/** Bundles: uploaded once per digest, checked while they stream in, handed to the nodes that run them. */
import type { Context as HonoContext } from "hono";
import { createHash } from "node:crypto";
import { announceBlob } from "../scheduler/store/blobs.ts";
import { contextOfNode } from "../scheduler/store/builds.ts";
import { bundleOfNode, insertBundle, wantBundle } from "../scheduler/store/bundles.ts";
import { PlatformError } from "../sdk/errors.ts";
import { Digest, LIMITS } from "../sdk/protocol.ts";
import { dueAfter, URL_MS } from "./announce.ts";
import type { ApiDeps } from "./app.ts";
import { announcedBytes, limited } from "./body.ts";
import type { Authorize, Env } from "./serve.ts";

/** `PUT /v1/bundles/{sha256}`: 201, or 200 when it was there. */
export function putBundleRoute(
  deps: ApiDeps,
  authorize: Authorize,
): (c: HonoContext<Env>) => Promise<Response> {
  const { sql, clock, random, blobs } = deps;
  return async (c) => {
    const { workspace } = await authorize(c, "deploy");
    const digest = parseDigest(c.req.param("digest"));
    const request = c.req.raw;
    announcedBytes(request, LIMITS.bundleBytes);
    const dueAt = dueAfter(clock.now(), 0);
    const known = await wantBundle(sql, { workspace, digest, dueAt });
    if (known !== undefined) {
      await request.body?.cancel();
      return Response.json({ digest, size: known }, { status: 200 });
    }
    const checked = checkDigest(digest);
    const body = (request.body ?? new Blob([]).stream()).pipeThrough(limited(LIMITS.bundleBytes)).pipeThrough(
      checked,
    );
    const blob = `bundles/${random.bytes(16).toHex()}`;
    await announceBlob(sql, { key: blob, dueAt });
    const { size } = await blobs.put(blob, body, { ifAbsent: true });
    await insertBundle(sql, new Date(clock.now()), { workspace, digest, size, blob });
    return Response.json({ digest, size }, { status: 201 });
  };
}

/** Passes bytes on, and fails at their end when they are not those of the digest: what they were for is then given up. */
export function checkDigest(
  digest: string,
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  const hash = createHash("sha256");
  return new TransformStream({
    transform(chunk, controller) {
      hash.update(chunk);
      controller.enqueue(chunk);
    },
    flush() {
      const actual = hash.digest("hex");
      if (actual === digest) return;
      const message =
        `Cannot accept \`digest\`: the SHA-256 of the bytes is ${actual}, the address says ${digest}`;
      throw new PlatformError("invalid_request", message, { field: "digest" });
    },
  });
}

/** `GET /v1/nodes/{node}/bundles/{digest}`: the way to its bytes, for the runner of a node that has a container or a build of it. */
export function getBundleRoute({ sql, auth, blobs }: ApiDeps): (c: HonoContext<Env>) => Promise<Response> {
  return async (c) => {
    const node = c.req.param("node")!;
    await auth.node(c.req.header("authorization"), node);
    const digest = parseDigest(c.req.param("digest"));
    const blob = await bundleOfNode(sql, { node, digest }) ?? await contextOfNode(sql, { node, digest });
    if (blob !== undefined) {
      const { url } = await blobs.presign(blob, { method: "GET", expiresInMs: URL_MS });
      return c.redirect(url, 307);
    }
    const message = `Cannot find bundle ${digest}: this node neither runs it nor builds an image from it`;
    throw new PlatformError("not_found", message, { field: "digest" });
  };
}

function parseDigest(text: string | undefined): string {
  const digest = Digest.safeParse(text);
  if (digest.success) return digest.data;
  const message = `Cannot accept \`digest\`: ${digest.error.issues[0]!.message}`;
  throw new PlatformError("invalid_request", message, { field: "digest" });
}
