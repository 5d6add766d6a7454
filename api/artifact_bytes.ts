/**
 * The bytes of artifacts go between those who have them and the store of blobs; here it is said where to, and what counts. Published means:
 * the bytes are durable, and then the row, which gives them a version. That they have their digest is the word of who uploads them,
 * into a workspace of their own; whoever fetches them checks it.
 */
import type { Context as HonoContext } from "hono";
import { z } from "zod";
import { blobOfArtifact } from "../scheduler/store/artifacts.ts";
import {
  publishArtifact as publish,
  type Published,
  type Publisher,
  workspaceOfLease,
} from "../scheduler/store/artifacts_change.ts";
import { announceBlob, announcedUpload, discardBlob } from "../scheduler/store/blobs.ts";
import { PlatformError } from "../sdk/errors.ts";
import {
  ArtifactRef,
  type ArtifactUpload,
  type BeginArtifact,
  BeginCallArtifact,
  LIMITS,
  PublishCallArtifact,
} from "../sdk/protocol.ts";
import { announce, dueAfter, URL_MS } from "./announce.ts";
import type { ApiDeps } from "./app.ts";
import { knownArtifact } from "./artifacts.ts";
import { saidByNode } from "./body.ts";
import type { Authorize, Env } from "./serve.ts";

/** Long enough for all parts of the largest artifact on a slow line. */
const PARTS_MS = 24 * 3_600_000;

type Serve = (c: HonoContext<Env>) => Promise<Response>;

/** A key of its own for each upload: a blob is never overwritten, and one that goes is never one that comes. */
const blobKey = (workspace: string, upload: string): string => `artifacts/${workspace}/${upload}`;

/** Where to upload bytes to, unless the workspace has them. */
export async function beginArtifact(
  deps: ApiDeps,
  { workspace, digest, size }: BeginArtifact & { readonly workspace: string },
): Promise<ArtifactUpload> {
  const { sql, random } = deps;
  const partBytes = LIMITS.artifactPartBytes;
  if (await blobOfArtifact(sql, { workspace, digest }) !== undefined) {
    return { upload: null, partBytes, parts: [] };
  }
  const upload = random.bytes(16).toHex();
  const key = blobKey(workspace, upload);
  const parts = size <= partBytes ? [await announce(deps, { key, size })] : await beginParts(deps, key, size);
  return { upload, partBytes, parts };
}

async function beginParts({ sql, clock, blobs }: ApiDeps, key: string, size: number) {
  const upload = await blobs.beginParts(key);
  await announceBlob(sql, { key, upload, dueAt: dueAfter(clock.now(), PARTS_MS) });
  let offset = 0;
  const parts = partSizes(size).map((bytes, i) => {
    const part = { upload, number: i + 1, offset };
    offset += bytes;
    return blobs.presign(key, { method: "PUT", size: bytes, part, expiresInMs: PARTS_MS });
  });
  return await Promise.all(parts);
}

const partSizes = (size: number): number[] =>
  Array.from(
    { length: Math.ceil(size / LIMITS.artifactPartBytes) },
    (_, i) => Math.min(LIMITS.artifactPartBytes, size - i * LIMITS.artifactPartBytes),
  );

export interface Publication extends BeginArtifact {
  readonly workspace: string;
  readonly name: string;
  readonly upload: string | null;
  readonly etags: readonly string[];
  readonly by: Publisher | null;
}

/** Gives uploaded bytes a version. Where that is refused, they go. */
export async function publishArtifact(
  deps: ApiDeps,
  { workspace, name, digest, size, upload, etags, by }: Publication,
): Promise<Exclude<Published, string>> {
  const { sql, clock, wakes } = deps;
  const now = () => new Date(clock.now());
  const blob = upload === null ? null : await assembled(deps, blobKey(workspace, upload), size, etags);
  try {
    const published = await sql.begin(async (tx) => {
      const published = await publish(tx, now(), { workspace, name, digest, size, blob, by });
      if (published === "superseded") throw leaseOver(by!.lease);
      if (published === "no bytes") throw bytesGone(name);
      return published;
    }) as Exclude<Published, string>;
    if (published.batch !== null) wakes.wake("call", published.batch);
    return published;
  } catch (error) {
    const refused = error instanceof PlatformError && error.code === "conflict";
    if (refused && blob !== null) await discardBlob(sql, now(), blob);
    throw error;
  }
}

