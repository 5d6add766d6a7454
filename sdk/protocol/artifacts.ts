/** Artifacts: named, numbered bytes of a workspace, such as models, with who made them; and aliases that point at versions. */
import { z } from "zod";
import { NEWEST, parseArtifactRef, VERSION_MAX } from "./artifact_ref.ts";
import { CallId } from "./calls.ts";
import { LIMITS } from "./limits.ts";
import { CallableName, Digest, Name, Page, pageOf, Timestamp } from "./primitives.ts";
import { route } from "./route.ts";

export * from "./artifact_ref.ts";

const Version = z.coerce.number().int().min(1).max(VERSION_MAX);

/** `production`: starts with a letter, so that none reads like a version. */
export const ArtifactAlias = Name.refine(
  (alias) => alias !== NEWEST,
  `must not be "${NEWEST}", which is always the newest version`,
);

/** `model` or `model@latest` (the newest version), `model@3`, `model@production`. */
export const ArtifactRef = z.string().max(127).refine(
  (text) => parseArtifactRef(text) !== null,
  "must be NAME, NAME@VERSION or NAME@ALIAS, such as model@3",
);
/** `model@3` and nothing else: what cannot be undone needs a version. */
const ArtifactVersionRef = z.string().max(127).refine(
  (text) => typeof parseArtifactRef(text)?.at === "number",
  "must name one version by its number, such as model@3",
);

/** What publishing gives back. */
export const PublishedArtifact = z.object({
  name: Name,
  version: z.number().int(),
  /** SHA-256 of its bytes. */
  digest: Digest,
  size: z.number().int(),
});
export type PublishedArtifact = z.infer<typeof PublishedArtifact>;

export const ArtifactVersion = PublishedArtifact.extend({
  aliases: z.array(Name),
  /** The call that made it; null: it was uploaded. */
  madeBy: z.object({ call: CallId, attempt: z.number().int(), app: Name, function: CallableName }).nullable(),
  createdAt: Timestamp,
});
export type ArtifactVersion = z.infer<typeof ArtifactVersion>;

export const Artifact = z.object({
  name: Name,
  /** How many there are; those that were deleted are not counted. */
  versions: z.number().int(),
  newest: ArtifactVersion,
  /** Version by alias. */
  aliases: z.record(Name, z.number().int()),
});
export type Artifact = z.infer<typeof Artifact>;

/** Announces the bytes of a version. */
export const BeginArtifact = z.object({
  digest: Digest,
  size: z.number().int().min(0).max(LIMITS.artifactBytes),
});
export type BeginArtifact = z.infer<typeof BeginArtifact>;

/**
 * Where the bytes go: a part of `partBytes` after the other, the last one shorter, each by a `PUT` to its `url` with its `headers` (a path
 * leads to the api, any other URL past it). No upload: the workspace has these bytes already.
 */
export const ArtifactUpload = z.object({
  upload: z.string().nullable(),
  partBytes: z.number().int(),
  parts: z.array(z.object({ url: z.string(), headers: z.record(z.string(), z.string()) })),
});
export type ArtifactUpload = z.infer<typeof ArtifactUpload>;

/** Makes what was uploaded a version. */
export const PublishArtifact = BeginArtifact.extend({
  /** As it was begun; null: the bytes were there. */
  upload: z.string().regex(/^[0-9a-f]{32}$/, "must be one that was begun").nullable(),
  /** The header `etag` of the answer to each part, in their order; needed when there are several. */
  etags: z.array(z.string().max(256)).max(Math.ceil(LIMITS.artifactBytes / LIMITS.artifactPartBytes))
    .default([]),
});
export type PublishArtifact = z.infer<typeof PublishArtifact>;

const ByRef = z.object({ ref: ArtifactRef });
const ByAlias = z.object({ name: Name, alias: ArtifactAlias });

export const artifactRoutes = {
  listArtifacts: route("GET", "/v1/artifacts", "read", "Artifacts by name", Page, pageOf(Artifact)),
  listArtifactVersions: route(
    "GET",
    "/v1/artifacts/:name/versions",
    "read",
    "Versions of an artifact, newest first",
    z.object({ name: Name }).extend(Page.shape),
    pageOf(ArtifactVersion),
  ),
  getArtifact: route(
    "GET",
    "/v1/artifacts/:ref",
    "read",
    "One version of an artifact",
    ByRef,
    ArtifactVersion,
  ),
  beginArtifact: route(
    "POST",
    "/v1/artifacts/:name/uploads",
    "deploy",
    "Say what bytes a version is to have, learn where to upload them",
    BeginArtifact.extend({ name: Name }),
    ArtifactUpload,
    201,
  ),
  publishArtifact: route(
    "POST",
    "/v1/artifacts/:name/versions",
    "deploy",
    "Make uploaded bytes the next version; 200 when the newest has them already; 412 when they are no longer there",
    PublishArtifact.extend({ name: Name }),
    PublishedArtifact,
    201,
  ),
  deleteArtifact: route(
    "DELETE",
    "/v1/artifacts/:ref",
    "deploy",
    "Delete a version that no alias points at",
    z.object({ ref: ArtifactVersionRef }),
    PublishedArtifact,
  ),
  moveArtifactAlias: route(
    "POST",
    "/v1/artifacts/:name/aliases/:alias",
    "deploy",
    "Point an alias at a version; with `from` only if it points there now, null for nowhere",
    ByAlias.extend({ version: Version, from: Version.nullable().optional() }),
    ArtifactVersion,
  ),
  deleteArtifactAlias: route(
    "DELETE",
    "/v1/artifacts/:name/aliases/:alias",
    "deploy",
    "Remove an alias; the version stays",
    ByAlias,
    z.object({ name: Name, alias: Name, version: z.number().int() }),
  ),
} as const;

/** Plain route of artifacts: 307 to the bytes; `ETag` is their digest. Needs scope `read`. */
export const ARTIFACT_CONTENT = "/v1/artifacts/:ref/content";
