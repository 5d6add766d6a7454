/**
 * Artifacts as they are read: names, versions, and where aliases point. How they are made and go is in artifacts_change.ts.
 */
import { type Artifact, type ArtifactAt, type ArtifactVersion, formatCallId } from "../../sdk/protocol.ts";
import type { Sql } from "./connect.ts";

interface VersionRow {
  name: string;
  version: number;
  digest: string;
  size: number;
  aliases: string[];
  batchId: number | null;
  idx: number;
  attempt: number;
  app: string;
  function: string;
  createdAt: Date;
}

/** Artifacts that have a version, by name. */
export async function listArtifacts(
  sql: Sql,
  { workspace, after = "", limit }: { workspace: string; after?: string | undefined; limit: number },
): Promise<Artifact[]> {
  const rows = await sql<(VersionRow & { versions: number; pointers: Record<string, number> | null })[]>`
    select newest.*, count.versions, pointers.*
    from artifact_name n
    cross join lateral (
      ${
    versionsOf(sql, sql`a.workspace_id = n.workspace_id and a.name = n.name`)
  } order by a.version desc limit 1
    ) newest
    cross join lateral (
      select count(*)::int as versions from artifact where workspace_id = n.workspace_id and name = n.name
    ) count
    cross join lateral (
      select json_object_agg(alias, version order by alias) as pointers
      from artifact_alias where workspace_id = n.workspace_id and name = n.name
    ) pointers
    where n.workspace_id = ${workspace} and n.name > ${after}
    order by n.name
    limit ${limit}`;
  return rows.map(({ versions, pointers, ...newest }) => ({
    name: newest.name,
    versions,
    newest: toVersion(newest),
    aliases: pointers ?? {},
  }));
}

/** Versions of one name, newest first; those below `before`. */
export async function listArtifactVersions(
  sql: Sql,
  { workspace, name, before, limit }: {
    workspace: string;
    name: string;
    before: number | undefined;
    limit: number;
  },
): Promise<ArtifactVersion[]> {
  const older = before === undefined ? sql`` : sql`and a.version < ${before}`;
  const rows = await sql<VersionRow[]>`
    ${versionsOf(sql, sql`a.workspace_id = ${workspace} and a.name = ${name} ${older}`)}
    order by a.version desc
    limit ${limit}`;
  return rows.map(toVersion);
}

/** The version that a reference means now. */
export async function findArtifact(
  sql: Sql,
  workspace: string,
  { name, at }: ArtifactAt,
): Promise<ArtifactVersion | undefined> {
  const meant = at === null
    ? sql``
    : typeof at === "number"
    ? sql`and a.version = ${at}`
    : sql`and a.version = (
        select version from artifact_alias where workspace_id = ${workspace} and name = ${name} and alias = ${at})`;
  const [row] = await sql<VersionRow[]>`
    ${versionsOf(sql, sql`a.workspace_id = ${workspace} and a.name = ${name} ${meant}`)}
    order by a.version desc
    limit 1`;
  return row && toVersion(row);
}

/** Where the bytes of a digest lie; undefined when the workspace has none. */
export async function blobOfArtifact(
  sql: Sql,
  { workspace, digest }: { readonly workspace: string; readonly digest: string },
): Promise<string | undefined> {
  const [row] = await sql<{ blob: string }[]>`
    select blob from artifact_blob where workspace_id = ${workspace} and digest = ${digest}`;
  return row?.blob;
}

const versionsOf = (sql: Sql, which: ReturnType<Sql>) =>
  sql`
  select a.name, a.version, a.digest, b.size, a.batch_id, a.idx, a.attempt, a.app, a.function, a.created_at,
    array(
      select alias from artifact_alias p
      where p.workspace_id = a.workspace_id and p.name = a.name and p.version = a.version -- artifact_alias_version
      order by alias
    ) as aliases
  from artifact a
  join artifact_blob b on b.workspace_id = a.workspace_id and b.digest = a.digest
  where ${which}`;

const toVersion = (
  { batchId, idx, attempt, app, function: fn, createdAt, ...rest }: VersionRow,
): ArtifactVersion => ({
  ...rest,
  madeBy: batchId === null
    ? null
    : { call: formatCallId({ batch: batchId, index: idx }), attempt, app, function: fn },
  createdAt: createdAt.toISOString(),
});