/** The blob of an upload, once it is whole; null when that is gone: an earlier request may have found that the bytes were there. */
async function assembled(
  { sql, blobs }: ApiDeps,
  key: string,
  size: number,
  etags: readonly string[],
): Promise<string | null> {
  const known = await announcedUpload(sql, key);
  if (known === undefined) return null;
  if (known.upload !== null) {
    const sizes = partSizes(size);
    if (etags.length !== sizes.length) throw notUploaded("etags", `it had ${sizes.length} parts`);
    await blobs.completeParts(key, known.upload, sizes.map((size, i) => ({ size, etag: etags[i]! })));
  }
  const stored = await blobs.head(key);
  if (stored === null) throw notUploaded("upload", "its bytes are not in the store");
  if (stored.size !== size) throw notUploaded("size", `${stored.size} bytes were uploaded`);
  return key;
}

/** `POST /v1/nodes/{node}/artifacts/uploads`: for a call that runs there. */
export function beginCallArtifactRoute(deps: ApiDeps): Serve {
  return async (c) => {
    const { lease, index, node, ...bytes } = await saidByNode(deps, c, BeginCallArtifact);
    const workspace = await workspaceOf(deps, { node, lease, index });
    return c.json(await beginArtifact(deps, { workspace, ...bytes }));
  };
}

/** `POST /v1/nodes/{node}/artifacts`. */
export function publishCallArtifactRoute(deps: ApiDeps): Serve {
  return async (c) => {
    const { lease, index, node, ...publication } = await saidByNode(deps, c, PublishCallArtifact);
    const by = { node, lease, index };
    const workspace = await workspaceOf(deps, by);
    const { version, created } = await publishArtifact(deps, { workspace, ...publication, by });
    return c.json(version, created ? 201 : 200);
  };
}

async function workspaceOf({ sql }: ApiDeps, by: Publisher): Promise<string> {
  const workspace = await workspaceOfLease(sql, by);
  if (workspace === undefined) throw leaseOver(by.lease);
  return workspace;
}

/** `GET /v1/artifacts/{ref}/content`: the way to the bytes. */
export function getArtifactRoute({ sql, blobs }: ApiDeps, authorize: Authorize): Serve {
  return async (c) => {
    const { workspace } = await authorize(c, "read");
    const { ref } = z.object({ ref: ArtifactRef }).parse(c.req.param());
    const { digest, version } = await knownArtifact(sql, workspace, ref);
    const headers = { etag: `"${digest}"`, "berth-artifact-version": String(version) };
    if (c.req.header("if-none-match") === headers.etag) return new Response(null, { status: 304, headers });
    const blob = await blobOfArtifact(sql, { workspace, digest });
    if (blob === undefined) throw bytesGone(ref);
    const { url } = await blobs.presign(blob, { method: "GET", expiresInMs: URL_MS });
    return new Response(null, { status: 307, headers: { ...headers, location: url } });
  };
}

const leaseOver = (lease: number): PlatformError =>
  new PlatformError(
    "conflict",
    `Cannot publish an artifact under lease ${lease}: it is over, another attempt may have begun`,
  );

const notUploaded = (field: string, why: string): PlatformError =>
  new PlatformError("conflict", `Cannot publish \`${field}\`: ${why}`, { field });

/** Somebody deleted the last version with these bytes at this very moment, or they were uploaded days ago. */
const bytesGone = (name: string): PlatformError =>
  new PlatformError(
    "precondition_failed",
    `Cannot find the bytes of artifact ${name}: they are no longer there, upload them again`,
  );
