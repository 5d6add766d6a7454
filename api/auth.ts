/** Who calls: keys → workspace and scope, credentials → node. Both are random and looked up by their SHA-256. */
import { createHash } from "node:crypto";
import type { Pool } from "../scheduler/store/connect.ts";
import { findKey, insertKey } from "../scheduler/store/keys.ts";
import { findCredential } from "../scheduler/store/nodes_list.ts";
import { PlatformError } from "../sdk/errors.ts";
import { type Clock, newId, type Random } from "../sdk/ports.ts";
import { Scope } from "../sdk/protocol.ts";

export interface Caller {
  readonly workspace: string;
  readonly scope: Scope;
}

export interface AuthDeps {
  readonly sql: Pool;
  readonly clock: Clock;
}

/** How long an answer of the store is believed: a revoked key works at most this much longer. */
const BELIEVED_MS = 5_000;
const REMEMBERED_MAX = 10_000;

export class Auth {
  readonly #keys: Remembered<Caller>;
  readonly #nodes: Remembered<string>;

  constructor({ sql, clock }: AuthDeps) {
    this.#keys = new Remembered(clock, (hash) => findKey(sql, hash));
    this.#nodes = new Remembered(clock, (hash) => findCredential(sql, hash));
  }

  /** The caller behind an `authorization` header. */
  async caller(header: string | undefined): Promise<Caller> {
    const caller = await this.#keys.get(bearer(header));
    if (caller !== undefined) return caller;
    throw new PlatformError(
      "unauthorized",
      "Cannot accept the key: it is unknown or was revoked, ask an admin for a new one",
    );
  }

  /** Lets only the runner of `node` pass. */
  async node(header: string | undefined, node: string): Promise<void> {
    const known = await this.#nodes.get(bearer(header));
    if (known === undefined) {
      throw new PlatformError("unauthorized", "Cannot accept the credential: no node has it, join again");
    }
    if (known !== node) {
      throw new PlatformError(
        "forbidden",
        `Cannot act for node "${node}": this credential is that of another node`,
      );
    }
  }
}

/** Throws unless the caller's scope includes the one that is needed. */
export function permit(caller: Caller, needed: Scope): void {
  if (Scope.options.indexOf(caller.scope) <= Scope.options.indexOf(needed)) return;
  const message = `Cannot do this with a key of scope "${caller.scope}": scope "${needed}" is needed`;
  throw new PlatformError("forbidden", message);
}

/** The workspace whose admins run the platform: machines are no tenant's own. */
const OPERATORS = "default";

/** Throws unless the caller may change what all workspaces share. The route has asked for scope `admin` already. */
export function needOperator({ workspace }: { readonly workspace: string }): void {
  if (workspace === OPERATORS) return;
  const message =
    `Cannot do this from workspace "${workspace}": an admin key of workspace "${OPERATORS}" is needed`;
  throw new PlatformError("forbidden", message);
}

/** Makes a key of a workspace. Its text is returned once and kept nowhere. */
export async function createKey(
  { sql, clock, random }: AuthDeps & { readonly random: Random },
  { workspace, name, scope }: { workspace: string; name: string; scope: Scope },
): Promise<{ id: string; key: string }> {
  const key = secret("berth", random);
  const id = newId("key", { clock, random });
  await insertKey(sql, new Date(clock.now()), { id, workspace, name, scope, hash: hashOf(key) });
  return { id, key };
}

/** A new secret of 256 random bits. */
export const secret = (prefix: string, random: Random): string => `${prefix}_${random.bytes(32).toHex()}`;

/** How secrets are kept: their SHA-256, in hex. They are random, so that neither salt nor slowness is called for. */
export const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

function bearer(header: string | undefined): string {
  if (header === undefined) {
    throw new PlatformError(
      "unauthorized",
      "Cannot tell who calls: send the header `Authorization: Bearer <key>`",
    );
  }
  const key = /^Bearer +(\S+)$/i.exec(header)?.[1];
  if (key !== undefined) return key;
  throw new PlatformError("unauthorized", "Cannot read the Authorization header: expected `Bearer <key>`");
}

/** What the store said of a secret's hash, for a few seconds. Unknown ones are asked for each time. */
class Remembered<T> {
  readonly #clock: Clock;
  readonly #ask: (hash: string) => Promise<T | undefined>;
  readonly #found = new Map<string, { value: T; until: number }>();

  constructor(clock: Clock, ask: (hash: string) => Promise<T | undefined>) {
    this.#clock = clock;
    this.#ask = ask;
  }

  async get(text: string): Promise<T | undefined> {
    const hash = hashOf(text);
    const found = this.#found.get(hash);
    if (found !== undefined && this.#clock.now() < found.until) return found.value;
    const value = await this.#ask(hash);
    if (value === undefined) return void this.#found.delete(hash);
    if (this.#found.size >= REMEMBERED_MAX) this.#found.clear();
    this.#found.set(hash, { value, until: this.#clock.now() + BELIEVED_MS });
    return value;
  }
}
