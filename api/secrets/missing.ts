/** Secrets that are asked for and are not there. */
import { knownSecrets, listSecrets } from "../../scheduler/store/secrets.ts";
import type { Sql } from "../../scheduler/store/connect.ts";
import { PlatformError } from "../../sdk/errors.ts";
import type { Manifest } from "../../sdk/protocol.ts";
import { suggestion } from "../near.ts";

/** Secrets that are looked at for a suggestion. */
const NEAR_MAX = 100;

/** Throws unless a workspace has every secret that a manifest names. */
export async function needSecrets(sql: Sql, workspace: string, { functions }: Manifest): Promise<void> {
  const named = functions.flatMap(({ secrets, image }, i) => [
    ...secrets.map(({ name }, k) => ({ name, field: `manifest.functions.${i}.secrets.${k}.name` })),
    ...image?.secret === undefined
      ? []
      : [{ name: image.secret, field: `manifest.functions.${i}.image.secret` }],
  ]);
  await needSecret(sql, workspace, ...named);
}

interface NamedSecret {
  readonly name: string;
  /** Of the request, that names it. */
  readonly field: string;
}

/** Throws unless a workspace has these secrets. */
export async function needSecret(
  sql: Sql,
  workspace: string,
  ...named: readonly NamedSecret[]
): Promise<void> {
  const known = await knownSecrets(sql, workspace, named.map(({ name }) => name));
  const missing = named.find(({ name }) => !known.has(name));
  if (missing === undefined) return;
  const { name, field } = missing;
  const hint = await near(sql, workspace, name);
  const message =
    `Cannot accept \`${field}\`: this workspace has no secret "${name}", make it with \`berth secret set ${name} KEY\`${hint}`;
  throw new PlatformError("invalid_request", message, { field });
}

export async function noSuchSecret(sql: Sql, workspace: string, name: string): Promise<PlatformError> {
  const hint = await near(sql, workspace, name);
  const message = `Cannot find secret "${name}": this workspace has none of this name${hint}`;
  return new PlatformError("not_found", message, { field: "secret" });
}

const near = async (sql: Sql, workspace: string, name: string): Promise<string> =>
  suggestion(name, (await listSecrets(sql, { workspace, limit: NEAR_MAX })).map((secret) => secret.name));
