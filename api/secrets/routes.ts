/** Secrets by the route table: values come in, names and versions go out. */
import {
  deleteSecret,
  findSecret,
  listSecrets,
  lockSealed,
  putDataKey,
  putSealed,
  sealedOtherwise,
  usersOfSecret,
} from "../../scheduler/store/secrets.ts";
import { PlatformError } from "../../sdk/errors.ts";
import { type Routes, type Secret, secretProblem } from "../../sdk/protocol.ts";
import type { ApiDeps } from "../app.ts";
import { needOperator } from "../auth.ts";
import { decodeCursor, IdPlace, pageFrom } from "../cursor.ts";
import type { Handlers } from "../serve.ts";
import type { Values } from "./vault.ts";
import { noSuchSecret } from "./missing.ts";

type SecretRoutes = Pick<
  Routes,
  "listSecrets" | "getSecret" | "setSecret" | "deleteSecret" | "resealSecrets"
>;

/** Secrets that are locked at a time while they are sealed anew. */
const RESEALED_AT_ONCE = 100;
/** Functions that a refusal names. */
const USERS_SHOWN = 5;

export function secretHandlers(deps: ApiDeps): Handlers<SecretRoutes> {
  const { sql } = deps;
  const known = async (workspace: string, name: string): Promise<Secret> => {
    const found = await findSecret(sql, { workspace, name });
    if (found === undefined) throw await noSuchSecret(sql, workspace, name);
    return found;
  };
  return {
    async listSecrets({ limit, cursor }, { workspace }) {
      const after = decodeCursor(cursor, IdPlace)?.[0];
      const secrets = await listSecrets(sql, { workspace, after, limit: limit + 1 });
      return pageFrom(secrets, limit, (last) => [last.name]);
    },

    getSecret: ({ secret }, { workspace }) => known(workspace, secret),

    async setSecret({ secret, values, unset }, { workspace }) {
      await change(deps, { workspace, name: secret, values, unset });
      return await known(workspace, secret);
    },

    async deleteSecret({ secret: name, force = false }, { workspace }) {
      const users = force ? [] : await usersOfSecret(sql, { workspace, name });
      if (users.length > 0) throw inUse(name, users);
      if (!await deleteSecret(sql, { workspace, name })) throw await noSuchSecret(sql, workspace, name);
      return { secret: name };
    },

    async resealSecrets(_, caller) {
      needOperator(caller);
      let resealed = 0;
      for (let last = -1; last !== 0; resealed += last) last = await resealSome(deps);
      return { resealed, keyId: deps.vault.keyId };
    },
  };
}

/** Changes values of a secret, or makes it. The same values again are no change, so that it may be repeated. */
async function change(
  { sql, clock, wakes, vault }: ApiDeps,
  { workspace, name, values, unset }: {
    readonly workspace: string;
    readonly name: string;
    readonly values: Values;
    readonly unset: readonly string[];
  },
): Promise<void> {
  const changed = await sql.begin(async (tx) => {
    const row = await lockSealed(tx, { workspace, name });
    const before = row === undefined ? {} : vault.open(row, row);
    const after = merged(before, values, unset);
    if (row !== undefined && isSame(before, after)) return false;
    const place = { workspace, name, version: (row?.version ?? 0) + 1 };
    const sealed = vault.seal(after, place);
    await putSealed(tx, new Date(clock.now()), { ...place, ...sealed, keys: Object.keys(after).sort() });
    return true;
  });
  if (changed) wakes.wake("tick");
}

function merged(before: Values, values: Values, unset: readonly string[]): Values {
  const stranger = unset.findIndex((key) => !Object.hasOwn(before, key));
  if (stranger >= 0) refuse(`unset.${stranger}`, `the secret has no value "${unset[stranger]}"`);
  const both = unset.findIndex((key) => Object.hasOwn(values, key));
  if (both >= 0) refuse(`unset.${both}`, `"${unset[both]}" is set by the same request`);
  const kept = Object.entries(before).filter(([key]) => !unset.includes(key));
  const after = { ...Object.fromEntries(kept), ...values };
  const problem = secretProblem(after);
  if (problem !== null) refuse(problem.field, problem.message);
  return after;
}

function isSame(a: Values, b: Values): boolean {
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

/** One transaction's worth; returns how many. */
function resealSome({ sql, vault }: ApiDeps): Promise<number> {
  return sql.begin(async (tx) => {
    const rows = await sealedOtherwise(tx, vault.keyId, RESEALED_AT_ONCE);
    for (const row of rows) await putDataKey(tx, { ...row, ...vault.reseal(row, row) });
    return rows.length;
  }) as Promise<number>;
}

function inUse(name: string, users: readonly string[]): PlatformError {
  const shown = users.slice(0, USERS_SHOWN).map((user) => `"${user}"`).join(", ");
  const more = users.length > USERS_SHOWN ? `, and ${users.length - USERS_SHOWN} more` : "";
  const message =
    `Cannot delete secret "${name}": ${shown}${more} would not start any more, deploy without it first, or delete it with force`;
  return new PlatformError("conflict", message, { field: "secret" });
}

function refuse(field: string, rule: string): never {
  throw new PlatformError("invalid_request", `Cannot accept \`${field}\`: ${rule}`, { field });
}
