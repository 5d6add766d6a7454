/** Artifacts: what is there, aliases that move, versions that go. How they are made is in artifact_bytes.ts. */
import { findArtifact, listArtifacts, listArtifactVersions } from "../scheduler/store/artifacts.ts";
import { deleteAlias, deleteArtifact, moveAlias } from "../scheduler/store/artifacts_change.ts";
import type { Sql } from "../scheduler/store/connect.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type ArtifactVersion, parseArtifactRef, type Routes } from "../sdk/protocol.ts";
import type { ApiDeps } from "./app.ts";
import { beginArtifact, publishArtifact } from "./artifact_bytes.ts";
import { AttemptPlace as VersionPlace, decodeCursor, IdPlace, pageFrom } from "./cursor.ts";
import { type Handlers, Reply } from "./serve.ts";

type ArtifactRoutes = Pick<
  Routes,
  | "listArtifacts"
  | "listArtifactVersions"
  | "getArtifact"
  | "beginArtifact"
  | "publishArtifact"
  | "deleteArtifact"
  | "moveArtifactAlias"
  | "deleteArtifactAlias"
>;

export function artifactHandlers(deps: ApiDeps): Handlers<ArtifactRoutes> {
  const { sql, clock } = deps;
  return {
    async listArtifacts({ limit, cursor }, { workspace }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      const rows = await listArtifacts(sql, { workspace, after, limit: limit + 1 });
      return pageFrom(rows, limit, (last) => [last.name]);
    },

    async listArtifactVersions({ name, limit, cursor }, { workspace }) {
      const before = decodeCursor(cursor, VersionPlace)?.[0];
      const rows = await listArtifactVersions(sql, { workspace, name, before, limit: limit + 1 });
      if (rows.length === 0 && cursor === undefined) throw noSuchArtifact(name, "name");
      return pageFrom(rows, limit, (last) => [last.version]);
    },

    getArtifact: ({ ref }, { workspace }) => knownArtifact(sql, workspace, ref),

    beginArtifact: ({ name: _, ...bytes }, { workspace }) => beginArtifact(deps, { workspace, ...bytes }),

    async publishArtifact(publication, { workspace }) {
      const { version, created } = await publishArtifact(deps, { workspace, ...publication, by: null });
      return new Reply(version, { status: created ? 201 : 200 });
    },

    async deleteArtifact({ ref }, { workspace }) {
      const { name, version } = await knownArtifact(sql, workspace, ref);
      const now = new Date(clock.now());
      const outcome = await sql.begin((tx) => deleteArtifact(tx, now, { workspace, name, version }));
      if (outcome === undefined) throw noSuchArtifact(ref);
      if ("deleted" in outcome) return outcome.deleted;
      const message = `Cannot delete artifact ${ref}: ${quoted(outcome.aliases)} points at it, move it first`;
      throw new PlatformError("conflict", message, { field: "ref" });
    },

    async moveArtifactAlias({ name, alias, version, from }, { workspace }) {
      const now = new Date(clock.now());
      const outcome = await sql.begin((tx) => moveAlias(tx, now, { workspace, name, alias, version, from }));
      if (outcome === null) throw noSuchArtifact(`${name}@${version}`, "version");
      if (!outcome.moved) throw pointsElsewhere(`${name}@${alias}`, outcome.current, from ?? null);
      return await knownArtifact(sql, workspace, `${name}@${version}`);
    },

    async deleteArtifactAlias({ name, alias }, { workspace }) {
      const version = await deleteAlias(sql, { workspace, name, alias });
      if (version === undefined) throw noSuchArtifact(`${name}@${alias}`, "alias");
      return { name, alias, version };
    },
  };
}

/** The version that a reference means, or 404. */
export async function knownArtifact(sql: Sql, workspace: string, ref: string): Promise<ArtifactVersion> {
  const found = await findArtifact(sql, workspace, parseArtifactRef(ref)!);
  if (found === undefined) throw noSuchArtifact(ref);
  return found;
}

function noSuchArtifact(ref: string, field = "ref"): PlatformError {
  const message = `Cannot find artifact ${ref}: this workspace has no such ${
    ref.includes("@") ? "version or alias" : "artifact"
  }`;
  return new PlatformError("not_found", message, { field });
}

function pointsElsewhere(alias: string, current: number | null, from: number | null): PlatformError {
  const place = (version: number | null) => version === null ? "nowhere" : `at version ${version}`;
  const message = `Cannot move ${alias}: it points ${place(current)}, not ${place(from)}`;
  return new PlatformError("conflict", message, { field: "from" });
}

const quoted = (aliases: readonly string[]): string => aliases.map((alias) => `"${alias}"`).join(" and ");
