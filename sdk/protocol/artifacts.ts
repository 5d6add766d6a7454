/** Artifacts: named, numbered bytes of a workspace, such as models, with who made them; and aliases that point at versions. */
import { z } from "zod";
import { NEWEST, parseArtifactRef, VERSION_MAX } from "./artifact_ref.ts";
import { CallId } from "./calls.ts";
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

/**
 * Plain routes of artifacts:
 *
 * - `PUT /v1/artifacts/{name}/versions/{sha256}` body: a new version with these bytes; 201, or 200 when the newest version
 *   has them already → {@link PublishedArtifact}. Needs scope `deploy`.
 * - `GET /v1/artifacts/{ref}/content`: the bytes; `ETag` is the digest. Needs scope `read`.
 */
export const ARTIFACT_PATHS = {
  upload: "/v1/artifacts/:name/versions/:digest",
  content: "/v1/artifacts/:ref/content",
} as const;
