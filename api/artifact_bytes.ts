/**
 * The bytes of artifacts. They lie under their digest, which is checked while they stream in. Published means: the bytes are durable,
 * and then the row, which gives them a version.
 */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import {
  publishArtifact,
  type Publisher,
  removeUnused,
  workspaceOfLease,
} from "../scheduler/store/artifacts_change.ts";
import { PlatformError } from "../sdk/errors.ts";
import { ArtifactRef, Digest, LIMITS, Name } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { artifactKey, knownArtifact } from "./artifacts.ts";
import { announcedBytes, limited } from "./body.ts";
import { checkDigest } from "./bundles.ts";
import type { Authorize, Env } from "./serve.ts";

const Upload = z.object({ name: Name, digest: Digest });
const Publishing = Upload.extend({
  node: z.string(),
  lease: z.coerce.number().int().min(0),
  index: z.coerce.number().int().min(0).max(LIMITS.inputsPerRequest),
});

type Serve = (c: HonoContext<Env>) => Promise<Response>;

/** `PUT /v1/artifacts/{name}/versions/{sha256}`. */
export function putArtifactRoute(deps: ApiDeps, authorize: Authorize): Serve {
  return async (c) => {
    const { workspace } = await authorize(c, "deploy");
    const { name, digest } = Upload.parse(c.req.param());
    await store(deps, c.req.raw, { workspace, digest });
    return await publish(deps, { workspace, name, digest, by: null });
  };
}

/** `PUT /v1/nodes/{node}/artifacts/{name}/{sha256}?lease=&index=`: for a call that runs there. */
export function publishArtifactRoute(deps: ApiDeps): Serve {
  const { sql, auth } = deps;
  return async (c) => {
    const { name, digest, ...by } = Publishing.parse({ ...c.req.query(), ...c.req.param() });
    await auth.node(c.req.header("authorization"), by.node);
    const workspace = await workspaceOfLease(sql, by);
    if (workspace === undefined) throw leaseOver(by.lease);
    await store(deps, c.req.raw, { workspace, digest });
    return await publish(deps, { workspace, name, digest, by });
  };
}

/** `GET /v1/artifacts/{ref}/content`. */
export function getArtifactRoute({ sql, blobs }: ApiDeps, authorize: Authorize): Serve {
  return async (c) => {
    const { workspace } = await authorize(c, "read");
    const { ref } = z.object({ ref: ArtifactRef }).parse(c.req.param());
    const { digest, size, version } = await knownArtifact(sql, workspace, ref);
    const headers = { etag: `"${digest}"`, "berth-artifact-version": String(version) };
    if (c.req.header("if-none-match") === headers.etag) return new Response(null, { status: 304, headers });
    const bytes = await blobs.get(artifactKey(workspace, digest));
    if (bytes === null) throw new Error(`Cannot read artifact ${ref}: its row is there, its bytes are not`);
    const type = "application/octet-stream";
    return new Response(bytes, {
      headers: { ...headers, "content-type": type, "content-length": String(size) },
    });
  };
}

interface Bytes {
  readonly workspace: string;
  readonly digest: string;
}

/** Takes the bytes of a request in. They are read even when they are there, since who sends them hears nothing before their end. */
async function store({ blobs }: ApiDeps, request: Request, { workspace, digest }: Bytes): Promise<void> {
  announcedBytes(request, LIMITS.artifactBytes);
  const key = artifactKey(workspace, digest);
  const body = (request.body ?? new Blob([]).stream())
    .pipeThrough(limited(LIMITS.artifactBytes))
    .pipeThrough(checkDigest(digest));
  if (await blobs.head(key) === null) await blobs.put(key, body);
  else await body.pipeTo(new WritableStream());
}

/** Gives stored bytes a version. Where that is refused, they stay only if some version has them. */
async function publish(
  { sql, clock, blobs, wakes }: ApiDeps,
  { by, ...of }: Bytes & { readonly name: string; readonly by: Publisher | null },
): Promise<Response> {
  const key = artifactKey(of.workspace, of.digest);
  const stored = async () => (await blobs.head(key))?.size ?? null;
  try {
    const { version, created, batch } = await sql.begin(async (tx) => {
      const published = await publishArtifact(tx, new Date(clock.now()), { ...of, stored, by });
      if (published === "superseded") throw leaseOver(by!.lease);
      if (published === "no bytes") throw bytesGone(of.name);
      return published;
    });
    if (batch !== null) wakes.wake("call", batch);
    return Response.json(version, { status: created ? 201 : 200 });
  } catch (error) {
    if (isRefusal(error)) await sql.begin((tx) => removeUnused(tx, of, () => blobs.delete(key)));
    throw error;
  }
}

const isRefusal = (error: unknown): boolean => error instanceof PlatformError && error.code === "conflict";

const leaseOver = (lease: number): PlatformError =>
  new PlatformError(
    "conflict",
    `Cannot publish an artifact under lease ${lease}: it is over, another attempt may have begun`,
  );

/** Somebody deleted the last version with these bytes at this very moment. */
const bytesGone = (name: string): PlatformError =>
  new PlatformError(
    "unavailable",
    `Cannot publish artifact ${name}: its bytes were just deleted with another version, send them again`,
    { retryAfterMs: 100 },
  );
